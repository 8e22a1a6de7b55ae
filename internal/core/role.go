package core

import (
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// follow makes this member a follower in the given term, of the given leader if that is known.
func (c *Core) follow(term raft.Term, leader raft.PeerID, cause error) {
	invariant.Check(term >= c.term(), "a term never falls", uint64(term), uint64(c.term()))
	if term > c.term() {
		c.forsake(true)
		c.loseTerm()
		c.tail.SetHardState(raft.HardState{Term: term})
		c.termSeq = c.tail.Seq()
		c.verified = c.box.Commit() // every leader to come has what is committed (§5.4)
	} else {
		c.forsake(false)
	}
	c.situate(Follower, leader, cause)
}

// loseTerm notes that the outcome of what was placed up to the current term will not be learned for
// sure.
func (c *Core) loseTerm() { c.out.Lost = max(c.out.Lost, c.term()) }

// situate changes role and leader within the term. What was under way for the old situation ends
// here, at once: nobody waits for an answer that will not come.
func (c *Core) situate(role Role, leader raft.PeerID, cause error) {
	wasLeader := c.role == Leader
	invariant.Check(role != Leader || c.role == Candidate, "only a candidate becomes leader (§5.2)",
		uint64(c.role))
	invariant.Check(role == Follower || leader == "" || leader == c.o.ID,
		"only a follower follows another member", uint64(role))
	if c.role == role && c.leader == leader {
		return
	}
	if c.leader != leader {
		c.failForwards()
		if c.leader != "" {
			c.loseTerm() // what it placed may never be heard of again
		}
	}
	c.role, c.leader = role, leader
	c.suspect = suspicion{}
	if wasLeader {
		c.failChange()
		c.leaveTransfer()
		c.out.Cause = cause
		c.box.Retire()
		c.peers = nil
		c.pendingBytes -= sum(c.pending)
		c.pending = c.pending[:0]
		invariant.Check(c.pendingBytes == 0, "a leader holds no commands but its own",
			uint64(c.pendingBytes))
		c.failLeaderReads()
		c.awaitElection()
	}
	c.settleHandovers()
}

func sum(list []chunk) (bytes int64) {
	for _, k := range list {
		bytes += int64(k.bytes)
	}
	return bytes
}

// lead makes the winner of an election the leader of its term (§5.2).
func (c *Core) lead() {
	invariant.Check(c.electable() && c.ballot.Won(c.configuration()), "a leader is fit, and has won",
		uint64(c.term()))
	invariant.Check(c.tail.HardState().Vote == c.o.ID && c.term() > 0, "a leader voted for itself",
		uint64(c.term()))
	c.situate(Leader, c.o.ID, nil)
	c.rounds.Reset()
	c.beginRound()
	c.renewPeers()
	c.ledSince, c.checkAt = c.now, c.now+c.o.HeartbeatInterval
	c.yieldAt, c.split, c.missed, c.removed, c.heldUpAt = 0, false, 0, false, 0
	c.forwards.seen = nil
	c.box.Lead(c.tail.Last().Index + 1)
	// The first entry of a term repeats the configuration in force: it commits what earlier terms
	// left (§5.4.2, §8) and tells every member the membership.
	c.appendEntries(raft.EntryConfiguration, [][]byte{raft.EncodeConfiguration(*c.configuration())})
}

func (c *Core) peer(id raft.PeerID) *replicator.Progress {
	for _, p := range c.peers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// tickLeader keeps the followers quiet, and steps down where going on would keep others from
// leading: without a quorum (check-quorum, thesis §6.2), or with a disk that hangs.
func (c *Core) tickLeader() {
	if c.now >= c.checkAt {
		c.checkAt = c.now + c.o.HeartbeatInterval
		quorumAt := max(c.answeredAt(), c.ledSince)
		switch {
		case c.now-quorumAt > c.o.ElectionTimeout:
			c.follow(c.term(), "", errNoQuorum)
			return
		case c.stalled(5 * c.o.ElectionTimeout):
			c.follow(c.term(), "", errDiskStalled)
			return
		}
		c.yield()
	}
	if c.now >= c.heartbeatAt {
		c.broadcast()
	}
}
