package core

import (
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// Proposal is a command that a user of this member wants in the log.
type Proposal struct {
	ID         uint64 // chosen by the caller, unique while the proposal is undecided
	Data       []byte // not kept
	ExpectTerm raft.Term
	NoForward  bool
	Restore    bool // the data is a raft.RestoreChunk
}

// Placed tells where a proposal stands in the log or, with Err, that it was not appended. A placed
// command is not committed yet: it is when an entry with this very LogID is applied.
type Placed struct {
	ID  uint64
	At  raft.LogID
	Err error
	// Unknown: it may have been appended (by a leader that was not heard of again). Goes with Err.
	Unknown bool
}

// ReadReady ends a read: the state machine may be read once it has applied Index. With Err it was
// not served; asking again is safe.
type ReadReady struct {
	ID    uint64
	Index raft.Index
	Err   error
}

// Fetch asks for entries Lo..Hi that are no longer in memory, on behalf of a peer (empty: for
// applying here). It is answered with [Core.Fetched]; there is at most one unanswered fetch for
// each peer.
type Fetch struct {
	Peer     raft.PeerID
	Lo, Hi   raft.Index
	MaxBytes int
}

// Pull asks for a snapshot of another member to be fetched and published; the zero Pull ends the
// one under way, because it is not needed any more.
type Pull struct {
	From raft.PeerID
	Addr string // where it is reached
	Meta raft.SnapshotMeta
}

// Role is what a member currently is (§5.1).
type Role uint8

// The roles. A Learner is a member without a vote, or one that is in no configuration.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
	Learner
)

// String returns the role in lower case.
func (r Role) String() string {
	return [...]string{"follower", "precandidate", "candidate", "leader", "learner"}[r]
}

// Situation is the part of the state that others watch for changes.
type Situation struct {
	Role   Role
	Term   raft.Term
	Leader raft.PeerID // empty: not known
}

// Output is what must be done. The slices are reused by the next Take; their elements' memory is
// not.
type Output struct {
	Write     logmanager.Write // Seq 0: nothing to write; else answered with Written(Seq)
	Messages  []raft.Message
	Apply     []raft.Entry // the next committed entries, answered with Applied
	Fetches   []Fetch
	Pull      *Pull              // fetch this snapshot instead of any before; answered with Pulled
	Restore   *raft.SnapshotMeta // after Apply: replace the state by this one; answered with Applied
	Placed    []Placed
	Reads     []ReadReady
	Changes   []Changed
	Transfers []Transferred
	Situation Situation
	Changed   bool       // Situation differs from that of the last Take
	Cause     error      // why leadership ended, if it did
	Committed raft.Index // commit index
	// Lost: commands placed in this and earlier terms and above Committed are not known to be
	// committed, and this member can't promise to learn it: their outcome is unknown. 0: none are
	// lost.
	Lost raft.Term
}
