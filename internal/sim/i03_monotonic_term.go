package sim

// monotonicTerm is I3 (§5.1): the durable term never falls, and the vote of a term changes from none to somebody and
// never again.
func (h *history) monotonicTerm(m *member) {
	was, is := m.ballot.hard, m.dur.hard
	h.c.check(is.Term >= was.Term, "I3 monotonic term", "m%d: durable term falls from %d to %d", m.index,
		was.Term, is.Term)
	h.c.check(is.Term > was.Term || was.Vote == "" || was.Vote == is.Vote, "I3 monotonic term",
		"m%d: durable vote of term %d changes from %q to %q", m.index, is.Term, was.Vote, is.Vote)
	m.ballot.hard = is
	if is.Vote != "" {
		m.ballot.onDisk[is.Term] = is.Vote
	}
}
