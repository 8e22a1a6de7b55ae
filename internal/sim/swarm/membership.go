package swarm

import (
	"slices"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Membership is what a seed draws about who is a member, and who leads.
type Membership struct {
	Changes    bool          // whether the membership is changed, and leadership handed over
	Spares     int           // machines that are in no configuration at first
	Gap        time.Duration // mean time between two requests
	Patience   time.Duration // longest time until one who asked for a change gives up
	Astray     float64       // chance that somebody else than a leader is asked
	Transfers  float64       // chance that a request is one to hand leadership over
	Sense      float64       // chance that an edit fits the configuration
	Moves      float64       // chance that a machine goes where a new address says
	Priorities bool
	Lost       bool // a machine may be gone for good
}

// Machines returns how many there are, members or not.
func (w *Swarm) Machines() int { return w.Members + w.Membership.Spares }

// maxMachines keeps the runs short.
const maxMachines = 9

// drawMembership has a stream of its own: seeds without changes are what they were before.
func (w *Swarm) drawMembership(r *Stream) {
	quiet := w.On == [Classes]bool{}
	for c := Break; c < Classes; c++ {
		on := r.Chance(0.5)
		w.On[c] = on && !quiet
		w.Rate[c] = r.rate(0.3, 1)
		w.Gap[c] = r.Between(w.Election/4, 20*w.Election)
		w.Span[c] = w.Election
	}
	m := Membership{
		Changes: r.Chance(0.6), Spares: 1 + r.Pick(4),
		Gap: r.Between(w.Election/4, 12*w.Election), Patience: r.Between(w.Election/8, 30*w.Election),
		Astray: r.rate(0.02, 0.4), Transfers: r.rate(0.05, 0.7), Sense: r.rate(0.4, 1),
		Moves: r.Unit(), Priorities: r.Chance(0.35), Lost: r.Chance(0.4),
	}
	m.Spares = min(m.Spares, maxMachines-w.Members)
	if !m.Changes {
		m = Membership{}
	}
	w.Membership = m
}

// Priority draws one: mostly none, seldom that of a peer that must not lead.
func (w *Swarm) Priority(draw *Stream) int {
	p := [...]int{0, 0, 0, 1, 2, 2, 3, raft.NeverLeader}[draw.Pick(8)]
	if !w.Membership.Priorities {
		return 0
	}
	return p
}

// Edits draws up to three edits of a configuration, most of which make sense, some of which
// contradict it or each other. Pool are all machines, each at its true address.
func (w *Swarm) Edits(draw *Stream, c *raft.Configuration, pool []raft.Peer) []raft.Edit {
	n := [...]int{1, 1, 1, 2, 2, 3}[draw.Pick(6)]
	var edits []raft.Edit
	for range 3 {
		edits = append(edits, w.edit(draw, c, pool))
	}
	return edits[:n]
}

func (w *Swarm) edit(draw *Stream, c *raft.Configuration, pool []raft.Peer) raft.Edit {
	kind := [...]raft.EditKind{
		raft.EditAdd, raft.EditAdd, raft.EditAdd, raft.EditAddLearner, raft.EditAddLearner,
		raft.EditRemove, raft.EditRemove, raft.EditRemove, raft.EditPromote, raft.EditPromote,
		raft.EditDemote, raft.EditAddr, raft.EditPriority, raft.EditReplace, raft.EditReplace,
	}[draw.Pick(15)]
	sense, who, where := draw.Chance(w.Membership.Sense), draw.Unit(), draw.Unit()
	priority, shift := w.Priority(draw), draw.Pick(len(pool))
	if len(c.Voters) < 3 && kind == raft.EditRemove {
		kind = raft.EditAdd
	}
	if kind == raft.EditReplace {
		return replace(append(slices.Clone(pool[shift:]), pool[:shift]...), where)
	}
	var fit []raft.Peer
	for _, p := range pool {
		if old, member := c.Peer(p.ID); member {
			p.Priority = old.Priority
		}
		if !sense || fits(kind, c, p.ID) {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		fit = pool
	}
	p := fit[Scale(who, len(fit))]
	switch {
	case kind == raft.EditPriority, kind == raft.EditAdd && sense:
		if _, member := c.Peer(p.ID); !member || kind == raft.EditPriority {
			p.Priority = priority
		}
	case kind == raft.EditAddr && where < w.Membership.Moves:
		p.Addr = string(p.ID) + ":" + string('2'+rune(8*where))
	}
	return raft.Edit{Kind: kind, Peers: []raft.Peer{p}}
}

// fits reports whether an edit of that kind does something to the peer.
func fits(kind raft.EditKind, c *raft.Configuration, id raft.PeerID) bool {
	_, member := c.Peer(id)
	switch kind {
	case raft.EditAdd, raft.EditAddLearner:
		return !member
	case raft.EditPromote:
		return c.IsLearner(id)
	case raft.EditDemote:
		return c.IsVoter(id)
	}
	return member
}

// replace makes some of the machines, in a row, the voters, and one or two more learners.
func replace(pool []raft.Peer, u float64) raft.Edit {
	voters := 1 + Scale(u, min(5, len(pool)))
	learners := min(len(pool), voters+Scale(u*7-float64(int(u*7)), 3))
	return raft.Edit{
		Kind: raft.EditReplace, Peers: pool[:voters], Learners: pool[voters:learners],
	}
}
