package sim

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// roomy is a calm cluster with machines that are no members yet.
func roomy(members, spares int) *swarm.Swarm {
	w := calm(members)
	w.Membership.Spares = spares
	return w
}

func edit(kind raft.EditKind, list ...*member) []raft.Edit {
	e := raft.Edit{Kind: kind}
	for _, m := range list {
		e.Peers = append(e.Peers, raft.Peer{ID: m.ID, Addr: m.addr})
	}
	return []raft.Edit{e}
}

// change asks for a change and waits for what comes of it.
func (c *Cluster) change(m *member, edits []raft.Edit) *witness.Request {
	r := c.askChange(m, edits, 0, 0)
	c.runWhile(func() bool { return !r.Answered }, c.now+30*c.swarm.Election)
	return r
}

// carries reports whether the message has a configuration among its entries that f says yes to.
func carries(msg *raft.Message, f func(*raft.Configuration) bool) bool {
	return slices.ContainsFunc(entriesOf(msg), func(e raft.Entry) bool {
		conf, err := raft.DecodeConfiguration(e.Index, e.Data)
		return e.Kind == raft.EntryConfiguration && err == nil && f(&conf)
	})
}

// B091, the counterexample of 2015: the change of a first leader reaches only the new member; a
// second leader, who has not seen it, has one of its own committed; the first one and the new
// member must not be able to undo that.
func TestScenarioChangesOfTwoLeaders(t *testing.T) {
	playIn(t, roomy(4, 1), func(c *Cluster) {
		a := c.elect()
		c.elapse(c.swarm.Election)
		joiner, rest := c.members[4], c.but(a, c.members[4])
		adds := func(conf *raft.Configuration) bool { return conf.IsVoter(joiner.ID) }
		c.filter = func(_, to int, data []byte) int {
			msg := c.decoded(data)
			return int(record.Bit(to == joiner.Index || !carries(&msg, adds)))
		}
		c.askChange(a, edit(raft.EditAdd, joiner), 0, 0)
		c.elapse(c.swarm.Election / 2)
		c.check(a.Configuration().IsVoter(joiner.ID) && joiner.Configuration().IsVoter(joiner.ID) &&
			!rest[0].Configuration().IsVoter(joiner.ID), "I35 not vacuous", "the first change%s", c.sketch())
		mend := c.cut([]int{a.Index, joiner.Index}, c.others(a.Index))
		back := c.cut(c.others(a.Index), []int{a.Index, joiner.Index})
		b := c.elect(rest...)
		r := c.change(b, edit(raft.EditRemove, a))
		c.check(r.Answered && r.Err == nil, "I35 not vacuous", "the second change: %v", r.Err)
		done := b.Configuration()
		b.crash(true, never)
		mend()
		back()
		c.elapse(10 * c.swarm.Election)
		for _, m := range c.but(a, b, joiner) {
			c.check(m.Configuration().SameMembers(done), "I8 committed is for ever",
				"m%d goes by %v", m.Index, m.Configuration())
		}
		c.filter = nil
		b.restartAfter(0)
	})
}

// The first entry of a leader, a configuration, reaches nobody. The next leader has commands there:
// when the first of them arrives, alone, the configuration before is in force again.
func TestScenarioTruncatedConfiguration(t *testing.T) {
	playIn(t, calm(5), func(c *Cluster) {
		a := c.elect()
		c.elapse(c.swarm.Election)
		next, shared := c.but(a)[0], a.Status.Last.Index
		only := func(pass func(m *raft.Message) bool, among ...*member) {
			c.filter = func(from, to int, data []byte) int {
				msg := c.decoded(data)
				return int(record.Bit(contains(among, c.members[from]) && contains(among, c.members[to]) &&
					pass(&msg)))
			}
		}
		only(func(*raft.Message) bool { return true }, a, next)
		for range 3 {
			c.write(nil, a, 0, 20, 1, 1)
		}
		c.elapse(c.swarm.Election / 4)
		rest := c.but(a, next)
		only(func(m *raft.Message) bool { return len(entriesOf(m)) == 0 }, rest...)
		between := c.elect(rest...)
		c.check(between.Configuration().Index == shared+1 && next.Vol.Last() == shared+3,
			"I35 not vacuous", "nothing is to be truncated%s", c.sketch())
		only(func(*raft.Message) bool { return true }, c.but(a, between)...)
		c.elect(next)
	})
}

// The newest configuration takes the vote of the only member that has it, while the one before
// needs that vote: it must campaign all the same (thesis §4.2.2).
func TestScenarioNeededThoughRemoved(t *testing.T) {
	playIn(t, roomy(2, 1), func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		next := func(conf *raft.Configuration) bool {
			return !conf.Joint() && !conf.IsVoter(l.ID)
		}
		c.filter = func(_, _ int, data []byte) int {
			msg := c.decoded(data)
			return int(record.Bit(!carries(&msg, next)))
		}
		c.askChange(l, append(edit(raft.EditAdd, c.members[2]), edit(raft.EditRemove, l)...), 0, 0)
		c.elapse(c.swarm.Election / 2)
		c.check(next(l.Configuration()) && c.but(l)[0].Configuration().Joint(), "I35 not vacuous",
			"the change%s", c.sketch())
		l.crash(true, time.Millisecond)
	})
}

// A machine that never answers does not become a voter, and holds up nobody.
func TestScenarioJoinerIsDead(t *testing.T) {
	playIn(t, roomy(3, 1), func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		c.members[3].crash(true, never)
		before := l.Configuration().Index
		r := c.askChange(l, edit(raft.EditAdd, c.members[3]), 0, 0)
		c.elapse(5 * c.swarm.Election)
		o := c.write(nil, l, 0, 20, 1, 1)
		c.elapse(c.swarm.Election)
		c.check(o.Fate == witness.Acked && !r.Answered, "I33 convergence", "a write waits for a joiner")
		c.elapse(20 * c.swarm.Election)
		c.check(errors.Is(r.Err, raft.ErrCatchUp) && l.Configuration().Index == before,
			"I19 changes are answered truly", "a dead machine joins: %v", r.Err)
	})
}

// A machine that answers and holds nothing yet has no vote: it does not become a voter, because it
// might be needed before it has one.
func TestScenarioJoinerIsEmpty(t *testing.T) {
	playIn(t, roomy(2, 1), func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		joiner := c.members[2]
		c.filter = func(_, to int, data []byte) int {
			msg := c.decoded(data)
			return int(record.Bit(to != joiner.Index || len(entriesOf(&msg)) == 0))
		}
		c.askChange(l, edit(raft.EditReplace, joiner), 0, 0)
		c.elapse(3 * c.swarm.Election)
		c.check(joiner.Status.Leader == l.ID, "I35 not vacuous", "nobody joins")
		l.crash(true, time.Millisecond)
	})
}

// A follower that is removed is told, by the log: it needs not find out. (B101)
func TestScenarioRemovedFollowerIsTold(t *testing.T) {
	playIn(t, roomy(3, 0), func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		gone := c.but(l)[0]
		r := c.change(l, edit(raft.EditRemove, gone))
		c.elapse(c.swarm.Election / 2)
		conf := gone.Configuration()
		c.check(r.Err == nil && !conf.IsVoter(gone.ID) && gone.Status.Committed >= conf.Index,
			"I18 non-members", "m%d does not know that it was removed%s", gone.Index, c.sketch())
		term := l.Status.Term
		c.elapse(200 * c.swarm.Election)
		c.check(l.Status.Term == term && l.Status.Role == core.Leader, "I34 term economy",
			"a removed member disturbs%s", c.sketch())
	})
}

// A leader that is removed leads until that is committed, and then hands over at once.
func TestScenarioRemovedLeaderHandsOver(t *testing.T) {
	playIn(t, roomy(3, 0), func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		term := l.Status.Term
		r := c.change(l, edit(raft.EditRemove, l))
		at := c.now
		next := c.elect(c.but(l)...)
		c.check(r.Err == nil && c.now-at < c.swarm.Election/4 && next.Status.Term == term+1,
			"I33 convergence", "after %v there is m%d in term %d%s", c.now-at, next.Index,
			next.Status.Term, c.sketch())
	})
}

// Leadership goes where it is asked to, with one term more; and to the best of the others.
func TestScenarioTransfer(t *testing.T) {
	playIn(t, roomy(5, 0), func(c *Cluster) {
		for n := range 6 {
			l := c.elect()
			c.elapse(c.swarm.Election)
			term, to := l.Status.Term, raft.PeerID("")
			if n%2 == 0 {
				to = c.but(l)[n%3].ID
			}
			c.write(nil, l, 0, 20, 8, 1)
			at := c.now
			r := c.askTransfer(l, to)
			c.runWhile(func() bool { return !r.Answered }, c.now+4*c.swarm.Election)
			now := c.leader()
			c.check(r.Err == nil && now.Status.Term == term+1 && c.now-at < c.swarm.Election/4 &&
				(to == "" || now.ID == to), "I19 transfers are answered truly",
				"to %q, after %v: %v%s", to, c.now-at, r.Err, c.sketch())
		}
	})
}

// A voter that hears its leader neither gives its vote nor takes over the term of a candidate that
// the leader has not asked to campaign (thesis §4.2.3).
func TestScenarioVoteWhileLeaderIsHeard(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		f := c.but(l)
		term := l.Status.Term
		f[0].receive(transport.Encode(nil, &raft.Message{
			Cluster: "sim", Group: swarm.Group, From: f[1].ID, To: f[0].ID, Term: term + 3,
			Body: &raft.RequestVote{Last: raft.LogID{Term: term, Index: f[0].Status.Last.Index + 9}},
		}))
		c.elapse(c.swarm.Election)
		c.check(f[0].Status.Term == term && l.Status.Role == core.Leader, "I34 term economy",
			"m%d goes to term %d although it hears the leader", f[0].Index, f[0].Status.Term)
	})
}

// A false alarm: the stream from the leader breaks, which lives. The follower goes on following.
func TestScenarioFalseAlarm(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		f := c.but(l)[0]
		f.input(nil, func(now time.Duration) { f.core.Broken(now, l.ID) })
		o := c.write(nil, f, 0, 20, 1, 1)
		c.check(f.Status.Leader == l.ID, "I34 term economy", "m%d follows nobody after a false alarm",
			f.Index)
		c.elapse(c.swarm.Election)
		c.check(o.Fate == witness.Acked, "I33 convergence", "a write is lost by a false alarm")
	})
}

// quietly plays something for a hundred election timeouts, in which the leader stays and no term
// rises.
func quietly(t *testing.T, members int, script func(c *Cluster, leader *member)) {
	t.Helper()
	play(t, members, func(c *Cluster) {
		l := c.elect()
		c.elapse(2 * c.swarm.Election)
		term := l.Status.Term
		script(c, l)
		c.elapse(max(0, 100*c.swarm.Election-c.now))
		for _, m := range c.members {
			c.check(m.Status.Term == term && l.Status.Role == core.Leader, "I34 term economy",
				"m%d goes from term %d to %d%s", m.Index, term, m.Status.Term, c.sketch())
		}
		c.mend()
	})
}

// I34: connections end again and again, those of one member at a time: nobody is elected.
func TestScenarioChurn(t *testing.T) {
	quietly(t, 5, func(c *Cluster, _ *member) {
		c.churn(100 * c.swarm.Election)
		c.check(c.report.Membership.Suspicions > 20, "I35 not vacuous", "%d suspicions",
			c.report.Membership.Suspicions)
	})
}

// I34: a member is cut off and comes back, again and again, and its connections break each time.
func TestScenarioFlappingMember(t *testing.T) {
	quietly(t, 5, func(c *Cluster, l *member) {
		f := c.but(l)[1].Index
		for n := range 60 {
			c.cutFor(c.swarm.Election*time.Duration(1+n%5)/3, []int{f}, c.others(f))
			c.elapse(c.swarm.Election * time.Duration(1+n%3) / 2)
			for _, i := range c.others(f) {
				c.links[f*5+i].breaks()
				c.links[i*5+f].breaks()
			}
		}
	})
}

// I34: a follower hears the leader no more, or is not heard by it, for one direction is cut.
func TestScenarioOneWayMember(t *testing.T) {
	for _, deaf := range []bool{true, false} {
		quietly(t, 5, func(c *Cluster, l *member) {
			from, to := l.Index, c.but(l)[1].Index
			if !deaf {
				from, to = to, from
			}
			c.cut([]int{from}, []int{to})
			c.links[from*5+to].breaks()
		})
	}
}

// I34: two sides that see each other only through one member; the leader is on the larger one, or
// is the bridge.
func TestScenarioBridge(t *testing.T) {
	for _, leads := range []bool{true, false} {
		quietly(t, 5, func(c *Cluster, l *member) {
			rest := c.but(l)
			a, b := []int{l.Index, rest[0].Index}, []int{rest[2].Index, rest[3].Index} // by rest[1]
			if leads {
				a = []int{rest[0].Index, rest[1].Index} // by the leader
			}
			c.cut(a, b)
			c.cut(b, a)
		})
	}
}

// failover returns how long a cluster is without a leader after one died.
func failover(t *testing.T, seed uint64, members int, noticed bool) (took time.Duration) {
	t.Helper()
	w := calm(members)
	w.On[swarm.Noticed], w.Rate[swarm.Noticed] = noticed, 1
	r := Run(Config{Seed: seed, Swarm: w, Script: func(c *Cluster) {
		c.firing = true
		l := c.elect()
		c.elapse(c.swarm.Election + time.Duration(seed)*c.swarm.Heartbeat/100)
		at := c.now
		l.crash(!noticed, never)
		c.elect(c.but(l)...)
		took = c.now - at
		c.check(!noticed || took < c.swarm.Election/2, "I33 convergence",
			"%v after a crash that all have noticed there is a leader", took)
	}})
	report(t, r.Failure)
	return took
}

// A process that dies closes its connections: then the next leader is there in milliseconds, and
// not after an election timeout.
func TestScenarioFailover(t *testing.T) {
	const seeds = 100
	for _, members := range []int{3, 5} {
		var quick, slow []time.Duration
		for seed := range uint64(seeds) {
			quick = append(quick, failover(t, seed, members, true))
			slow = append(slow, failover(t, seed, members, false))
		}
		slices.Sort(quick)
		slices.Sort(slow)
		t.Logf("%d members, election timeout %v: a leader %v after the crash (at most %v); where nobody "+
			"notices, %v (at most %v)", members, calm(members).Election, quick[seeds/2], quick[seeds-1],
			slow[seeds/2], slow[seeds-1])
		require.Less(t, quick[seeds/2], 20*time.Millisecond)
		require.Less(t, quick[seeds-1], 100*time.Millisecond)
		require.Greater(t, slow[seeds/2], calm(members).Election)
	}
}
