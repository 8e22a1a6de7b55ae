package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// Change asks for another membership (§6).
type Change struct {
	ID    uint64 // chosen by the caller, unique while the change is undecided
	Edits []raft.Edit
	// IfIndex: 0: any; else only if the configuration is still the one with this index, or no other
	// change than this very one was begun since.
	IfIndex raft.Index
}

// Changed ends a change: the configuration is committed, or with Err is not what was asked for.
type Changed struct {
	ID            uint64
	Configuration raft.Configuration
	Err           error
	// Unknown: a configuration was appended for it, and the next leader may commit it. Without, and
	// with Err, nothing was changed.
	Unknown bool
}

// change is a membership change on its way. New voters catch up first, before the log knows of
// them; then comes the joint configuration, if the set of voters changes, and when that is
// committed the new one (§6). It corresponds to
// com.alipay.sofa.jraft.core.NodeImpl.ConfigurationCtx.
type change struct {
	ids      []uint64 // who waits for it
	target   raft.Configuration
	joiners  []joiner
	appended bool // the log has a configuration that was made for it
}

// joiner is a peer that is to become a voter.
type joiner struct {
	peer    raft.Peer
	match   raft.Index // as of movedAt
	arrived int64
	movedAt time.Duration
}

// leaver is a peer that the newest configuration does not have any more. It is sent the log until
// it can know.
type leaver struct {
	peer  raft.Peer
	until time.Duration // 0: what removes it is not committed yet
}

const (
	// catchUpEntries is how close to the commit index a new voter must be: what is missing then
	// arrives faster than an election timeout.
	catchUpEntries = 1000
	// catchUpPatience is how many election timeouts a new voter may go without any progress.
	catchUpPatience = 10
)

// Change begins a change of the membership. It comes back once in [Output.Changes], unless this
// member stops. One that is asked for again while it is under way joins it.
func (c *Core) Change(now time.Duration, ch Change) {
	c.advance(now)
	if err := c.beginChange(&ch); err != nil {
		c.out.Changes = append(c.out.Changes, Changed{ID: ch.ID, Err: err})
	}
}

func (c *Core) beginChange(ch *Change) error {
	switch {
	case c.role != Leader && c.leader == "":
		return raft.ErrNoLeader
	case c.role != Leader:
		return raft.ErrNotLeader
	case c.transfer.until != 0 || !c.votes():
		return raft.ErrTransferring // without a vote, it is about to hand over
	}
	conf := c.configuration()
	if ch.IfIndex != 0 && !c.stillIs(ch.IfIndex) && !c.repeats(ch) {
		return fmt.Errorf("%w: it has index %d now, not %d", raft.ErrConfigurationStale,
			conf.Index, ch.IfIndex)
	}
	target, err := conf.Edited(ch.Edits)
	if err != nil {
		return err
	}
	switch {
	case c.change != nil && c.change.target.SameMembers(&target):
		c.change.ids = append(c.change.ids, ch.ID)
		return nil
	case c.change != nil:
		return fmt.Errorf("%w: to %s", raft.ErrChangeInProgress, c.change.target.String())
	case conf.Joint() && !sameWhenLeft(conf, &target):
		return fmt.Errorf("%w: from %s", raft.ErrChangeInProgress, conf.String())
	}
	invariant.Check(!target.Joint() && target.Index == 0, "a change ends in a simple configuration",
		uint64(target.Index))
	invariant.Check(c.role == Leader && c.votes(), "a leader that may stay one changes the members",
		uint64(c.role))
	c.change = &change{ids: []uint64{ch.ID}, target: target, appended: conf.Joint()}
	for _, p := range target.Voters {
		if !conf.IsVoter(p.ID) {
			c.change.joiners = append(c.change.joiners, joiner{peer: p, movedAt: c.now})
			c.forget(p.ID)
		}
	}
	c.renewPeers()
	return nil
}

// sameWhenLeft reports whether the joint configuration leads to target.
func sameWhenLeft(joint, target *raft.Configuration) bool {
	next := joint.Clone()
	next.Outgoing = nil
	return next.SameMembers(target)
}

// stillIs reports whether the membership is the one that the configuration at index i gave. New
// leaders repeat it, under other indexes.
func (c *Core) stillIs(i raft.Index) bool {
	was := c.tail.ConfigurationAt(i)
	return was.Index == i && was.SameMembers(c.configuration())
}

// repeats reports whether the change is the last one that was begun, and from the configuration
// that it names: who got no answer asks again. The configuration in force, once left if it is
// joint, is what the edits make of that one, and nothing else was in force between.
func (c *Core) repeats(ch *Change) bool {
	was := c.tail.ConfigurationAt(ch.IfIndex)
	target, err := was.Edited(ch.Edits)
	if was.Index != ch.IfIndex || err != nil {
		return false
	}
	invariant.Check(c.role == Leader && was.Index > 0, "a leader tells what was changed since",
		uint64(was.Index))
	before := c.configuration()
	for before.Index > was.Index && sameWhenLeft(before, &target) {
		before = c.tail.ConfigurationAt(before.Index - 1)
	}
	return before.SameMembers(was)
}

// AbandonChange gives up on a change whose caller waits no longer. It is withdrawn if nothing was
// appended for it and nobody else waits.
func (c *Core) AbandonChange(now time.Duration, id uint64, cause error) {
	c.advance(now)
	ch := c.change
	if ch == nil || !slices.Contains(ch.ids, id) {
		return
	}
	ch.ids = slices.DeleteFunc(ch.ids, func(other uint64) bool { return other == id })
	c.out.Changes = append(c.out.Changes, Changed{
		ID: id, Err: cause, Unknown: ch.appended || len(ch.ids) > 0,
	})
	if len(ch.ids) == 0 && !ch.appended {
		c.change = nil
		c.renewPeers()
	}
}

// advanceChange takes the next step of a change, its own or one that an earlier leader began: one
// configuration at a time, and none before an entry of the own term is committed (the bug of 2015
// in single-server changes, and why a leader's first entry comes first).
func (c *Core) advanceChange() {
	conf := c.configuration()
	if c.role != Leader || !c.box.OwnTermCommitted() || conf.Index > c.box.Commit() {
		return
	}
	c.releaseLeavers()
	if conf.Joint() {
		next := conf.Clone()
		next.Outgoing = nil
		c.appendConfiguration(next)
		return
	}
	if ch := c.change; ch != nil {
		switch {
		case conf.SameMembers(&ch.target):
			c.endChange(Changed{Configuration: conf.Clone()})
		case ch.appended:
			invariant.Check(false, "a change ends in the configuration that it was for")
		case c.transfer.until != 0: // nothing is appended any more
		case conf.SameVoters(&ch.target):
			ch.appended = true
			c.appendConfiguration(ch.target.Clone())
			return
		case c.caughtUp():
			ch.appended = true
			joint := ch.target.Clone()
			joint.Outgoing = slices.Clone(conf.Voters)
			c.appendConfiguration(joint)
			return
		}
	}
	if !c.votes() && c.transfer.until == 0 {
		c.handOver()
	}
}

// caughtUp reports whether all new voters have. One that makes no progress for long ends the
// change.
func (c *Core) caughtUp() bool {
	all := true
	for i := range c.change.joiners {
		j := &c.change.joiners[i]
		p := c.peer(j.peer.ID)
		invariant.Check(p != nil, "who is to become a voter is sent the log", uint64(i))
		invariant.Check(p.Match <= c.tail.Last().Index, "a joiner holds no more than the leader",
			uint64(p.Match), uint64(c.tail.Last().Index))
		if p.Match > j.match || p.Installed > j.arrived {
			j.movedAt = c.now
		}
		j.match, j.arrived = p.Match, p.Installed
		// Without any configuration it could not vote (see onRequestVote), and soon its vote may count.
		if p.State == replicator.Replicate && p.Match >= c.configuration().Index &&
			p.Match+catchUpEntries >= c.box.Commit() {
			continue
		}
		all = false
		if c.now-j.movedAt > catchUpPatience*c.o.ElectionTimeout {
			c.endChange(Changed{Err: c.lags(j, p)})
			c.renewPeers()
			return false
		}
	}
	return all
}

// lags says how far a new voter got, and why it seems to be no further.
func (c *Core) lags(j *joiner, p *replicator.Progress) error {
	how := fmt.Sprintf("has %d of %d entries", p.Match, c.box.Commit())
	switch {
	case !p.Answered:
		how = "has never answered"
	case p.State == replicator.Snapshot:
		how = fmt.Sprintf("has %d of %d bytes of a snapshot", p.Installed, p.Installing.Bytes)
	}
	return fmt.Errorf("%w: %s at %s %s, was last heard %v ago, and made no progress for %v; "+
		"nothing was changed", raft.ErrCatchUp, j.peer.ID, j.peer.Addr, how,
		(c.now - p.Heard).Round(time.Millisecond), (c.now - j.movedAt).Round(time.Millisecond))
}

// endChange tells all who wait.
func (c *Core) endChange(result Changed) {
	invariant.Check(c.change != nil, "a change ends once", uint64(result.Configuration.Index))
	invariant.Check(result.Err != nil || result.Configuration.Index <= c.box.Commit(),
		"a change that succeeded is committed", uint64(result.Configuration.Index))
	invariant.Check(result.Err != nil || !result.Configuration.Joint(),
		"and not halfway", uint64(result.Configuration.Index))
	for _, id := range c.change.ids {
		result.ID = id
		c.out.Changes = append(c.out.Changes, result)
	}
	c.change = nil
}

// appendConfiguration makes the next configuration the one in force: it takes effect when it is
// appended (§6).
func (c *Core) appendConfiguration(next raft.Configuration) {
	invariant.Check(c.role == Leader && c.box.OwnTermCommitted(),
		"a configuration is changed after an entry of the own term is committed", uint64(c.term()))
	before := c.configuration()
	invariant.Check(before.Index <= c.box.Commit(), "one change at a time is under way (§6)",
		uint64(before.Index), uint64(c.box.Commit()))
	invariant.Check(before.Joint() != next.Joint() || before.SameVoters(&next),
		"voters change through a joint configuration (§6)", uint64(before.Index))
	for _, p := range next.Members() {
		c.forget(p.ID)
	}
	for _, p := range before.Members() {
		if _, stays := next.Peer(p.ID); !stays && p.ID != c.o.ID {
			c.leavers = append(c.leavers, leaver{peer: p})
		}
	}
	c.appendEntries(raft.EntryConfiguration, [][]byte{raft.EncodeConfiguration(next)})
	c.renewPeers()
	// What the new quorum holds already is counted when this member has written the entry.
}

// forget gives up what is known of a peer that was removed and comes back: of what it held nothing
// may be left.
func (c *Core) forget(id raft.PeerID) {
	left := func(l leaver) bool { return l.peer.ID == id }
	if !slices.ContainsFunc(c.leavers, left) {
		return
	}
	c.leavers = slices.DeleteFunc(c.leavers, left)
	c.peers = slices.DeleteFunc(c.peers, func(p *replicator.Progress) bool { return p.ID == id })
}

// releaseLeavers lets go of removed peers, once they had time to learn of it: one that misses it is
// told when it campaigns.
func (c *Core) releaseLeavers() {
	before := len(c.leavers)
	for i := range c.leavers {
		_, member := c.configuration().Peer(c.leavers[i].peer.ID)
		invariant.Check(!member, "who leaves is no member", uint64(i))
		if l := &c.leavers[i]; l.until == 0 {
			l.until = c.now + c.o.ElectionTimeout
		}
	}
	c.leavers = slices.DeleteFunc(c.leavers, func(l leaver) bool { return c.now >= l.until })
	if len(c.leavers) < before {
		c.renewPeers()
	}
}

// renewPeers keeps a progress for everybody who is to get the log: the members, those that are
// about to be, and those that just were. Who is new is sent a heartbeat at once, before anything
// else: one that waits to be added knows nobody, so it can answer only when that has told it where
// this leader is.
func (c *Core) renewPeers() {
	old := c.peers
	c.peers = nil
	keep := func(p raft.Peer) {
		if p.ID == c.o.ID || c.peer(p.ID) != nil {
			return
		}
		for _, known := range old {
			if known.ID == p.ID {
				c.peers = append(c.peers, known)
				return
			}
		}
		progress := replicator.New(
			p.ID, c.tail.Last().Index, c.o.Replication, 2*c.o.HeartbeatInterval, c.now)
		progress.Fetching = slices.Contains(c.fetching, p.ID)
		c.peers = append(c.peers, progress)
		c.beat(progress)
	}
	conf := c.configuration()
	for _, p := range conf.Members() {
		keep(p)
	}
	if c.change != nil {
		for i := range c.change.joiners {
			keep(c.change.joiners[i].peer)
		}
	}
	for i := range c.leavers {
		keep(c.leavers[i].peer)
	}
	invariant.Check(c.peer(c.o.ID) == nil, "a leader does not replicate to itself")
	invariant.Check(len(c.peers)+1 >= len(conf.Members()), "every other member is sent the log",
		uint64(len(c.peers)))
}

// failChange ends a change with the leadership.
func (c *Core) failChange() {
	invariant.Check(c.role != Leader, "a change fails with the leadership", uint64(c.role))
	if ch := c.change; ch != nil {
		c.endChange(Changed{Err: raft.ErrLeadershipLost, Unknown: ch.appended})
	}
	c.leavers = nil
}
