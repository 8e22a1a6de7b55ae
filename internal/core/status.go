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
	CachedBytes   int // entries in memory
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
	for _, p := range c.peers {
		messages, bytes := p.Inflight()
		s.Peers = append(s.Peers, PeerStatus{
			p.ID, p.State.String(), p.Match, p.Next, messages, bytes, c.now - p.Heard,
			p.Installing, p.Installed,
		})
	}
	return s
}

// Address returns where a member of the configuration in force is reached.
func (c *Core) Address(id raft.PeerID) (string, bool) {
	p, ok := c.configuration().Peer(id)
	return p.Addr, ok
}
