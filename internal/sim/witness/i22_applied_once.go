package witness

import "github.com/jraft-go/jraft/raft"

// Applied is I22: in one life of a state machine every index is applied once, in order, without
// gaps, and is what was committed there.
func (h *History) Applied(m *Member, before raft.Index, batch []raft.Entry) {
	next := before + 1
	for i := range batch {
		e := &batch[i]
		h.Check(e.Index == next, "I22 exactly-once apply", "m%d applies %d, next is %d", m.Index,
			e.Index, next)
		h.Check(e.Index <= h.Commit(), "I22 exactly-once apply", "m%d applies %d, which is not committed",
			m.Index, e.Index)
		x := &h.committed[e.Index-1]
		h.Check(x.term == e.Term && x.kind == e.Kind && x.serial == Serial(e), "I22 exactly-once apply",
			"m%d applies %v, which is not what was committed there", m.Index, e.ID())
		next++
	}
}
