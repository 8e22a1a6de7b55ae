package witness

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// Answered is the first part of I21: the core answers each proposal and each read of this life
// exactly once.
func (h *History) Answered(m *Member, o *Op) {
	h.Check(o.Member == m && o.Life == m.Life && o.Fate == Open, "I21 one outcome",
		"m%d answers %d a second time, or for another", m.Index, o.Serial)
}

// Placed: a place in the log, or a reason, and the term that was asked for.
func (h *History) Placed(o *Op, p *core.Placed) {
	h.Check((p.Err == nil) == (p.At.Index > 0) && (p.Err != nil || !p.Unknown), "I21 one outcome",
		"proposal %d is placed at %v with error %v", o.Serial, p.At, p.Err)
	h.Check(o.Write && (p.Err != nil || o.Expect == 0 || p.At.Term == o.Expect), "I21 one outcome",
		"proposal %d wants term %d and is placed at %v", o.Serial, o.Expect, p.At)
}

// Settled: what is certainly not in the log is not among what was committed.
func (h *History) Settled(o *Op) {
	h.Check(!o.Write || o.Fate != NotAppended || o.Logged == 0, "I21 one outcome",
		"write %d counts as not appended and is committed at %d", o.Serial, o.Logged)
	h.Outcomes[o.Fate]++
}

// loggedOnce: a command is committed once, and not after it was said that it never will be.
func (h *History) loggedOnce(serial uint64, i raft.Index) {
	o := h.ops[serial-1]
	h.Check(o.Logged == 0, "I21 one outcome", "write %d is committed at %d and again at %d", serial,
		o.Logged, i)
	h.Check(o.Fate != NotAppended, "I21 one outcome",
		"write %d counts as not appended and is committed at %d",
		serial, i)
	o.Logged = i
}
