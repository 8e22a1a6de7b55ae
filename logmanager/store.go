package logmanager

import "github.com/jraft-go/jraft/raft"

// Store keeps the logs and hard states of any number of groups on disk. It corresponds to
// sofa-jraft's LogStorage and RaftMetaStorage together: one ordered stream, so that nothing has to
// be kept in step.
//
// Write is called by one goroutine at a time; Read and Load may be called beside it, from several
// goroutines.
type Store interface {
	// Load returns what the store holds of a group; a zero Stored if it has never seen it.
	Load(group raft.GroupID) (Stored, error)

	// Write carries out the writes in order and returns when all of them are durable: one sync for
	// the lot. After an error nothing is known about the writes of this call and every later Write
	// fails too (fsync errors are final). The store does not keep the slices it is given, nor the
	// entries' data.
	Write(batch []Write) error

	// Read appends the entries lo..hi (both included) to dst, at least one, and stops early rather
	// than exceed maxBytes of frames. The entries' data is the caller's. raft.ErrCompacted: lo is
	// no longer there.
	Read(group raft.GroupID, lo, hi raft.Index, maxBytes int, dst []raft.Entry) ([]raft.Entry, error)

	// Close releases the store's files. It does not wait for a Write under way; none may follow.
	Close() error
}

// Write is one durable change of one group's log. Its parts take effect in the order of the fields.
type Write struct {
	Seq       uint64          // the write number, rising within a group; 0: nothing to write
	Group     raft.GroupID    //
	HardState *raft.HardState // nil: unchanged
	Reset     raft.LogID      // forget all entries: the log goes on after this one; zero: no
	Truncate  raft.Index      // remove this index and all above it; 0: nothing to remove
	Entries   []raft.Entry    // follow the last entry that is left, without a gap
	Compact   raft.Index      // entries up to here may go, when it suits the store; 0: none
}

// Stored is what a store holds of one group at start.
type Stored struct {
	HardState      raft.HardState
	Base           raft.LogID   // the entry before the first one; zero while nothing was compacted
	Last           raft.LogID   // the last entry; equal to Base if there is none
	Runs           []Run        // the terms of the entries after Base, oldest first
	Configurations []raft.Entry // every configuration entry that is there, oldest first
}

// Empty reports whether the store has never held anything of the group.
func (s *Stored) Empty() bool {
	return s.HardState == raft.HardState{} && s.Last == raft.LogID{}
}

// Run is a stretch of entries of one term: those from First up to the next run.
type Run struct {
	First raft.Index
	Term  raft.Term
}
