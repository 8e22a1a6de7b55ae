package sim

import (
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// liveness is the second phase and I33: everything heals, and within a time that is computed from
// what was drawn the cluster has one leader, commits a fresh write, serves a linearizable read on
// every member, and agrees.
func (c *Cluster) liveness() {
	c.heal()
	healed := c.now
	deadline := healed + c.bound()
	c.await("one leader that all follow", c.settledOnLeader, deadline)
	c.reform()
	deadline = max(deadline, c.now+c.bound())
	c.insist("a write is acknowledged", deadline, func() *op {
		if l := c.leader(); l != nil {
			return c.write(nil, l, 0, witness.CommandHead, 1, 1)
		}
		return nil
	})
	led := func() bool { return c.leader() != nil }
	c.await("one leader, who knows the members", led, deadline)
	for _, m := range c.group() {
		c.insist("a read is served by m"+string('0'+rune(m.Index)), deadline, func() *op {
			if m.core != nil {
				return c.read(nil, m, 0)
			}
			return nil
		})
	}
	c.settleRestores(deadline)
	c.await("all members agree and owe nothing", c.agreed, deadline)
	c.report.Converged = c.now - healed
	c.stable()
	c.compacted()
	c.ended()
}

// ended has the witness look at what the members are left with.
func (c *Cluster) ended() {
	var group []*witness.Member
	var back []witness.Shadow
	var applied []raft.Index
	var state []uint64
	for _, m := range c.group() {
		group = append(group, m.Member)
		back = append(back, m.disk.Contents())
		m.keeper.ReadAll()
		applied = append(applied, m.keeper.Applier.Applied())
		state = append(state, m.keeper.Machine.Hash)
	}
	c.untold()
	c.history.Ended(group, back, applied, state)
}

// heal ends all faults: links deliver, members run, disks answer.
func (c *Cluster) heal() {
	c.firing, c.serving = false, false
	c.swarm.Calm()
	c.trace.Note(c.now, 0, "HEAL")
	c.lose()
	for _, m := range c.members {
		m.disk.FS.Mend()
		m.disk.FS.SetSpace(-1)
		if m.gone {
			continue
		}
		if m.core == nil {
			m.keeper.Repair()
			m.restartAfter(time.Duration(m.draw.Unit() * float64(c.swarm.Election)))
			continue
		}
		m.resume()
		m.disk.Hurry()
	}
}

// bound is how long convergence may take: what is still late, a number of elections, and for each
// entry of the longest log one slow round, since windows and batches may be as small as one
// entry. On a link of limited speed there are also what waits for it, the time until a leader asks
// what has arrived (three heartbeats), and each entry three times.
func (c *Cluster) bound() time.Duration {
	w := &c.swarm
	late := w.RestartTime + 2*w.Election
	for _, class := range []swarm.Class{swarm.Delay, swarm.Duplicate, swarm.SlowApply} {
		if w.On[class] {
			late += w.Span[class]
		}
	}
	entry := 3 * w.OnLink(w.EntryBytes())
	if entry > 0 {
		late += w.OnLink(w.LinkQueueBytes) + 3*w.Heartbeat
	}
	round := 2*(8*c.swarm.LinkDelay+w.SendDelay) + 12*c.swarm.WriteTime + entry
	longest := 0
	for _, m := range c.members {
		longest = max(longest, int(m.Vol.Last()), int(m.Dur.Last()))
	}
	perEntry := round + c.swarm.FetchTime + c.swarm.ApplyTime
	return late + 20*(3*w.Election+round) + time.Duration(longest+10)*2*perEntry
}

// await runs until cond holds.
func (c *Cluster) await(what string, cond func() bool, deadline time.Duration) {
	ok := c.runWhile(func() bool { return !cond() }, deadline)
	c.check(ok, "I33 convergence", "not within %v of healing: %s%s", deadline, what, c.sketch())
}

// insist repeats an operation until it is acknowledged.
func (c *Cluster) insist(what string, deadline time.Duration, try func() *op) {
	for {
		if o := try(); o != nil {
			c.runWhile(func() bool { return o.Fate == witness.Open || o.Fate == witness.Placed }, deadline)
			if o.Fate == witness.Acked {
				return
			}
		}
		c.check(c.now < deadline, "I33 convergence", "not within %v of healing: %s%s", deadline, what,
			c.sketch())
		c.runUntil(min(deadline, c.now+c.swarm.Election/4))
	}
}

// settledOnLeader reports whether all members are up and in the term of one leader.
func (c *Cluster) settledOnLeader() bool {
	l := c.leader()
	for _, m := range c.group() {
		if l == nil || m.core == nil || m.Status.Term != l.Status.Term || m.Status.Leader != l.ID {
			return false
		}
	}
	return true
}

// agreed reports whether every member has applied, and has on disk, all that is in any log.
func (c *Cluster) agreed() bool {
	last := c.history.Commit()
	for _, m := range c.group() {
		if m.core == nil || m.Status.Applied != last || m.Vol.Last() != last || m.Dur.Last() != last ||
			len(m.open)+len(m.placed)+len(m.reads) > 0 || m.Status.PendingBytes > 0 ||
			!m.keeper.Idle() || !m.disk.Idle() {
			return false
		}
		for i := range m.Status.Peers {
			if m.Status.Peers[i].Messages > 0 {
				return false
			}
		}
	}
	return c.settledOnLeader()
}

// stable is the quiet half of I34: in a healthy cluster no term grows and no leader changes. Only
// a message that was on its way since before the cluster healed may still disturb it, so those
// are waited for first.
func (c *Cluster) stable() {
	if w := &c.swarm; w.On[swarm.Delay] || w.On[swarm.Duplicate] {
		c.runUntil(max(c.now, w.Length+w.Span[swarm.Delay]+w.Span[swarm.Duplicate]))
	}
	l := c.leader()
	c.check(l != nil, "I34 term economy", "the leader of a healthy cluster is gone")
	term, life := l.Status.Term, l.Life
	if c.swarm.Membership.Changes {
		c.churn(c.now + 10*c.swarm.Election)
	}
	c.runUntil(c.now + 5*c.swarm.Election)
	for _, m := range c.group() {
		c.check(m.core != nil && m.Status.Term == term, "I34 term economy",
			"m%d goes from term %d to %d in a healthy cluster", m.Index, term, m.Status.Term)
	}
	c.check(l.Life == life && l.Status.Role == core.Leader, "I34 term economy",
		"a healthy cluster loses its leader m%d", l.Index)
}
