package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// Transferred ends a transfer of leadership: To leads, or with Err does not.
type Transferred struct {
	ID  uint64
	To  raft.PeerID
	Err error
	// Unknown: leadership was given up and nobody was seen to take it over. Without, and with Err,
	// this member leads on, never did, or To was elected instead of the target.
	Unknown bool
}

// transfer is leadership on its way to another member (thesis §3.10). No command is taken
// meanwhile, so that the target can have the whole log; when it has, it is asked to campaign. A
// leader that was just elected has no answers yet that tell who is the best: it waits for the first
// one, and takes commands until then. It corresponds to
// com.alipay.sofa.jraft.core.NodeImpl.transferLeadershipTo.
type transfer struct {
	to      raft.PeerID   // empty: the best, of whom none has answered yet
	ids     []uint64      // who waits; nobody if this leader began it by itself
	until   time.Duration // 0: none is under way
	askedAt time.Duration // when the target was last asked to campaign; 0: not yet
}

// handedOver is a transfer after this member has stepped down: who leads now is to be seen.
type handedOver struct {
	to    raft.PeerID // empty: anybody else
	ids   []uint64
	until time.Duration
}

// Transfer hands leadership to a voter, to the best one if to is empty. It comes back once in
// [Output.Transfers], unless this member stops.
func (c *Core) Transfer(now time.Duration, id uint64, to raft.PeerID) {
	c.advance(now)
	to, err := c.beginTransfer(id, to)
	if err != nil || to == c.o.ID { // else the answer comes later
		c.out.Transfers = append(c.out.Transfers, Transferred{ID: id, To: to, Err: err})
	}
}

func (c *Core) beginTransfer(id uint64, to raft.PeerID) (raft.PeerID, error) {
	switch {
	case c.role != Leader && c.leader == "":
		return to, raft.ErrNoLeader
	case c.role != Leader:
		return to, raft.ErrNotLeader
	case c.change != nil && c.change.appended || c.configuration().Joint():
		// One that only waits for new voters to catch up rests meanwhile, and ends with the leadership.
		return to, raft.ErrChangeInProgress
	}
	if to == "" && !slices.ContainsFunc(c.configuration().Voters, c.heir) {
		return to, fmt.Errorf("%w: no other voter may lead", raft.ErrUnfit)
	} else if to == "" {
		if c.transfer.until == 0 { // else join the one under way
			c.startTransfer(c.successor())
		}
		c.transfer.ids = append(c.transfer.ids, id)
		return "", nil
	}
	switch p, voter := peerOf(c.configuration().Voters, to); {
	case !voter:
		return to, fmt.Errorf("%w: %s is no voter", raft.ErrUnfit, to)
	case to == c.o.ID:
		return to, nil
	case p.Priority == raft.NeverLeader:
		return to, fmt.Errorf("%w: %s has priority NeverLeader", raft.ErrUnfit, to)
	case c.transfer.to == to:
		c.transfer.ids = append(c.transfer.ids, id)
		return to, nil
	case c.transfer.to != "":
		return to, fmt.Errorf("%w: to %s", raft.ErrTransferring, c.transfer.to)
	}
	c.startTransfer(to)
	c.transfer.ids = append(c.transfer.ids, id)
	return to, nil
}

// startTransfer begins one to the given voter, or to the first of the best that answers if to is
// empty. Who waits for one to anybody is content with any.
func (c *Core) startTransfer(to raft.PeerID) {
	invariant.Check(c.role == Leader && c.transfer.to == "" && to != c.o.ID,
		"a leader hands over to one other member at a time", uint64(c.term()))
	_, voter := peerOf(c.configuration().Voters, to)
	invariant.Check(voter || to == "", "a voter takes over", uint64(c.term()))
	invariant.Check(c.change == nil || !c.change.appended, "nobody takes over amid a change",
		uint64(c.term()))
	c.transfer = transfer{to: to, ids: c.transfer.ids, until: c.now + c.o.ElectionTimeout}
}

// heir reports whether a voter of this member's group may lead after it.
func (c *Core) heir(v raft.Peer) bool { return v.ID != c.o.ID && v.Priority != raft.NeverLeader }

// handOver is the end of a leader that is no voter any more: the best of the others is to take
// over at once.
func (c *Core) handOver() {
	invariant.Check(!c.votes() && c.configuration().Index <= c.box.Commit(),
		"a removed leader leads until that is committed", uint64(c.configuration().Index))
	if to := c.successor(); to != "" {
		c.startTransfer(to)
		return
	}
	c.follow(c.term(), "", errRemoved)
}

// advanceTransfer chooses the target, if nobody could be chosen so far. It asks it to campaign as
// soon as it has the whole log, again and again because the message may be lost, and gives up an
// election timeout after it was chosen.
func (c *Core) advanceTransfer() {
	t := &c.transfer
	if c.role != Leader || t.until == 0 {
		return
	}
	if t.to == "" {
		if t.to = c.successor(); t.to != "" {
			t.until = c.now + c.o.ElectionTimeout
		}
		invariant.Check(c.change == nil || !c.change.appended,
			"changes rest until it is known who takes over", uint64(c.term()))
	}
	p := c.peer(t.to)
	if c.now >= t.until || p == nil && t.to != "" {
		c.failTransfer(p)
		return
	}
	if p == nil {
		return
	}
	if last := c.tail.Last().Index; p.Match < last || c.box.Commit() < last {
		return // what was accepted is committed first, so that nobody is left without an outcome
	}
	if t.askedAt == 0 || c.now-t.askedAt >= c.o.HeartbeatInterval {
		invariant.Check(p.Match == c.tail.Last().Index, "leadership goes to one that has all of the log",
			uint64(p.Match), uint64(c.tail.Last().Index))
		t.askedAt = c.now
		c.send(t.to, &raft.TimeoutNow{})
	}
}

// failTransfer leads on. A member that was removed can't: it steps down without a successor.
func (c *Core) failTransfer(p *replicator.Progress) {
	invariant.Check(c.role == Leader && c.transfer.until != 0, "a transfer under way fails",
		uint64(c.role))
	if !c.votes() {
		c.follow(c.term(), "", errRemoved)
		return
	}
	t := c.transfer
	c.transfer = transfer{}
	var err error
	switch {
	case t.to == "":
		err = fmt.Errorf("%w: no other voter that may lead followed within %v; this member leads on",
			raft.ErrUnfit, c.o.ElectionTimeout)
	case p == nil:
		err = fmt.Errorf("%w: %s is no member any more", raft.ErrUnfit, t.to)
	default:
		err = fmt.Errorf("%w: %s did not take over within %v: it has %d of %d entries, was last heard "+
			"%v ago; this member leads on", raft.ErrCatchUp, t.to, c.o.ElectionTimeout, p.Match,
			c.tail.Last().Index, (c.now - p.Heard).Round(time.Millisecond))
	}
	if t.to != "" {
		c.yieldAt = c.now + yieldPause*c.o.ElectionTimeout
	}
	for _, id := range t.ids {
		c.out.Transfers = append(c.out.Transfers, Transferred{ID: id, To: t.to, Err: err})
	}
}

// leaveTransfer is called when leadership ends: whoever waits for a transfer learns who leads next.
func (c *Core) leaveTransfer() {
	invariant.Check(c.role != Leader, "who waits for a transfer waits on for the next leader",
		uint64(c.role))
	if t := c.transfer; len(t.ids) > 0 {
		until := c.now + 2*c.o.ElectionTimeout
		c.handovers = append(c.handovers, handedOver{t.to, t.ids, until})
	}
	c.transfer = transfer{}
}

// settleHandovers tells those who wait for a transfer what came of it.
func (c *Core) settleHandovers() {
	if len(c.handovers) == 0 || c.leader == "" && c.now < c.handovers[0].until {
		return
	}
	for _, h := range c.handovers {
		r, whom := Transferred{To: h.to}, cmp.Or(h.to, "another")
		switch {
		case c.leader == "":
			r.Err, r.Unknown = fmt.Errorf("%w: leadership was given up for %s", raft.ErrNoLeader, whom), true
		case h.to == "" && c.leader != c.o.ID:
			r.To = c.leader
		case c.leader != h.to:
			r.To, r.Err = c.leader, fmt.Errorf("%w: %s was elected instead of %s", raft.ErrUnfit,
				c.leader, whom)
		}
		for _, id := range h.ids {
			r.ID = id
			c.out.Transfers = append(c.out.Transfers, r)
		}
	}
	c.handovers = nil
}

// onTimeoutNow campaigns at once, because the leader asks for it. Nobody is asked first: the leader
// has seen to it that this member can win.
func (c *Core) onTimeoutNow(from raft.PeerID) {
	if c.role != Follower || from != c.leader || !c.electable() {
		return
	}
	before := c.term()
	c.situate(PreCandidate, "", nil)
	c.campaign(true)
	invariant.Check(c.role == Candidate && c.term() == before+1, "the target campaigns at once",
		uint64(c.role), uint64(c.term()))
}

// successor is the voter to hand leadership to: of those that answered lately the one with the
// highest priority and, among equals, with the most of the log; empty if there is none.
func (c *Core) successor() raft.PeerID {
	var best *replicator.Progress
	priority := 0
	for _, v := range c.configuration().Voters {
		p := c.peer(v.ID)
		if !c.heir(v) || p == nil || !c.lively(p) {
			continue
		}
		if best == nil || v.Priority > priority || v.Priority == priority && p.Match > best.Match {
			best, priority = p, v.Priority
		}
	}
	if best == nil {
		return ""
	}
	invariant.Check(best.ID != c.o.ID && best.Match <= c.tail.Last().Index,
		"the successor is another, and has no more than this leader", uint64(best.Match))
	return best.ID
}

// lively reports whether a peer answers, and is sent entries as they come.
func (c *Core) lively(p *replicator.Progress) bool {
	return p.Answered && c.now-p.Heard < 3*c.o.HeartbeatInterval && p.State == replicator.Replicate
}

func peerOf(list []raft.Peer, id raft.PeerID) (raft.Peer, bool) {
	i := slices.IndexFunc(list, func(p raft.Peer) bool { return p.ID == id })
	if i < 0 {
		return raft.Peer{}, false
	}
	return list[i], true
}
