package core

import (
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Priorities order who leads (after com.alipay.sofa.jraft's priority election): the voter with the
// highest one leads in the steady state. Others campaign later: each priority above their own costs
// one election timeout more, so that the group has a leader whoever is down. And a leader hands
// over to a voter of higher priority that is healthy. Without priorities nothing of this happens.

const (
	// yieldPause is how many election timeouts a leader waits before it hands over again after that
	// failed.
	yieldPause = 10
	// yieldEntries is how much may be missing at the one that leadership is handed to: commands wait
	// while it arrives.
	yieldEntries = 4096
)

// electable reports whether this member may campaign: it votes, and is not barred from leading. One
// that the newest configuration bars may be needed until that is committed: if its vote counts by
// the one before, nobody whose log lacks the newest can win without it (thesis §4.2.2).
func (c *Core) electable() bool {
	conf := c.configuration()
	was := conf
	for was.Index > c.box.Commit() && was.SameMembers(conf) {
		was = c.tail.ConfigurationAt(was.Index - 1) // leaders since may have repeated the newest
	}
	return c.mayLead(conf) || c.mayLead(was)
}

func (c *Core) mayLead(conf *raft.Configuration) bool {
	p, _ := conf.Peer(c.o.ID)
	return conf.IsVoter(c.o.ID) && (p.Priority != raft.NeverLeader || c.rescues())
}

// rescueAfter is how many election timeouts a member that may not lead keeps another from being
// elected before it helps.
const rescueAfter = 5

// holdsUp notes that this member, which may not lead, refuses its vote to one that may: its own log
// is longer. If its vote is needed, and nobody else has as much, the group would have no leader for
// ever although all its members are well.
func (c *Core) holdsUp(candidate raft.PeerID) {
	conf := c.configuration()
	self, _ := conf.Peer(c.o.ID)
	p, voter := peerOf(conf.Voters, candidate)
	if c.heldUpAt == 0 && c.role == Follower && c.leader == "" && voter &&
		self.Priority == raft.NeverLeader && p.Priority != raft.NeverLeader {
		c.heldUpAt = c.now
	}
}

// rescues reports whether this member may campaign although it may not lead, to bring a candidate
// up to date: it hands leadership over as soon as it can.
func (c *Core) rescues() bool {
	return c.heldUpAt != 0 && c.now-c.heldUpAt >= rescueAfter*c.o.ElectionTimeout
}

// rank returns how many different priorities of voters are above that of the given peer.
func (c *Core) rank(priority int) (above int) {
	voters := c.configuration().Voters
	for i := range voters {
		if voters[i].Priority <= priority || voters[i].ID == c.o.ID {
			continue
		}
		counted := false
		for k := range i {
			counted = counted || voters[k].Priority == voters[i].Priority
		}
		if !counted {
			above++
		}
	}
	return above
}

// defers reports whether an election that is due is left to voters of higher priority, and counts
// the turn.
func (c *Core) defers() bool {
	self, _ := c.configuration().Peer(c.o.ID)
	if c.missed >= c.rank(self.Priority) {
		return false
	}
	c.missed++
	invariant.Check(c.missed <= len(c.configuration().Voters), "an election is put off for a while",
		uint64(c.missed))
	return true
}

// yield hands leadership to a voter of higher priority that can take it at once.
func (c *Core) yield() {
	self, _ := c.configuration().Peer(c.o.ID)
	if c.transfer.until != 0 || c.change != nil || c.configuration().Joint() || c.now < c.yieldAt ||
		c.now-c.ledSince < c.o.ElectionTimeout || c.rank(self.Priority) == 0 {
		return
	}
	invariant.Check(c.role == Leader, "only a leader hands over", uint64(c.role))
	to := c.successor()
	p, _ := c.configuration().Peer(to)
	if to == "" || p.Priority <= self.Priority || c.peer(to).Match+yieldEntries < c.tail.Last().Index {
		return
	}
	invariant.Check(to != c.o.ID, "leadership is yielded to another", uint64(c.term()))
	c.startTransfer(to)
}
