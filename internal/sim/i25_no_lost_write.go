package sim

import "github.com/jraft-go/jraft/raft"

// acked notes an acknowledged write: it must be committed at the place that it was given, with the result of its own.
func (h *history) acked(o *op, at raft.LogID, value any) {
	h.c.check(at == o.at && o.logged == at.Index && h.committed[at.Index-1].term == at.Term,
		"I25 no lost write", "write %d is acknowledged at %v, committed at %d", o.serial, at, o.logged)
	h.c.check(value == any(o.serial), "I25 no lost write", "write %d gets the result of %v", o.serial, value)
	h.floor[o.key] = max(h.floor[o.key], at.Index)
	h.c.report.Writes++
}

// noLostWrite is I25, at the end: every acknowledged write is in every member's log, where it was acknowledged.
func (h *history) noLostWrite() {
	for _, o := range h.c.ops {
		if !o.write || o.fate != acked {
			continue
		}
		for _, m := range h.c.members {
			h.c.check(m.dur.last() >= o.at.Index && m.dur.log[o.at.Index-1].serial == o.serial, "I25 no lost write",
				"write %d, acknowledged at %v, is not on the disk of m%d", o.serial, o.at, m.index)
		}
	}
}
