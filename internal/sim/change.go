package sim

import (
	"errors"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

var errImpatient = errors.New("who asked for the change has given up")

// operator asks for changes of the membership and for transfers of leadership, at random.
type operator struct {
	c    *Cluster
	draw *swarm.Stream
	last []raft.Edit // asked for before
	from raft.Index  // of the configuration of then
}

func (c *Cluster) startOperator() {
	if !c.swarm.Membership.Changes {
		return
	}
	o := &operator{c: c, draw: swarm.NewStream(c.Seed, 7000)}
	o.next()
}

func (o *operator) next() {
	o.c.after(o.draw.Wait(o.c.swarm.Membership.Gap), func() {
		if o.c.serving {
			o.act()
			o.next()
		}
	})
}

// act asks a member for something: one that believes to lead, mostly.
func (o *operator) act() {
	c, w := o.c, &o.c.swarm.Membership
	who, astray, transfer := o.draw.Unit(), o.draw.Chance(w.Astray), o.draw.Chance(w.Transfers)
	whom, again, stale := o.draw.Unit(), o.draw.Chance(0.1), o.draw.Unit()
	patience := o.draw.Between(w.Patience/20, w.Patience)
	forwards, late := o.draw.Chance(0.5), o.draw.Wait(c.swarm.Election)
	m := c.believesToLead(who)
	if m == nil || astray {
		m = c.members[swarm.Scale(who, len(c.members))]
	}
	if m.core == nil {
		return
	}
	conf := m.core.Status().Configuration
	edits := c.swarm.Edits(o.draw, &conf, c.machines())
	if again = again && o.last != nil; again {
		edits = o.last
	} else {
		o.last, o.from = edits, conf.Index
	}
	if transfer {
		c.askTransfer(m, c.whom(whom))
		return
	}
	ifIndex := raft.Index(0)
	switch {
	case again && stale < 0.5:
		ifIndex = o.from
	case stale < 0.2:
		ifIndex = conf.Index - raft.Index(record.Bit(stale < 0.05 && conf.Index > 1))
	}
	c.askChange(m, edits, ifIndex, patience)
	for _, e := range edits {
		if e.Kind == raft.EditAddr {
			c.after(late, func() {
				if x := c.member(e.Peers[0].ID); c.serving && x != nil {
					x.moves(e.Peers[0].Addr, forwards)
				}
			})
		}
	}
}

// whom draws whom leadership is to go to: anybody, or the best.
func (c *Cluster) whom(u float64) raft.PeerID {
	if n := swarm.Scale(u, 2*len(c.members)); n < len(c.members) {
		return c.members[n].ID
	}
	if l := c.leader(); l != nil && u < 0.8 { // one of its voters
		voters := l.Status.Configuration.Voters
		return voters[swarm.Scale((u-0.5)/0.3, len(voters))].ID
	}
	return ""
}

// askChange asks a member for a change, and gives up after a while; 0: never.
func (c *Cluster) askChange(
	m *member, edits []raft.Edit, ifIndex raft.Index, patience time.Duration,
) *witness.Request {
	r := &witness.Request{Life: m.Life}
	m.call(func(now time.Duration) {
		s := m.core.Status()
		r = c.history.Ask(m.Member, &s, edits)
		m.note("change", r.ID, uint64(edits[0].Kind), uint64(len(edits)), uint64(ifIndex))
		for _, e := range edits {
			c.report.Membership.Kinds[e.Kind]++
		}
		m.core.Change(now, core.Change{ID: r.ID, Edits: edits, IfIndex: ifIndex})
		if patience == 0 {
			return
		}
		m.after(patience, func() {
			if !r.Answered {
				m.note("abandon", r.ID)
				m.input(nil, func(now time.Duration) { m.core.AbandonChange(now, r.ID, errImpatient) })
			}
		})
	})
	return r
}

func (m *member) onChanged(ch *core.Changed) {
	r := m.c.history.Changed(m.Member, ch)
	m.note("changed", ch.ID, uint64(ch.Configuration.Index), record.Bit(ch.Err != nil),
		record.Bit(ch.Unknown))
	n := &m.c.report.Membership
	switch {
	case r.Err == nil:
		n.Done++
	case ch.Unknown:
		n.Unknown++
	case errors.Is(r.Err, raft.ErrCatchUp):
		n.Lagged++
	case errors.Is(r.Err, errImpatient):
		n.Withdrawn++
	case errors.Is(r.Err, raft.ErrLeadershipLost):
		n.Failed++
	default:
		m.c.check(expectedRefusal(r.Err), "I19 changes are answered truly", "m%d refuses change %d: %v",
			m.Index, ch.ID, r.Err)
		n.Refused++
	}
}

func expectedRefusal(err error) bool {
	for _, e := range []error{
		raft.ErrNotLeader, raft.ErrNoLeader, raft.ErrTransferring, raft.ErrChangeInProgress,
		raft.ErrConfigurationStale, raft.ErrBadConfiguration, raft.ErrUnfit, raft.ErrCatchUp,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// askTransfer asks a member to hand leadership over.
func (c *Cluster) askTransfer(m *member, to raft.PeerID) *witness.Request {
	r := &witness.Request{Life: m.Life}
	m.call(func(now time.Duration) {
		s := m.core.Status()
		r = c.history.AskTransfer(m.Member, &s, to)
		m.note("transfer", r.ID)
		m.core.Transfer(now, r.ID, to)
	})
	return r
}

func (m *member) onTransferred(t *core.Transferred) {
	r := m.c.history.Transferred(m.Member, t)
	m.note("transferred", t.ID, record.Bit(t.Err != nil), record.Bit(t.Unknown))
	n := &m.c.report.Membership
	switch {
	case r.Err == nil:
		n.Transferred++
	case t.Unknown:
		n.TransferUnknown++
	default:
		m.c.check(expectedRefusal(r.Err), "I19 transfers are answered truly",
			"m%d refuses transfer %d: %v", m.Index, t.ID, r.Err)
		n.NotTransferred++
	}
}

// stage counts in which stage of a change a leader goes down.
func (m *member) stage() {
	n, s := &m.c.report.Membership, &m.Status
	switch {
	case s.Role != core.Leader:
	case s.Configuration.Joint():
		n.CrashedJoint++
	case s.Changing != nil && s.Configuration.Index > s.Committed:
		n.CrashedLast++
	case s.Changing != nil:
		n.CrashedCatchingUp++
	case s.Transferring != "":
		n.CrashedTransferring++
	}
}
