package witness

import "github.com/jraft-go/jraft/raft"

// Acked notes an acknowledged write: it must be committed at the place that it was given, with
// the result of its own.
func (h *History) Acked(o *Op, at raft.LogID, value any) {
	h.Check(at == o.At && o.Logged == at.Index && h.committed[at.Index-1].term == at.Term,
		"I25 no lost write", "write %d is acknowledged at %v, committed at %d", o.Serial, at, o.Logged)
	h.Check(value == any(o.Serial), "I25 no lost write", "write %d gets the result of %v", o.Serial,
		value)
	h.floor[o.Key] = max(h.floor[o.Key], at.Index)
	h.Writes++
}

// noLostWrite is I25, at the end: every acknowledged write is in every member's log, where it was
// acknowledged, unless those that had it are lost.
func (h *History) noLostWrite(group []*Member) {
	for _, o := range h.ops {
		if !o.Write || o.Piece || o.Fate != Acked || o.Lost {
			continue
		}
		for _, m := range group {
			h.Check(m.Dur.Last() >= o.At.Index && m.Dur.log[o.At.Index-1].serial == o.Serial,
				"I25 no lost write",
				"write %d, acknowledged at %v, is not on the disk of m%d", o.Serial, o.At, m.Index)
		}
	}
}
