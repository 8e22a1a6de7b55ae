package witness

import "github.com/jraft-go/jraft/raft"

// Served is I23 (§8, thesis §6.4): a read is served at an index that covers everything that was
// committed, by anyone, when the read began. (Stricter than what clients can tell, who only see
// what was acknowledged.)
func (h *History) Served(o *Op, i raft.Index) {
	h.Check(!o.Write && i >= o.Committed, "I23 read index",
		"read %d at m%d is served at %d, %d was committed before",
		o.Serial, o.Member.Index, i, o.Committed)
	h.Check(i <= h.Commit(), "I23 read index",
		"read %d at m%d is served at %d, which is not committed", o.Serial,
		o.Member.Index, i)
}
