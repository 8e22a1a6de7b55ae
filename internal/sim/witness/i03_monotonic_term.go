package witness

// monotonicTerm is I3 (§5.1): the durable term never falls, and the vote of a term changes from
// none to somebody and never again.
func (h *History) monotonicTerm(m *Member) {
	was, is := m.ballot.hard, m.Dur.Hard
	h.Check(is.Term >= was.Term, "I3 monotonic term", "m%d: durable term falls from %d to %d", m.Index,
		was.Term, is.Term)
	h.Check(is.Term > was.Term || was.Vote == "" || was.Vote == is.Vote, "I3 monotonic term",
		"m%d: durable vote of term %d changes from %q to %q", m.Index, is.Term, was.Vote, is.Vote)
	m.ballot.hard = is
	if is.Vote != "" {
		m.ballot.onDisk[is.Term] = is.Vote
	}
}
