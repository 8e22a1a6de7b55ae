package sim

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/raft"
)

// of is the configuration with those voters.
func of(voters []*member) raft.Configuration {
	return raft.Configuration{Voters: edit(raft.EditAdd, voters...)[0].Peers}
}

// resetPeers makes voters the members, by order of somebody who has lost the others for good.
func (m *member) resetPeers(voters []*member) (err error) {
	conf := of(voters)
	m.input(nil, func(now time.Duration) {
		if err = m.core.ResetPeers(now, conf.Voters); err == nil {
			m.c.history.Reset(m.Member, &conf)
		}
	})
	return err
}

// longest is the one whose log goes furthest.
func longest(list []*member) (best *member) {
	for _, m := range list {
		if best == nil || best.Status.Last.Less(m.Status.Last) {
			best = m
		}
	}
	return best
}

// busy writes some commands, now and then.
func (c *Cluster) busy(draw *swarm.Stream, m *member) {
	for range 5 + draw.Pick(10) {
		c.write(nil, m, draw.Pick(c.swarm.Keys), 20, 1+draw.Pick(4), 1)
		c.elapse(draw.Wait(c.swarm.Heartbeat / 4))
	}
}

// A majority is lost for good, half of the time with what only it had. The peers are reset on the
// survivor with the longest log, which may lose power at once; the group goes on with all that
// that one has, and a machine joins it.
func TestScenarioResetPeers(t *testing.T) {
	lost, crashed := 0, 0
	for seed := range uint64(24) {
		w := roomy(3+2*int(seed%2), 1)
		w.Keys = 4
		r := Run(Config{Seed: seed, Swarm: w, Script: func(c *Cluster) {
			c.firing = true
			n, again := c.loseMajority(seed%4 < 2)
			lost, crashed = lost+n, crashed+again
			c.liveness()
		}})
		report(t, r.Failure)
	}
	t.Logf("%d acknowledged writes were lost, %d resets had to be repeated", lost, crashed)
	require.Greater(t, lost, 100, "I35 not vacuous: acknowledged writes that were lost")
	require.Positive(t, crashed, "I35 not vacuous: resets that a crash undid")
}

// loseMajority is the script: it returns how many acknowledged writes were lost, and how often the
// peers had to be reset once more.
func (c *Cluster) loseMajority(apart bool) (lost, again int) {
	draw := swarm.NewStream(c.Seed, 8000)
	l, spare := c.elect(), c.members[c.swarm.Members]
	left := c.but(l, spare)[:c.swarm.Members/2]
	c.busy(draw, l)
	if draw.Chance(0.5) {
		left[0].keeper.Take()
	}
	if late := left[len(left)-1]; len(left) > 1 {
		c.cutFor(never, []int{late.Index}, []int{l.Index})
		c.busy(draw, l)
	}
	since := time.Duration(never)
	if apart {
		since = c.now
		for _, m := range left {
			c.cutFor(never, []int{m.Index}, c.others(m.Index))
		}
		c.busy(draw, l)
	} else {
		c.elapse(c.swarm.Election / 4)
	}
	on := longest(left)
	for _, m := range c.but(slices.Concat(left, []*member{spare})...) {
		m.vanish()
	}
	c.mend()
	if !apart {
		err := on.resetPeers(left)
		c.check(errors.Is(err, raft.ErrQuorumAlive), "I18 non-members",
			"m%d resets its peers although it has just heard the leader: %v", on.Index, err)
	}
	c.elapse(4 * c.swarm.Election)
	last, crash, want := on.Status.Last, draw.Chance(0.7), of(left)
	for !on.Configuration().SameMembers(&want) {
		again++
		err := on.resetPeers(left)
		c.check(err == nil, "I33 convergence", "m%d does not reset its peers: %v", on.Index, err)
		if crash {
			on.crash(true, c.swarm.Heartbeat)
			c.elapse(2 * c.swarm.Heartbeat)
		}
	}
	next := c.elect(left...)
	c.check(next.Vol.TermAt(last.Index) == last.Term, "I25 no lost write",
		"m%d leads, and has not kept the entry %v of m%d", next.Index, last, on.Index)
	for _, o := range c.ops {
		c.check(!o.Lost || o.End > since, "I25 no lost write", "write %d is lost", o.Serial)
		if o.Lost {
			lost++
		}
	}
	r := c.change(next, edit(raft.EditAdd, spare))
	c.check(r.Answered && r.Err == nil, "I33 convergence", "nobody can join: %v", r.Err)
	return lost, again - 1
}
