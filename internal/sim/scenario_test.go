package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
	"github.com/jraft-go/jraft/transport"
)

// calm is a cluster in which nothing happens by chance but the delays, all of them short.
func calm(members int) *swarm.Swarm {
	w := &swarm.Swarm{
		Members: members, Keys: 1, Election: 200 * time.Millisecond, Heartbeat: 40 * time.Millisecond,
		LinkDelay: time.Millisecond / 2, SendDelay: 10 * time.Microsecond,
		WriteTime: time.Millisecond / 2,
		ApplyTime: 100 * time.Microsecond, FetchTime: time.Millisecond, RestartTime: time.Second,
		SegmentBytes: 8 << 10, ValueBytes: 100, Keep: 2, SnapshotTime: 100 * time.Microsecond, Haste: 1,
		Fetches: 2,
	}
	w.Limits = core.Options{
		Cluster: "sim", Group: swarm.Group, ElectionTimeout: w.Election, HeartbeatInterval: w.Heartbeat,
		Replication:     replicator.Limits{WindowMessages: 8, WindowBytes: 1 << 20, BatchBytes: 1},
		MaxCommandBytes: 4096, MaxPendingBytes: 1 << 20, MaxApplyBytes: 1 << 20, MaxPendingReads: 100,
		CacheBytes: 1 << 20,
	}
	return w
}

// play runs a script and, after it, the liveness phase with all its checks.
func play(t *testing.T, members int, script func(c *Cluster)) {
	t.Helper()
	playIn(t, calm(members), script)
}

func playIn(t *testing.T, swarm *swarm.Swarm, script func(c *Cluster)) {
	t.Helper()
	r := Run(Config{Swarm: swarm, Script: func(c *Cluster) {
		c.firing = true
		script(c)
		c.filter = nil
		c.liveness()
	}})
	report(t, r.Failure)
	require.Positive(t, r.Writes)
}

func report(t *testing.T, f *record.Failure) {
	t.Helper()
	if f != nil {
		t.Fatalf("INVARIANT: %s\n  seed of the scenario at %v: %s\n%s\n%s", f.Invariant, f.At, f.What,
			f.Stack,
			strings.Join(f.Trace, "\n"))
	}
}

// elect runs until one of the members, all of them if none is named, leads.
func (c *Cluster) elect(among ...*member) *member {
	found := func() *member {
		for _, m := range c.members {
			if m.core != nil && m.Status.Role == core.Leader && (len(among) == 0 || contains(among, m)) {
				return m
			}
		}
		return nil
	}
	ok := c.runWhile(func() bool { return found() == nil }, c.now+30*c.swarm.Election)
	c.check(ok, "I33 convergence", "the scenario has no leader%s", c.sketch())
	return found()
}

func contains(list []*member, m *member) bool {
	for _, x := range list {
		if x == m {
			return true
		}
	}
	return false
}

func (c *Cluster) elapse(d time.Duration) { c.runUntil(c.now + d) }

// decoded gives a filter the message.
func (c *Cluster) decoded(data []byte) raft.Message {
	msg, err := transport.Decode(data)
	c.check(err == nil, "codec", "%v", err)
	return msg
}

// entriesOf returns the entries of a message that carries some.
func entriesOf(m *raft.Message) []raft.Entry {
	if b, ok := m.Body.(*raft.AppendEntries); ok {
		return b.Entries
	}
	return nil
}

func (c *Cluster) but(skip ...*member) (list []*member) {
	for _, m := range c.members {
		if !contains(skip, m) {
			list = append(list, m)
		}
	}
	return list
}

// A leader without a quorum gives up within two election timeouts (check-quorum, thesis §6.2),
// and serves nothing.
func TestScenarioIsolatedLeaderStepsDown(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		c.cutFor(20*c.swarm.Election, []int{l.Index}, c.others(l.Index))
		c.elapse(2 * c.swarm.Election)
		c.check(l.Status.Role != core.Leader, "I33 convergence", "m%d leads without a quorum", l.Index)
		o := c.write(nil, l, 0, 20, 1, 1)
		c.elapse(c.swarm.Election)
		c.check(o.Fate == witness.NotAppended, "I21 one outcome",
			"a member without a leader takes a write: %d", o.Fate)
	})
}

// One voter's answer that arrives five times is one vote (reliability catalogue, duplicate votes).
func TestScenarioDuplicateVotes(t *testing.T) {
	play(t, 5, func(c *Cluster) {
		c.filter = func(from, _ int, data []byte) int {
			msg := c.decoded(data)
			if b, ok := msg.Body.(*raft.RequestVoteReply); !ok || b.Pre {
				return 1
			}
			if from == 1 {
				return 5
			}
			return 0
		}
		c.elapse(30 * c.swarm.Election)
		c.check(c.history.Elections == 0, "I1 election safety", "two voters of five made a leader")
		c.check(c.members[1].Status.Term > 0, "I35 not vacuous", "nobody asked for votes")
	})
}

// The vacuous append of B031: a follower with a longer log of its own is asked only about an
// early entry, and told of a commit index far beyond. It must commit no more than was proved.
func TestScenarioEmptyAppendCommitsNoTail(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		a := c.elect()
		c.elapse(c.swarm.Election)
		shared := a.Status.Last
		c.cutFor(never, []int{a.Index}, c.others(a.Index))
		for range 6 {
			c.write(nil, a, 0, 20, 1, 1)
		}
		b := c.elect(c.but(a)...)
		for range 4 {
			c.write(nil, b, 0, 20, 1, 1)
		}
		c.elapse(c.swarm.Election / 2)
		c.check(b.Status.Committed > shared.Index+3 && a.Status.Last.Index > shared.Index+3,
			"I35 not vacuous",
			"the logs do not differ enough")
		a.receive(transport.Encode(nil, &raft.Message{
			Cluster: "sim", Group: swarm.Group, From: b.ID, To: a.ID, Term: b.Status.Term,
			Body: &raft.AppendEntries{Prev: shared, Commit: b.Status.Committed},
		}))
		c.check(a.Status.Term == b.Status.Term && a.Status.Committed <= shared.Index,
			"I10 follower commit is verified",
			"m%d commits %d on the proof of %d", a.Index, a.Status.Committed, shared.Index)
	})
}

// B035 (ABA): a follower's disk is slow with entries of one leader. Another leader replaces them
// meanwhile, at the same indexes. When the first write ends at last, the new entries are not
// durable.
func TestScenarioLateWriteConfirmsNothing(t *testing.T) {
	play(t, 5, func(c *Cluster) {
		old := c.elect()
		c.elapse(c.swarm.Election)
		f := c.but(old)[0]
		f.disk.Held = true
		c.filter = func(from, to int, data []byte) int {
			msg := c.decoded(data)
			if from == old.Index && to != f.Index && len(entriesOf(&msg)) > 0 {
				return 0
			}
			return 1
		}
		for range 3 {
			c.write(nil, old, 0, 20, 1, 1)
			c.elapse(5 * time.Millisecond)
		}
		c.check(f.Vol.Last() >= f.Dur.Last()+3, "I35 not vacuous", "the follower's disk is not behind")
		c.cutFor(never, []int{old.Index}, c.others(old.Index))
		l := c.elect(c.but(old, f)...)
		for range 5 {
			c.write(nil, l, 0, 20, 1, 1)
		}
		c.elapse(c.swarm.Election)
		c.check(f.Status.Term == l.Status.Term && f.Vol.TermAt(f.Dur.Last()+1) == l.Status.Term,
			"I35 not vacuous", "nothing was replaced")
		for f.disk.Finish() { // I11 looks at every acknowledgement
			c.elapse(c.swarm.Election / 4)
		}
		f.disk.Held = false
	})
}

// Figure 8 of the paper: an entry of an old term is on a majority, and is lost all the same,
// because nobody may count it. So nobody has.
func TestScenarioFigure8(t *testing.T) {
	play(t, 5, func(c *Cluster) {
		s := make([]*member, 0, 5)
		s = append(s, c.elect())
		c.elapse(c.swarm.Election)
		s = append(s, c.but(s[0])...)
		// (a) The first leader's entry reaches one other.
		c.filter = func(from, to int, data []byte) int {
			msg := c.decoded(data)
			return int(record.Bit(len(entriesOf(&msg)) == 0 || to == s[1].Index))
		}
		x := c.write(nil, s[0], 0, 20, 1, 1)
		c.elapse(20 * time.Millisecond)
		index := x.At.Index
		c.check(s[1].Dur.Last() >= index && s[2].Dur.Last() < index, "I35 not vacuous", "figure 8 (a)")
		s[0].crash(true, never)
		// (b) Another leads without hearing of it, and writes its own there.
		s[1].pause(never)
		c.filter = func(_, _ int, data []byte) int {
			msg := c.decoded(data)
			return int(record.Bit(len(entriesOf(&msg)) == 0))
		}
		b := c.elect(s[2], s[3], s[4])
		c.elapse(10 * time.Millisecond)
		c.check(b.Dur.Last() >= index && b.Dur.TermAt(index) > x.At.Term, "I35 not vacuous",
			"figure 8 (b)")
		b.crash(true, never)
		// (c) The first entry comes to a majority, by a leader of a later term that has not got its own
		// through.
		s[1].resume()
		s[0].restartAfter(0)
		c.filter = func(_, to int, data []byte) int {
			msg := c.decoded(data)
			e := entriesOf(&msg)
			return int(record.Bit(len(e) == 0 || e[len(e)-1].Index <= index ||
				c.members[to].Vol.Last() < index))
		}
		l := c.elect(s[0], s[1])
		c.elapse(c.swarm.Election / 2)
		holders := 0
		for _, m := range c.members {
			holders += int(record.Bit(m.Dur.Last() >= index && m.Dur.TermAt(index) == x.At.Term))
		}
		c.check(holders >= 3 && l.Status.Role == core.Leader, "I35 not vacuous", "figure 8 (c): on %d",
			holders)
		c.check(c.history.Commit() < index, "I7 only the current term is counted", "figure 8 (c)")
		// (d) The other leader is back, without those two, and overwrites it.
		c.filter = nil
		s[0].crash(true, never)
		s[1].crash(true, never)
		b.restartAfter(0)
		c.elect(b)
		c.elapse(c.swarm.Election)
		c.check(c.history.Commit() >= index && x.Logged == 0, "I35 not vacuous", "figure 8 (d)")
		s[0].restartAfter(0)
		s[1].restartAfter(0)
	})
}

// I34: a member that is heard but hears nothing disturbs nobody: with pre-votes its term does not
// even grow.
func TestScenarioDeafMember(t *testing.T) {
	play(t, 5, func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		term, deaf := l.Status.Term, c.but(l)[0]
		c.after(60*c.swarm.Election, c.cut(c.others(deaf.Index), []int{deaf.Index}))
		c.elapse(50 * c.swarm.Election)
		for _, m := range c.members {
			c.check(m.Status.Term == term, "I34 term economy", "m%d is in term %d, the deaf m%d began in %d",
				m.Index, m.Status.Term, deaf.Index, term)
		}
	})
}

// I34: a leader that hears nothing is replaced once, and the two do not take turns after that.
func TestScenarioDeafLeader(t *testing.T) {
	play(t, 5, func(c *Cluster) {
		l := c.elect()
		c.elapse(c.swarm.Election)
		term := l.Status.Term
		c.after(60*c.swarm.Election, c.cut(c.others(l.Index), []int{l.Index}))
		c.elapse(50 * c.swarm.Election)
		now := c.leader()
		c.check(now != nil && now != l && now.Status.Term <= term+5, "I34 term economy",
			"after 50 election timeouts with a deaf leader of term %d%s", term, c.sketch())
	})
}

// F38: all members start at the same instant with the same clock; there is a leader soon, and
// only one.
func TestScenarioAllStartAtOnce(t *testing.T) {
	play(t, 7, func(c *Cluster) {
		for _, m := range c.members {
			m.crash(true, time.Millisecond)
		}
		c.elect()
		c.check(c.now < 10*c.swarm.Election, "I33 convergence", "the first leader comes after %v", c.now)
	})
}
