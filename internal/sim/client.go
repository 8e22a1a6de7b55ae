package sim

import (
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// op is an operation of a client at a member.
type op struct {
	witness.Op
	client *client // nil: of the liveness phase
	m      *member
	piece  *piece // nil: it is no piece of a backup
}

// client issues one call at a time: a few writes in one proposal, or a read.
type client struct {
	c       *Cluster
	index   int
	draw    *swarm.Stream
	waiting int    // operations of the call that are not settled
	call    uint64 // counts calls
}

func newClient(c *Cluster, i int) *client {
	return &client{c: c, index: i, draw: swarm.NewStream(c.Seed, 5000+uint64(i))}
}

// next makes the next call after a while.
func (cl *client) next(d time.Duration) {
	cl.c.after(d, func() {
		if cl.c.serving {
			cl.issue()
		}
	})
}

func (cl *client) issue() {
	w := &cl.c.swarm
	who, follow, read := cl.draw.Unit(), cl.draw.Chance(w.FollowLeader), cl.draw.Chance(w.ReadShare)
	key, burst, size := cl.draw.Pick(w.Keys), 1+cl.draw.Pick(w.Burst), cl.draw.Number(1, w.ValueBytes)
	think, flavour, patience := cl.draw.Wait(w.ThinkTime), cl.draw.Unit(), w.Patience
	if w.Watcher && cl.index == 0 {
		read, follow, patience = true, true, w.Election/2
	}
	m := cl.c.members[swarm.Scale(who, len(cl.c.members))]
	if l := cl.c.believesToLead(who); follow && l != nil {
		m = l
	}
	if m.core == nil {
		cl.next(think)
		return
	}
	cl.call++
	if read {
		burst = 1
	}
	cl.waiting = burst
	call := cl.call
	cl.c.after(patience, func() {
		if cl.call == call && cl.waiting > 0 {
			cl.waiting = 0
			cl.next(think)
		}
	})
	if read {
		cl.c.read(cl, m, key)
		return
	}
	cl.c.write(cl, m, key, size, burst, flavour)
}

// settled tells the client that one operation has its outcome.
func (cl *client) settled(o *op) {
	if cl == nil || cl.waiting == 0 {
		return
	}
	if cl.waiting--; cl.waiting == 0 {
		cl.next(cl.draw.Wait(cl.c.swarm.ThinkTime))
	}
}

func (c *Cluster) newOp(cl *client, m *member, key int, write bool) *op {
	o := &op{client: cl, m: m}
	o.Op = witness.Op{Member: m.Member, Write: write, Key: key, Start: c.now}
	c.history.Begin(&o.Op)
	c.ops = append(c.ops, o)
	m.open = append(m.open, o)
	return o
}

// write proposes a burst of commands in one call.
func (c *Cluster) write(cl *client, m *member, key, size, burst int, flavour float64) *op {
	var ps []core.Proposal
	var first *op
	for i := range burst {
		o := c.newOp(cl, m, (key+i)%c.swarm.Keys, true)
		p := core.Proposal{ID: o.Serial, Data: witness.Command(o.Serial, o.Key, size)}
		switch {
		case flavour < 0.05:
			p.ExpectTerm = m.Status.Term
		case flavour < 0.08:
			p.ExpectTerm = m.Status.Term + 1
		case flavour < 0.2:
			p.NoForward = true
		}
		o.Expect = p.ExpectTerm
		ps = append(ps, p)
		if i == 0 {
			first = o
		}
	}
	m.note("propose", ps[0].ID, uint64(burst))
	m.call(func(now time.Duration) { m.core.Propose(now, ps) })
	return first
}

func (c *Cluster) read(cl *client, m *member, key int) *op {
	o := c.newOp(cl, m, key, false)
	m.note("read", o.Serial)
	m.call(func(now time.Duration) { m.core.Read(now, o.Serial) })
	return o
}

// answered takes an operation off the list of those that the core owes an answer for.
func (m *member) answered(id uint64) *op {
	m.c.check(id > 0 && id <= uint64(len(m.c.ops)), "I21 one outcome", "m%d answers unknown id %d",
		m.Index, id)
	o := m.c.ops[id-1]
	m.c.history.Answered(m.Member, &o.Op)
	for i := range m.open {
		if m.open[i] == o {
			m.open = append(m.open[:i], m.open[i+1:]...)
			break
		}
	}
	return o
}

func (m *member) onPlaced(p core.Placed) {
	o := m.answered(p.ID)
	m.note("placed", p.ID, uint64(p.At.Term), uint64(p.At.Index), record.Bit(p.Err != nil),
		record.Bit(p.Unknown))
	m.c.history.Placed(&o.Op, &p)
	switch {
	case p.Err != nil && p.Unknown:
		o.settle(witness.Unknown)
	case p.Err != nil:
		o.settle(witness.NotAppended)
	case p.At.Index <= m.keeper.Applier.Applied():
		o.Fate, o.At = witness.Placed, p.At
		m.keeper.Applier.Answer(p.At, m.waiter(o, p.At.Term))
	default:
		o.Fate, o.At = witness.Placed, p.At
		m.placed = append(m.placed, o)
	}
}

// onLost gives up on commands that the core has lost sight of.
func (m *member) onLost(term raft.Term, committed raft.Index) {
	rest := m.placed[:0]
	for _, o := range m.placed {
		if o.At.Term <= term && o.At.Index > committed {
			o.settle(witness.Unknown)
		} else {
			rest = append(rest, o)
		}
	}
	m.placed = rest
}

// takePlaced removes and returns the write that was placed at an index, nil if there is none.
func (m *member) takePlaced(i raft.Index) *op {
	for n, o := range m.placed {
		if o.At.Index == i {
			m.placed = append(m.placed[:n], m.placed[n+1:]...)
			return o
		}
	}
	return nil
}

// waiter is what the applier tells a write's outcome to: the entry applied at its place has that
// term. A write whose place was taken by another entry learns that here.
func (m *member) waiter(o *op, term raft.Term) fsm.Waiter {
	if term != o.At.Term {
		o.settle(witness.NotAppended)
		return nil
	}
	return o
}

// Applied implements fsm.Waiter.
func (o *op) Applied(at raft.LogID, value any, err error) {
	c := o.m.c
	switch {
	case err == nil && o.piece != nil:
		o.piece.applied(at, value)
		o.settle(witness.Acked)
	case err == nil:
		c.history.Acked(&o.Op, at, value)
		o.settle(witness.Acked)
	case raft.OutcomeOf(err) == raft.NotAppended:
		o.settle(witness.NotAppended)
	default:
		o.settle(witness.Unknown)
	}
}

func (m *member) onRead(r core.ReadReady) {
	o := m.answered(r.ID)
	m.note("served", r.ID, uint64(r.Index), record.Bit(r.Err != nil))
	if r.Err != nil {
		o.settle(witness.NotAppended)
		return
	}
	m.c.history.Served(&o.Op, r.Index)
	o.Fate, o.At.Index = witness.Placed, r.Index
	m.reads = append(m.reads, o)
	m.settle()
}

// settle answers the reads whose index has been applied.
func (m *member) settle() {
	rest := m.reads[:0]
	for _, o := range m.reads {
		if o.At.Index > m.keeper.Applier.Applied() {
			rest = append(rest, o)
			continue
		}
		m.c.history.Read(&o.Op, m.keeper.Machine.Cells[o.Key], m.keeper.Applier.Applied())
		o.settle(witness.Acked)
	}
	m.reads = rest
}

// settle ends an operation.
func (o *op) settle(f witness.Fate) {
	c := o.m.c
	o.Fate, o.End = f, c.now
	c.history.Settled(&o.Op)
	o.client.settled(o)
	if o.piece != nil {
		o.piece.settled(f)
	}
}

// crashed ends an operation of a member that went down: a write may be anywhere.
func (o *op) crashed() {
	if o.Write {
		o.settle(witness.Unknown)
	} else {
		o.settle(witness.NotAppended)
	}
}

// call hands over a call of a user of this member: now, or once it is no longer paused.
func (m *member) call(f func(now time.Duration)) {
	if m.paused {
		m.calls = append(m.calls, func() { m.input(nil, f) })
		return
	}
	m.input(nil, f)
}
