package node

import (
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// Role is what a member currently is (§5.1).
type Role uint8

// The roles. A Learner is a member without a vote, or one that is in no configuration.
const (
	Follower     = Role(core.Follower)
	PreCandidate = Role(core.PreCandidate)
	Candidate    = Role(core.Candidate)
	Leader       = Role(core.Leader)
	Learner      = Role(core.Learner)
)

// String returns the role in lower case.
func (r Role) String() string { return core.Role(r).String() }

// Status is a copy of what a member knew at one moment. Its parts belong together, and none of them
// is written again: it may be kept and shared, but not changed.
type Status struct {
	ID    raft.PeerID
	Group raft.GroupID
	Role  Role
	Term  raft.Term
	// Leader is the leader of Term; zero while none is known.
	Leader raft.Peer

	First   raft.Index // the oldest entry in the log; Last+1 while there is none
	Last    raft.Index // the newest entry
	Durable raft.Index // the newest entry that is on this member's disk
	Commit  raft.Index // the newest entry known to be committed
	Applied raft.Index // the newest entry that the state machine has applied

	Configuration raft.Configuration // the newest in this member's log, committed or not (§6)
	Peers         []PeerStatus       // what the leader knows of the others; empty on all other members

	Snapshot     raft.SnapshotMeta // this member's newest; zero: none
	Saving       bool              // one is being taken
	Pulling      raft.SnapshotMeta // what is being fetched from the leader; zero: nothing
	PullingBytes int64             // of it, that are here

	PendingBytes int64  // of commands accepted here and not yet completed, with 25 for each of them
	PendingReads int    // callers that wait for an index: the leader's, or to be applied
	Dropped      uint64 // messages that came while the inbox was full

	// Removed: this member was one of the group and is not any more, as a voter told it or as its own
	// log shows. It may be stopped; or be added again.
	Removed bool
	// Strangers are members that were started with other first peers than this one, whom it does not
	// listen to: one of the two lists is wrong.
	Strangers []raft.PeerID
	// Changing is the membership change under way; nil: none. The leader alone knows.
	Changing *Changing
	// Transferring is whom leadership is being handed to; empty: nobody, or whoever answers first. The
	// leader alone knows.
	Transferring raft.PeerID

	// Fault is why the member has failed; nil while it runs and after Stop.
	Fault error
}

// Changing is a membership change under way.
type Changing struct {
	Target     raft.Configuration // what the membership is to be
	CatchingUp []raft.PeerID      // the new voters whom it waits for; empty once it is in the log
}

// PeerStatus is a leader's view of one other member.
type PeerStatus struct {
	ID            raft.PeerID
	State         string     // how it is sent entries: probe, replicate or snapshot
	Match         raft.Index // the newest entry known to be on its disk
	Next          raft.Index // the next entry to send
	Inflight      int        // append messages sent and not answered
	InflightBytes int        // bytes of entries in them
	// Snapshot is what it fetches, and SnapshotBytes how much of that is there, in state snapshot.
	Snapshot      raft.SnapshotMeta
	SnapshotBytes int64
	// LastHeard is the time since the last message from it.
	LastHeard time.Duration
	// LostLog: it lacks what it had acknowledged to this leader, so its directory was emptied, or
	// replaced by another. What it has voted for is forgotten, too: remove it, and add it as new.
	LostLog bool
}

// Status returns what the member last knew of itself and its group. It takes no lock and may be
// called as often as one likes. The copy is some milliseconds old, but never older than a result
// that the caller has seen.
func (n *Node) Status() Status {
	s := *n.status.Load()
	s.Applied = max(s.Applied, n.applied.Index())
	s.Commit = max(s.Commit, s.Applied)
	s.Last = max(s.Last, s.Commit)
	s.PendingBytes, s.PendingReads = n.pending.Load()&pendingBytes, int(n.reading.Load())
	s.Dropped = n.dropped.Load()
	s.Saving = n.keeper.Saving()
	return s
}

// publish makes the state of now the one that Status returns.
func (l *loop) publish(now time.Duration) {
	c := l.core.Status()
	s := &Status{
		ID: l.opts.ID, Group: l.opts.Group, Role: Role(c.Role), Term: c.Term,
		First: c.First, Last: c.Last.Index, Durable: c.Durable,
		Commit: c.Committed, Applied: c.Applied,
		Configuration: c.Configuration,
		Snapshot:      c.Snapshot, Pulling: c.Pulling, PullingBytes: c.Arrived,
	}
	s.Leader = l.memberOf(&c.Configuration, c.Leader)
	s.Transferring, s.Changing = c.Transferring, changing(&c)
	if s.Strangers = c.Strangers; len(s.Strangers) > l.strangers {
		l.strangers = len(s.Strangers)
		l.log.Error("raft: members were started with other Options.Peers or Learners than this one; "+
			"start them anew, with empty directories and the same lists", "members", s.Strangers)
	}
	_, member := c.Configuration.Peer(l.opts.ID)
	l.member = l.member || member
	s.Removed = c.Removed || l.member && !member && c.Configuration.Index <= c.Committed
	if was := l.status.Load(); s.Removed && was != nil && !was.Removed {
		l.log.Info("raft: this member was removed from the group", "by", c.Configuration.String())
	}
	for _, p := range c.Peers {
		s.Peers = append(s.Peers, PeerStatus{
			ID: p.ID, State: p.State, Match: p.Match, Next: p.Next,
			Inflight: p.Messages, InflightBytes: p.Bytes, LastHeard: p.Silent,
			Snapshot: p.Snapshot, SnapshotBytes: p.Arrived, LostLog: p.LostLog,
		})
		if p.LostLog && !l.status.Load().lost(p.ID) {
			l.log.Error("raft: a peer has lost its log: remove it, and add it under a new id", "lost", p.ID)
		}
	}
	l.status.Store(s)
	l.leader.Set(s.Leader)
	l.published, l.stale = now, false
}

// lost reports whether the peer was known to have lost its log.
func (s *Status) lost(id raft.PeerID) bool {
	return slices.ContainsFunc(s.Peers, func(p PeerStatus) bool { return p.ID == id && p.LostLog })
}

// memberOf returns the peer with that id as the configuration has it, and where it is reached.
func (l *loop) memberOf(c *raft.Configuration, id raft.PeerID) raft.Peer {
	p, ok := c.Peer(id)
	if !ok {
		p.ID = id
	}
	if addr, ok := l.core.Address(id); ok {
		p.Addr = addr
	}
	return p
}

// changing tells of the change under way: those that are to vote and are not in the log yet are
// being caught up.
func changing(c *core.Status) *Changing {
	if c.Changing == nil {
		return nil
	}
	out := &Changing{Target: *c.Changing}
	for _, p := range c.Changing.Voters {
		if !c.Configuration.IsVoter(p.ID) {
			out.CatchingUp = append(out.CatchingUp, p.ID)
		}
	}
	return out
}

// publishEnd shows that the member has ended. The core is left alone: it may be what has failed.
func (l *loop) publishEnd() {
	s := *l.status.Load()
	s.Leader, s.Fault, s.Peers = raft.Peer{}, l.fault, nil
	if s.Role != Learner {
		s.Role = Follower
	}
	l.status.Store(&s)
}
