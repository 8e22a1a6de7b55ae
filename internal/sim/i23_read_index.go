package sim

import "github.com/jraft-go/jraft/raft"

// served is I23 (§8, thesis §6.4): a read is served at an index that covers everything that was committed, by
// anyone, when the read began. (Stricter than what clients can tell, who only see what was acknowledged.)
func (h *history) served(o *op, i raft.Index) {
	h.c.check(!o.write && i >= o.committed, "I23 read index", "read %d at m%d is served at %d, %d was committed before",
		o.serial, o.m.index, i, o.committed)
	h.c.check(i <= h.commit(), "I23 read index", "read %d at m%d is served at %d, which is not committed", o.serial,
		o.m.index, i)
}
