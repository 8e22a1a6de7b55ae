package core

import (
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// beginRound begins a round of heartbeats. Its number is the time, and rises even when the time
// stands still.
func (c *Core) beginRound() {
	invariant.Check(c.role == Leader, "only a leader sends heartbeats", uint64(c.role))
	c.round = max(uint64(c.now), c.round+1)
	c.heartbeatAt = c.now + c.o.HeartbeatInterval
}

// beat sends a heartbeat of the round begun last, during it or later: whoever answers it has
// followed this leader since that round was begun, so it confirms no read that came afterwards.
func (c *Core) beat(p *replicator.Progress) {
	invariant.Check(p.Match <= c.tail.Last().Index, "a follower holds no more than the leader",
		uint64(p.Match), uint64(c.tail.Last().Index))
	invariant.Check(c.role == Leader && c.round != 0, "a heartbeat that is to be answered has a round",
		uint64(c.role))
	beat := &raft.Heartbeat{Round: c.round, Commit: min(c.box.Commit(), p.Match)}
	if !p.Answered || c.now-p.Heard >= 2*c.o.HeartbeatInterval {
		beat.Addr, _ = c.Address(c.o.ID)
	}
	c.send(p.ID, beat)
}

// broadcast sends one round of heartbeats.
func (c *Core) broadcast() {
	c.beginRound()
	for _, p := range c.peers {
		c.beat(p)
		if p.State == replicator.Snapshot {
			if c.snapshot.Last.Index > p.Installing.Last.Index && p.Stuck(c.now, 10*c.o.ElectionTimeout) {
				p.Install(c.now, c.snapshot) // the log after the old one may be gone
			}
			c.send(p.ID, &raft.InstallSnapshot{Meta: p.Installing})
		}
	}
	c.readRoundSent()
}

// answered returns the latest round that a quorum answered.
func (c *Core) answered() uint64 { return c.rounds.Answered(c.configuration(), c.o.ID, c.round) }

// answeredAt returns when that round was sent: a quorum followed this leader then (§6.4).
func (c *Core) answeredAt() time.Duration {
	if c.alone() {
		return c.now
	}
	return time.Duration(c.answered())
}

// heard notes a message of this term's leader. Two leaders in one term can't be (§5.2): if it
// happens all the same, the group is broken, and this member stops rather than follow both.
func (c *Core) heard(leader raft.PeerID) {
	invariant.Check(c.role != Leader, "a term has one leader, and it is this member", uint64(c.term()))
	invariant.Check(c.leader == "" || c.leader == leader, "a term has one leader", uint64(c.term()))
	if c.role != Follower || c.leader != leader {
		c.follow(c.term(), leader, nil)
	}
	if c.tail.HardState().Vote == "" {
		// To follow is to vote: after a restart, or without the disk on which another vote stood, this
		// member must not help a second candidate of the term.
		c.tail.SetHardState(raft.HardState{Term: c.term(), Vote: leader})
		c.termSeq = c.tail.Seq()
	}
	invariant.Check(c.tail.HardState().Vote != "", "no vote is free in a term with a leader",
		uint64(c.term()))
	c.heardAt = c.now
	c.suspect, c.split, c.missed, c.removed, c.heldUpAt = suspicion{}, false, 0, false, 0
	c.awaitElection()
}

// onHeartbeat answers the leader at once, whatever the disk does. That this member is in the
// leader's term now is true whatever happens next; of its log the answer says only what is durable
// already.
func (c *Core) onHeartbeat(from raft.PeerID, b *raft.Heartbeat) {
	c.heard(from)
	c.learnCommit(min(b.Commit, c.verified))
	if b.Round != 0 {
		c.send(from, &raft.HeartbeatReply{
			Round: b.Round, Received: c.verified, Match: min(c.verified, c.durableInTerm()),
		})
	}
}

func (c *Core) onHeartbeatReply(from raft.PeerID, b *raft.HeartbeatReply) {
	p := c.peer(from)
	if c.role != Leader || p == nil || b.Round == 0 || b.Round > c.round {
		return
	}
	p.Hear(c.now)
	// Without news it is no answer to a probe: that one may wait behind entries.
	if b.Match > p.Match && b.Match <= c.tail.Last().Index && p.Accepted(c.now, b.Match) {
		c.countCommit()
	}
	p.Beat(c.now, b.Received)
	c.rounds.Ack(from, b.Round)
	c.confirmReads()
}
