package sim

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// answered is the first part of I21: the core answers each proposal and each read of this life exactly once.
func (h *history) answered(m *member, o *op) {
	h.c.check(o.m == m && o.life == m.life && o.fate == open, "I21 one outcome",
		"m%d answers %d a second time, or for another", m.index, o.serial)
}

// placed: a place in the log, or a reason, and the term that was asked for.
func (h *history) placed(o *op, p *core.Placed) {
	h.c.check((p.Err == nil) == (p.At.Index > 0) && (p.Err != nil || !p.Unknown), "I21 one outcome",
		"proposal %d is placed at %v with error %v", o.serial, p.At, p.Err)
	h.c.check(o.write && (p.Err != nil || o.expect == 0 || p.At.Term == o.expect), "I21 one outcome",
		"proposal %d wants term %d and is placed at %v", o.serial, o.expect, p.At)
}

// settled: what is certainly not in the log is not among what was committed.
func (h *history) settled(o *op) {
	h.c.check(!o.write || o.fate != notAppended || o.logged == 0, "I21 one outcome",
		"write %d counts as not appended and is committed at %d", o.serial, o.logged)
	h.c.report.Settled[o.fate]++
}

// loggedOnce: a command is committed once, and not after it was said that it never will be.
func (h *history) loggedOnce(serial uint64, i raft.Index) {
	o := h.c.ops[serial-1]
	h.c.check(o.logged == 0, "I21 one outcome", "write %d is committed at %d and again at %d", serial, o.logged, i)
	h.c.check(o.fate != notAppended, "I21 one outcome", "write %d counts as not appended and is committed at %d",
		serial, i)
	o.logged = i
}
