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

// turn returns how long this member leaves it to others to ask first: those of higher priority, and
// among equals those that come first in the configuration.
func (c *Core) turn() time.Duration {
	conf := c.configuration()
	self, _ := conf.Peer(c.o.ID)
	before := 0
	mine := false
	for _, p := range conf.Voters {
		mine = mine || p.ID == c.o.ID
		if p.ID == c.o.ID || p.ID == c.leader || p.Priority == raft.NeverLeader {
			continue
		}
		if p.Priority > self.Priority || p.Priority == self.Priority && !mine {
			before++
		}
	}
	step := c.o.ElectionTimeout / suspectStep
	jitter := time.Duration(c.rand.Int64N(int64(step/4) + 1))
	return time.Duration(before)*step + jitter
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
