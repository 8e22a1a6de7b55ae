package sim

import (
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// group are the members that are up, by the leader's configuration; all machines if nobody leads.
func (c *Cluster) group() []*member {
	l := c.leader()
	if l == nil {
		return c.members
	}
	var list []*member
	for _, m := range c.members {
		if _, member := l.Status.Configuration.Peer(m.ID); member && !m.gone {
			list = append(list, m)
		}
	}
	return list
}

// never is later than a run lasts.
const never = 1000 * time.Hour

// lose takes a voter away for good, where the others can do without it: by every configuration that
// may yet come into force.
func (c *Cluster) lose() {
	if !c.swarm.Membership.Lost {
		return
	}
	draw := swarm.NewStream(c.Seed, 7002)
	first := draw.Pick(len(c.members))
	for i := range c.members {
		m := c.members[(first+i)%len(c.members)]
		votes, able := false, true
		for _, x := range c.members {
			for _, k := range []*raft.Configuration{x.Configuration(), x.OnDisk(), x.Status.Changing} {
				if k != nil && len(k.Voters) > 0 {
					votes = votes || k.IsVoter(m.ID)
					able = able && ableWithout(k, m.ID)
				}
			}
		}
		if votes && able {
			m.vanish()
			return
		}
	}
}

// vanish takes the member away for good.
func (m *member) vanish() {
	m.crash(true, never)
	m.gone = true
	m.Life++ // nobody restarts it
	m.note("is gone")
	m.c.report.Membership.Lost++
}

// ableWithout reports whether the other voters decide by k, also when it is not joint any more, and
// each of them may lead: the only one left with what was committed last must be able to.
func ableWithout(k *raft.Configuration, gone raft.PeerID) bool {
	others := func(id raft.PeerID) bool { return id != gone }
	for _, p := range k.Members() {
		if p.Priority == raft.NeverLeader {
			return false
		}
	}
	after := raft.Configuration{Voters: k.Voters}
	return witness.Quorum(k, others) && witness.Quorum(&after, others)
}

// reform is what somebody does who looks after the cluster when all is well again: changes that are
// under way end, addresses are put right, who is gone is removed, and one more change can be made.
func (c *Cluster) reform() {
	if !c.swarm.Membership.Changes {
		return
	}
	deadline := c.now + c.bound() + 20*c.swarm.Election
	c.await("no change is under way", func() bool {
		l := c.leader()
		return l != nil && l.Status.Changing == nil && !l.Status.Configuration.Joint() &&
			l.Status.Configuration.Index <= l.Status.Committed && l.Status.Transferring == ""
	}, deadline)
	c.insistOnChange(deadline, c.repairs)
	draw := swarm.NewStream(c.Seed, 7003)
	which, who := draw.Unit(), draw.Unit()
	goal := c.oneMore(&c.leader().Status.Configuration, which, who)
	c.insistOnChange(c.now+c.bound()+20*c.swarm.Election, func(*raft.Configuration) []raft.Edit {
		return goal
	})
	c.await("the highest priority leads, and all follow", func() bool {
		return c.settledOnLeader() && c.bestLeads()
	}, c.now+c.bound()+40*c.swarm.Election)
}

// insistOnChange asks the leader for the edits, again and again until they are done.
func (c *Cluster) insistOnChange(
	deadline time.Duration, edits func(*raft.Configuration) []raft.Edit,
) {
	for {
		if l := c.leader(); l != nil {
			want := edits(&l.Status.Configuration)
			if len(want) == 0 {
				return
			}
			r := c.askChange(l, want, 0, 0)
			c.runWhile(func() bool { return !r.Answered && r.Life == l.Life }, deadline)
			if r.Answered && r.Err == nil {
				return
			}
		}
		c.check(c.now < deadline, "I33 convergence", "not within %v of healing: a change is made%s",
			deadline, c.sketch())
		c.runUntil(min(deadline, c.now+c.swarm.Election/4))
	}
}

// repairs are the edits that make a configuration one of machines that are there, where they are.
func (c *Cluster) repairs(conf *raft.Configuration) (edits []raft.Edit) {
	for _, p := range conf.Members() {
		switch m := c.member(p.ID); {
		case m.gone:
			edits = append(edits, raft.Edit{Kind: raft.EditRemove, Peers: []raft.Peer{p}})
		case m.addr != p.Addr:
			p.Addr = m.addr
			edits = append(edits, raft.Edit{Kind: raft.EditAddr, Peers: []raft.Peer{p}})
		}
	}
	return edits
}

// oneMore is one more change of the voters: a machine more, one less, or one for another.
func (c *Cluster) oneMore(conf *raft.Configuration, which, who float64) (edits []raft.Edit) {
	var outside []raft.Peer
	for i, p := range c.machines() {
		if _, member := conf.Peer(p.ID); !member && !c.members[i].gone {
			outside = append(outside, p)
		}
	}
	if len(outside) > 0 && (which < 0.7 || len(conf.Voters) == 1) {
		p := outside[swarm.Scale(who, len(outside))]
		edits = append(edits, raft.Edit{Kind: raft.EditAdd, Peers: []raft.Peer{p}})
	}
	if len(conf.Voters) > 1 && (which >= 0.4 || len(edits) == 0) {
		p := conf.Voters[swarm.Scale(who, len(conf.Voters))]
		edits = append(edits, raft.Edit{Kind: raft.EditRemove, Peers: []raft.Peer{p}})
	}
	if _, err := conf.Edited(edits); err != nil { // nobody of those left may lead
		p := conf.Voters[0]
		p.Priority = 0
		return []raft.Edit{{Kind: raft.EditPriority, Peers: []raft.Peer{p}}}
	}
	return edits
}

// bestLeads reports whether no voter has a higher priority than the leader.
func (c *Cluster) bestLeads() bool {
	l := c.leader()
	self, _ := l.Status.Configuration.Peer(l.ID)
	for _, p := range l.Status.Configuration.Voters {
		if p.Priority > self.Priority {
			return false
		}
	}
	return l.Status.Transferring == ""
}

// churn ends connections of a healthy cluster, those of one member at a time, so that all others
// hear the leader (I34).
func (c *Cluster) churn(until time.Duration) {
	draw := swarm.NewStream(c.Seed, 7004)
	for c.now < until {
		group := c.group()
		to := group[draw.Pick(len(group))]
		for _, from := range group {
			if from != to {
				c.links[from.Index*len(c.members)+to.Index].breaks()
			}
		}
		c.runUntil(min(until, c.now+2*c.swarm.Heartbeat+c.swarm.Election/2))
	}
}

// untold counts removed members that take themselves for voters in the end, and were not told.
func (c *Cluster) untold() {
	l := c.leader()
	for _, m := range c.members {
		_, member := l.Status.Configuration.Peer(m.ID)
		if !member && m.core != nil && m.Configuration().IsVoter(m.ID) && !m.Status.Removed {
			c.report.Membership.Untold++
		}
		c.check(member || m.core == nil || m.Status.Role != core.Leader, "I18 non-members",
			"m%d leads, and is no member", m.Index)
	}
}

// watch counts what leaders do by themselves.
func (m *member) watch(before *core.Status) {
	n, s := &m.c.report.Membership, &m.Status
	if s.Role != core.Leader {
		return
	}
	n.Inherited += int(record.Bit(before.Configuration.Joint() && !s.Configuration.Joint() &&
		before.Role == core.Leader && before.Changing == nil))
}
