package core

import (
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// suspicion is what a follower does when its stream from the leader breaks: a process that dies
// closes its connections, so the leader may be gone. It asks for pre-votes at once instead of
// waiting out the election timeout. Voters that still hear the leader refuse, so a false alarm
// costs a few messages and nothing else: the follower goes on following meanwhile.
type suspicion struct {
	broken bool          // nothing was heard from the leader since its stream broke
	askAt  time.Duration // when to ask for pre-votes next; 0: not at all
	asked  int           // how often it has
}

const (
	// suspectStep is the part of an election timeout between two followers that ask, so that they
	// don't split the vote.
	suspectStep = 50
	// suspectTurns is how often a follower asks: others may notice the break a little later.
	suspectTurns = 5
)

// Broken tells that the connection over which a peer's messages came has ended, after all messages
// that came over it.
func (c *Core) Broken(now time.Duration, from raft.PeerID) {
	c.advance(now)
	if c.role != Follower || from != c.leader {
		return
	}
	invariant.Check(c.leader != "" && c.leader != c.o.ID, "a leader is suspected by another")
	c.suspect = suspicion{broken: true}
	if c.electable() {
		c.suspect.askAt = c.now + c.turn() + 1
	}
}

// turn returns how long this member leaves it to others to ask first.
func (c *Core) turn() time.Duration {
	before := 0
	for _, p := range c.configuration().Voters {
		if p.ID != c.leader && c.precedes(p.ID) {
			before++
		}
	}
	step := c.o.ElectionTimeout / suspectStep
	jitter := time.Duration(c.rand.Int64N(int64(step/4) + 1))
	return time.Duration(before)*step + jitter
}

// precedes reports whether it is for another voter rather than for this one to take over: one of
// higher priority or, among equals, one that comes first in the configuration.
func (c *Core) precedes(id raft.PeerID) bool {
	conf := c.configuration()
	self, _ := conf.Peer(c.o.ID)
	first := true // until this member is met
	for _, p := range conf.Voters {
		switch p.ID {
		case c.o.ID:
			first = false
		case id:
			return p.Priority != raft.NeverLeader &&
				(p.Priority > self.Priority || p.Priority == self.Priority && first)
		}
	}
	return false
}

// giveWay leaves it to a voter that precedes this one to campaign, which it is about to: two that
// suspect the leader at once must not split the vote.
func (c *Core) giveWay(to raft.PeerID) {
	s := &c.suspect
	if !s.broken || !c.precedes(to) {
		return
	}
	invariant.Check(to != c.o.ID, "a member gives way to another")
	voters := len(c.configuration().Members())
	s.asked = 0 // answers to what was asked before don't count any more
	if s.askAt != 0 {
		s.askAt = c.now + time.Duration(voters)*(c.o.ElectionTimeout/suspectStep)
	}
}

// meetRival brings the next candidacy forward when the vote was split all the same, once until a
// leader is heard: then chance must decide, as always.
func (c *Core) meetRival() {
	if c.role != Candidate || c.split {
		return
	}
	c.split = true
	voters := len(c.configuration().Members())
	pause := time.Duration(2*voters)*(c.o.ElectionTimeout/suspectStep) + 2*c.turn()
	invariant.Check(pause >= 0, "an election is repeated after the one before", uint64(voters))
	c.electionAt = min(c.electionAt, c.now+pause) // past already, if this member was held up
}

// checkLeader asks for pre-votes while it goes on following.
func (c *Core) checkLeader() {
	s := &c.suspect
	s.askAt = 0
	if c.role != Follower || !s.broken || !c.electable() {
		return
	}
	s.asked++
	invariant.Check(s.asked <= suspectTurns, "a suspect asks some times", uint64(s.asked))
	if s.asked < suspectTurns {
		voters := len(c.configuration().Members())
		s.askAt = c.now + time.Duration(voters)*(c.o.ElectionTimeout/suspectStep)
	}
	c.requestPreVotes()
}
