package witness

import "github.com/jraft-go/jraft/raft"

// extend adds the next entry of a leader's log to what is committed.
func (h *History) extend(m *Member, by raft.Term) {
	x := m.Vol.log[len(h.committed)]
	h.committed = append(h.committed, commitment{x, by})
	if x.serial != 0 {
		h.loggedOnce(x.serial, h.Commit())
	}
	if x.piece != "" {
		h.staged(h.Commit(), x.piece)
	}
}

// committedForEver is I8 (§5.4.3, State Machine Safety): wherever a member's commit index passes
// an entry, it is the one that was committed there first.
func (h *History) committedForEver(m *Member, i raft.Index) {
	h.Check(i <= h.Commit(), "I8 committed is for ever",
		"m%d believes %d committed, no leader has committed it",
		m.Index, i)
	h.Check(m.Vol.Last() >= i && m.Vol.chain(i) == h.committed[i-1].chain, "I8 committed is for ever",
		"m%d: its entry %d, or one before it, is not the one that was committed", m.Index, i)
}
