package sim

import "github.com/jraft-go/jraft/raft"

// extend adds the next entry of a leader's log to what is committed.
func (h *history) extend(m *member, by raft.Term) {
	x := m.vol.log[len(h.committed)]
	h.committed = append(h.committed, commitment{x, by})
	if x.serial != 0 {
		h.loggedOnce(x.serial, h.commit())
	}
}

// committedForEver is I8 (§5.4.3, State Machine Safety): wherever a member's commit index passes an entry, it is the
// one that was committed there first.
func (h *history) committedForEver(m *member, i raft.Index) {
	h.c.check(i <= h.commit(), "I8 committed is for ever", "m%d believes %d committed, no leader has committed it",
		m.index, i)
	h.c.check(m.vol.last() >= i && m.vol.chain(i) == h.committed[i-1].chain, "I8 committed is for ever",
		"m%d: its entry %d, or one before it, is not the one that was committed", m.index, i)
}
