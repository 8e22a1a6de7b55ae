package sim

import (
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/sim/edge"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// job is something for the applier: entries to apply, or a snapshot to restore.
type job struct {
	entries  []raft.Entry
	snapshot snapshot.Reader
}

// applyNext applies what waits, one batch at a time and in order.
func (m *member) applyNext() {
	if m.applying || len(m.applies) == 0 {
		return
	}
	m.applying = true
	slow := m.c.fire(swarm.SlowApply, m.Index, m.draw.Chance(m.c.swarm.Rate[swarm.SlowApply]))
	d := m.draw.Wait(m.c.swarm.ApplyTime)
	if more := m.draw.Unit(); slow {
		d += time.Duration(more * float64(m.c.swarm.Span[swarm.SlowApply]))
	}
	m.after(d, func() {
		next := m.applies[0]
		m.applies, m.applying = m.applies[1:], false
		if next.snapshot != nil {
			m.restore(next.snapshot)
		} else {
			m.apply(next.entries)
		}
		if m.core == nil {
			return // it failed
		}
		m.input(nil, func(now time.Duration) { m.core.Applied(now, m.keeper.Applier.Applied()) })
		m.keeper.Applied()
		m.applyNext()
	})
}

// apply gives a batch to the real applier, which tells the waiting clients.
func (m *member) apply(batch []raft.Entry) {
	m.c.history.Applied(m.Member, m.keeper.Applier.Applied(), batch)
	waiters := make([]fsm.Waiter, len(batch))
	for i := range batch {
		for o := m.takePlaced(batch[i].Index); o != nil; o = m.takePlaced(batch[i].Index) {
			if w := m.waiter(o, batch[i].Term); w != nil {
				waiters[i] = w
			}
		}
	}
	err := m.keeper.Applier.Apply(batch, waiters)
	if err != nil && (m.powerless(err) || m.unstaged(err)) {
		return
	}
	m.c.check(err == nil, "I22 exactly-once apply", "m%d: %v", m.Index, err)
	m.note("apply", uint64(batch[0].Index), uint64(len(batch)))
	m.staged(batch)
	m.settle()
}

// restore makes the state machine that of a snapshot that was fetched. What becomes of the writes
// before it nobody learns.
func (m *member) restore(r snapshot.Reader) {
	last := r.Meta().Last.Index
	rest := m.placed[:0]
	for _, o := range m.placed {
		if o.At.Index <= last {
			o.settle(witness.Unknown)
		} else {
			rest = append(rest, o)
		}
	}
	m.placed = rest
	m.keeper.Restore(r)
	m.settle()
}

// unstaged reports whether the member has stopped because a backup could not be staged.
func (m *member) unstaged(err error) bool {
	if !edge.Injected(err) {
		return false
	}
	m.fails(err)
	return true
}

// staged has the witness look at the state after pieces of a backup.
func (m *member) staged(batch []raft.Entry) {
	for i := range batch {
		if batch[i].Kind == raft.EntryRestore {
			m.c.history.Staged(m.Member, m.keeper.Applier.Applied(), &m.keeper.Machine.State)
			return
		}
	}
}
