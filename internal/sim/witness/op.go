package witness

import (
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Fate is what has become of an operation.
type Fate uint8

// The fates.
const (
	Open        Fate = iota // the core owes an answer
	Placed                  // a write: in the log, not known to be committed; a read: served
	Acked                   // done: the client has its answer
	NotAppended             // a write that never will be in the log, or a read that was not served
	Unknown                 // a write of which nobody can tell
	Fates                   // how many there are
)

// Op is one write or read of a client. Its serial is the id that the core knows it by, and the
// value of a write.
type Op struct {
	Serial    uint64
	Member    *Member
	Life      uint64 // of the member
	Write     bool
	Piece     bool // a Write that is no command: a piece of a backup
	Key       int
	Expect    raft.Term
	Start     time.Duration
	End       time.Duration
	Floor     raft.Index // the value read must have been written here or later
	Committed raft.Index // committed when the operation began: a read is not served below
	Fate      Fate
	At        raft.LogID // where it was placed; of a read only the index
	Value     uint64     // a read's answer
	Logged    raft.Index // where the write was committed, 0: it was not
	Lost      bool       // it was acknowledged, and lost with a majority
}

// Begin notes an operation that a client begins at a member now, and numbers it.
func (h *History) Begin(o *Op) {
	h.ops = append(h.ops, o)
	o.Serial, o.Life = uint64(len(h.ops)), o.Member.Life
	o.Floor, o.Committed = h.floor[o.Key], h.Commit()
}
