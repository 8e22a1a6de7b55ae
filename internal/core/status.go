package core

import (
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Status is a copy of what a member knows of itself and, while it leads, of the others.
type Status struct {
	Situation
	Vote          raft.PeerID
	First         raft.Index // of the log
	Last          raft.LogID
	Durable       raft.Index // the log is on disk up to here
	Committed     raft.Index
	Applied       raft.Index
	Configuration raft.Configuration // shared: read only
	Snapshot      raft.SnapshotMeta  // the newest own one
	Pulling       raft.SnapshotMeta  // being fetched from the leader; zero: none
	Arrived       int64              // bytes of it
	Peers         []PeerStatus       // while leading: every other member
	PendingBytes  int64              // commands appended or forwarded, not yet durable and applied
	PendingReads  int
	Changing      *raft.Configuration // while leading: what the membership is being changed to
	Transferring  raft.PeerID         // while leading: to whom leadership is handed; empty: nobody
	Strangers     []raft.PeerID       // members that were started with other first peers; shared
	Removed       bool                // this member was told that it is none any more
	CachedBytes   int                 // entries in memory
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID       raft.PeerID
	State    string        // probe, replicate or snapshot
	Match    raft.Index    // its durable log agrees up to here
	Next     raft.Index    // the next entry to send
	Messages int           // of entries, sent and not answered
	Bytes    int           // of entries in them
	Silent   time.Duration // since it was last heard

	LostLog  bool              // it lacks what it had acknowledged
	Snapshot raft.SnapshotMeta // in state snapshot: what the peer is fetching
	Arrived  int64             // bytes of it
}

// Status returns a copy of the state, for people to look at.
func (c *Core) Status() Status {
	s := Status{
		Situation: c.situation(), Vote: c.tail.HardState().Vote,
		First: c.tail.First(), Last: c.tail.Last(), Durable: c.tail.Durable(),
		Committed: c.box.Commit(), Applied: c.applied, Configuration: *c.configuration(),
		Snapshot: c.snapshot, Pulling: c.pull.Meta, Arrived: c.pulled,
		PendingBytes: c.pendingBytes, PendingReads: c.pendingReads(), CachedBytes: c.tail.CachedBytes(),
	}
	s.Transferring, s.Removed = c.transfer.to, c.removed
	s.Strangers = c.strangers[:len(c.strangers):len(c.strangers)]
	if c.change != nil {
		target := c.change.target.Clone()
		s.Changing = &target
	}
	for _, p := range c.peers {
		messages, bytes := p.Inflight()
		s.Peers = append(s.Peers, PeerStatus{
			p.ID, p.State.String(), p.Match, p.Next, messages, bytes, c.now - p.Heard, p.LostLog,
			p.Installing, p.Installed,
		})
	}
	return s
}
