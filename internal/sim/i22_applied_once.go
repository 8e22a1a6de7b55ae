package sim

import "github.com/jraft-go/jraft/raft"

// appliedOnce is I22: in one life of a state machine every index is applied once, in order, without gaps, and is what
// was committed there.
func (h *history) appliedOnce(m *member, batch []raft.Entry) {
	next := m.applier.Applied() + 1
	for i := range batch {
		e := &batch[i]
		h.c.check(e.Index == next, "I22 exactly-once apply", "m%d applies %d, next is %d", m.index, e.Index, next)
		h.c.check(e.Index <= h.commit(), "I22 exactly-once apply", "m%d applies %d, which is not committed",
			m.index, e.Index)
		x := &h.committed[e.Index-1]
		h.c.check(x.term == e.Term && x.kind == e.Kind && x.serial == serialOf(e), "I22 exactly-once apply",
			"m%d applies %v, which is not what was committed there", m.index, e.ID())
		next++
	}
}
