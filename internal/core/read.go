package core

import (
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// reads are linearizable reads on their way to an index (thesis §6.4). A leader confirms that it
// still leads with a round of heartbeats that starts after the read came; one round is under way at
// a time, and the next serves all that came meanwhile. A follower asks its leader, in the same
// manner.
type reads struct {
	waiting []read // for a round, or on a follower for the leader to be asked
	inRound []read // of heartbeats that was sent, oldest round first

	asked    *raft.ReadIndex // the follower's question under way
	askedIDs []uint64        // the reads that it serves
	repeatAt time.Duration
	next     uint64 // id of the next question; starts at a number drawn for this incarnation
}

type read struct {
	id    uint64
	from  raft.PeerID // the follower that asked; empty: a read of this member
	round uint64
	index raft.Index
}

func (c *Core) pendingReads() int {
	return len(c.reads.waiting) + len(c.reads.inRound) + len(c.reads.askedIDs)
}

// Read asks for an index to read at. It comes back once in [Output.Reads], unless this member
// stops.
func (c *Core) Read(now time.Duration, id uint64) {
	c.advance(now)
	switch {
	case c.leader == "":
		c.readReady(id, 0, raft.ErrNoLeader)
	case c.pendingReads() >= c.o.MaxPendingReads:
		c.readReady(id, 0, raft.ErrBusy)
	default:
		c.reads.waiting = append(c.reads.waiting, read{id: id})
	}
}

func (c *Core) readReady(id uint64, i raft.Index, err error) {
	c.out.Reads = append(c.out.Reads, ReadReady{ID: id, Index: i, Err: err})
}

// startReads sends what waiting reads need, unless the round or question before is still under way.
func (c *Core) startReads() {
	r := &c.reads
	if len(r.waiting) == 0 {
		return
	}
	if c.role == Leader {
		if len(r.inRound) == 0 && c.box.OwnTermCommitted() {
			c.broadcast()
		}
		return
	}
	invariant.Check(c.leader != "", "reads wait only while a leader is known", uint64(len(r.waiting)))
	if r.asked != nil {
		return
	}
	r.next++
	r.asked = &raft.ReadIndex{ID: r.next}
	for i := range r.waiting {
		r.askedIDs = append(r.askedIDs, r.waiting[i].id)
	}
	r.waiting = r.waiting[:0]
	r.repeatAt = c.now + 2*c.o.HeartbeatInterval
	c.send(c.leader, r.asked)
}

// readRoundSent lets waiting reads rest on the heartbeat round that was just sent. Before an entry
// of its own term is committed a leader does not know what is, so until then they wait on (§8).
func (c *Core) readRoundSent() {
	r := &c.reads
	if !c.box.OwnTermCommitted() {
		return
	}
	for _, w := range r.waiting {
		w.round, w.index = c.round, c.box.Commit()
		r.inRound = append(r.inRound, w)
	}
	r.waiting = r.waiting[:0]
	c.confirmReads() // a group of one has its quorum already, and nobody will answer
}

// confirmReads ends the reads whose round a quorum has answered.
func (c *Core) confirmReads() {
	r := &c.reads
	if len(r.inRound) == 0 {
		return
	}
	answered := c.answered()
	invariant.Check(c.role == Leader && c.box.OwnTermCommitted(),
		"only a leader that has committed in its term serves reads", uint64(c.role))
	invariant.Check(answered <= c.round, "no round is answered before it is sent", answered, c.round)
	done := 0
	for done < len(r.inRound) && r.inRound[done].round <= answered {
		w := r.inRound[done]
		invariant.Check(w.index <= c.box.Commit(), "a read index is committed", uint64(w.index))
		if w.from == "" {
			c.readReady(w.id, w.index, nil)
		} else {
			c.send(w.from, &raft.ReadIndexReply{ID: w.id, Index: w.index})
		}
		done++
	}
	r.inRound = append(r.inRound[:0], r.inRound[done:]...)
}

// onReadIndex serves a follower's question like a read of this member. A stranger, one that this
// leader's configuration does not know, gets no answer: it may be a member no more, and reads must
// not outlive membership. Nor does one that comes when too much is pending: it will be repeated.
func (c *Core) onReadIndex(from raft.PeerID, b *raft.ReadIndex) {
	if c.role != Leader {
		c.send(from, &raft.ReadIndexReply{ID: b.ID, Refused: true})
		return
	}
	asked := func(r read) bool { return r.from == from && r.id == b.ID }
	_, member := c.configuration().Peer(from)
	if !member || c.pendingReads() >= c.o.MaxPendingReads ||
		slices.ContainsFunc(c.reads.waiting, asked) || slices.ContainsFunc(c.reads.inRound, asked) {
		return
	}
	c.reads.waiting = append(c.reads.waiting, read{id: b.ID, from: from})
}

func (c *Core) onReadIndexReply(from raft.PeerID, b *raft.ReadIndexReply) {
	r := &c.reads
	if r.asked == nil || from != c.leader || b.ID != r.asked.ID {
		return
	}
	if b.Refused {
		// It does not lead this term any more, so nobody does.
		c.situate(Follower, "", nil)
		return
	}
	invariant.Check(len(r.askedIDs) > 0, "a question is asked for reads that wait", b.ID)
	for _, id := range r.askedIDs {
		c.readReady(id, b.Index, nil)
	}
	r.asked, r.askedIDs = nil, r.askedIDs[:0]
}

// failLeaderReads ends the reads that a leader could not confirm before it lost leadership.
// Followers whose questions go with them notice the change of leader themselves.
func (c *Core) failLeaderReads() {
	r := &c.reads
	for _, list := range [...][]read{r.inRound, r.waiting} {
		for _, w := range list {
			if w.from == "" {
				c.readReady(w.id, 0, raft.ErrLeadershipLost)
			}
		}
	}
	r.inRound, r.waiting = r.inRound[:0], r.waiting[:0]
}

func (c *Core) failFollowerReads() {
	r := &c.reads
	for _, id := range r.askedIDs {
		c.readReady(id, 0, raft.ErrNoLeader)
	}
	r.asked, r.askedIDs = nil, r.askedIDs[:0]
	if c.role == Leader {
		return
	}
	for _, w := range r.waiting {
		c.readReady(w.id, 0, raft.ErrNoLeader)
	}
	r.waiting = r.waiting[:0]
}
