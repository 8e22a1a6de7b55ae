package core

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

func edit(kind raft.EditKind, ids ...raft.PeerID) raft.Edit {
	return raft.Edit{Kind: kind, Peers: peersOf(ids...)}
}

func replace(ids ...raft.PeerID) raft.Edit { return edit(raft.EditReplace, ids...) }

// change asks for a change of the membership and returns its number.
func (m *member) change(edits ...raft.Edit) uint64 { return m.changeIf(0, edits...) }

func (m *member) changeIf(i raft.Index, edits ...raft.Edit) uint64 {
	m.c.asked++
	m.Change(m.c.now, Change{ID: m.c.asked, Edits: edits, IfIndex: i})
	m.pump()
	return m.c.asked
}

// outcome is what came of a change: exactly one answer, or none yet.
func (m *member) outcome(id uint64) (r Changed, done bool) {
	for _, ch := range m.changes {
		if ch.ID == id {
			require.False(m.c.t, done, "change %d was answered twice", id)
			r, done = ch, true
		}
	}
	return r, done
}

// must carries out a change and returns the configuration that it ended in.
func (m *member) must(edits ...raft.Edit) raft.Configuration {
	id := m.change(edits...)
	m.c.pass(5 * testHeartbeat)
	r, done := m.outcome(id)
	require.True(m.c.t, done, "the change does not end: %+v", m.Status())
	require.NoError(m.c.t, r.Err)
	return r.Configuration
}

// fails carries out a change that is refused or fails, and returns why.
func (m *member) fails(edits ...raft.Edit) error {
	id := m.change(edits...)
	m.c.pass(2 * testHeartbeat)
	r, done := m.outcome(id)
	require.True(m.c.t, done)
	require.False(m.c.t, r.Unknown)
	return r.Err
}

// leads returns the only leader of the newest term.
func (c *cluster) leads() (l *member) {
	for _, m := range c.members {
		if !m.down && m.role == Leader && (l == nil || m.term() > l.term()) {
			l = m
		}
	}
	require.NotNil(c.t, l, "nobody leads")
	return l
}

// settled waits for one leader, and requires that all members which are up have this membership and
// this log.
func (c *cluster) settled(want raft.Configuration) *member {
	c.pass(6 * testElection)
	l := c.leads()
	for _, p := range want.Members() {
		m := c.member(p.ID)
		if m == nil || m.down {
			continue
		}
		require.True(c.t, m.configuration().SameMembers(&want), "%s: %v", m.id, m.configuration())
		require.Equal(c.t, l.Status().Last, m.Status().Last, m.id)
		require.Equal(c.t, l.Status().Committed, m.Status().Committed, m.id)
	}
	return l
}

func voters(ids ...raft.PeerID) raft.Configuration {
	return raft.Configuration{Voters: peersOf(ids...)}
}

// carries reports whether a message brings a configuration above index after that is joint, or one
// that is not.
func carries(m *raft.Message, joint bool, after raft.Index) bool {
	b, ok := m.Body.(*raft.AppendEntries)
	if !ok {
		return false
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Kind == raft.EntryConfiguration && e.Index > after {
			conf, _ := raft.DecodeConfiguration(e.Index, e.Data)
			if conf.Joint() == joint {
				return true
			}
		}
	}
	return false
}

func between(m *raft.Message, a, b raft.PeerID) bool {
	return m.From == a && m.To == b || m.From == b && m.To == a
}

func (c *cluster) cut(id raft.PeerID) {
	c.lose = func(m *raft.Message) bool { return m.From == id || m.To == id }
}

func TestGrowsReplacesShrinks(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	a.propose("x")
	c.add("b", "c", "d", "e", "f", "g")
	for n, to := range []raft.Configuration{
		voters("a", "b", "c"), voters("a", "b", "c", "d", "e"), voters("a", "b", "f", "g", "e"),
		voters("a", "f", "g"), voters("a"),
	} {
		last := a.Status().Last.Index
		conf := a.must(raft.Edit{Kind: raft.EditReplace, Peers: to.Voters})
		require.True(t, conf.SameMembers(&to), "%v", &conf)
		require.Equal(t, last+2, conf.Index, "a joint configuration, and the new one")
		a.propose(fmt.Sprint(n))
		c.settle()
		for _, p := range to.Voters {
			require.Len(t, c.member(p.ID).commands(), n+2)
		}
	}
	require.Same(t, a, c.settled(voters("a")))
	require.Equal(t, raft.Term(1), a.term())
	require.Empty(t, a.peers)
}

func TestLearnersReplicateAndNeverCount(t *testing.T) {
	c := newCluster(t, "a", "b")
	a := c.elect("a")
	c.add("l", "m", "n")
	before := a.Status().Last.Index
	conf := a.must(edit(raft.EditAddLearner, "l", "m", "n"))
	require.Equal(t, before+1, conf.Index, "one entry: the voters are the same")
	a.propose("x")
	c.settle()
	l := c.member("l")
	require.Equal(t, []string{"x"}, l.commands())
	require.Equal(t, Learner, l.Status().Role)
	l.Read(c.now, 5)
	c.settle()
	require.NoError(t, l.reads[0].Err, "it may serve reads")

	c.member("b").crash()
	a.propose("y")
	c.settle()
	require.Equal(t, []string{"x"}, a.commands(), "three learners hold it, and one voter of two")
	c.pass(20 * testElection)
	require.NotEqual(t, Leader, a.role, "nor do they keep a leader")
	for _, id := range []raft.PeerID{"l", "m", "n"} {
		require.Equal(t, Learner, c.member(id).Status().Role)
		require.Equal(t, raft.Term(1), c.member(id).term(), "they don't campaign")
	}
	c.member("b").start()
	c.pass(3 * testElection)
	a = c.leads()
	a.must(edit(raft.EditPromote, "l"), edit(raft.EditDemote, "b"), edit(raft.EditRemove, "n"))
	want := voters("a", "l")
	want.Learners = peersOf("m", "b")
	c.settled(want)
	require.Equal(t, Learner, c.member("b").Status().Role)
	require.NoError(t, a.hand("l").Err)
	l.must(edit(raft.EditRemove, "a", "m", "b"))
	require.Equal(t, "l", string(c.settled(voters("l")).id))
}

func TestChangesAreRefusedClearly(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.member("a")
	require.ErrorIs(t, a.fails(edit(raft.EditRemove, "c")), raft.ErrNoLeader)
	a = c.elect("a")
	b := c.member("b")
	require.ErrorIs(t, b.fails(edit(raft.EditRemove, "c")), raft.ErrNotLeader)
	require.ErrorIs(t, a.fails(edit(raft.EditPromote, "x")), raft.ErrBadConfiguration)
	a.change(edit(raft.EditAdd, "d")) // which is not there
	require.ErrorIs(t, a.fails(edit(raft.EditRemove, "c")), raft.ErrChangeInProgress)
	require.Equal(t, raft.Index(2), a.configuration().Index)
	require.NotNil(t, a.Status().Changing)
}

func TestTheSameChangeJoins(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	first := a.change(edit(raft.EditAdd, "b"))
	second := a.change(edit(raft.EditAdd, "b"))
	c.add("b")
	c.lose = func(m *raft.Message) bool { return carries(m, true, 0) }
	c.pass(5 * testHeartbeat)
	require.True(t, a.configuration().Joint())
	third := a.change(edit(raft.EditAdd, "b"))
	c.lose = nil
	c.pass(20 * testHeartbeat)
	for _, id := range []uint64{first, second, third} {
		r, done := a.outcome(id)
		require.True(t, done)
		require.NoError(t, r.Err)
	}
	last := a.Status().Last
	done := a.change(edit(raft.EditAdd, "b"), edit(raft.EditRemove, "x"))
	r, _ := a.outcome(done)
	require.Equal(t, Changed{ID: done, Configuration: a.configuration().Clone()}, r, "at once")
	require.Equal(t, last, a.Status().Last)
}

// TestWhoJoinsIsMetAtOnce: it knows nobody, so it can't answer before a heartbeat has told it where
// the leader is. That one is of the last round: of reads that came after it, it confirms nothing.
func TestWhoJoinsIsMetAtOnce(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	c.add("b", "l")
	round := a.round
	start := c.now
	var rounds []uint64
	c.lose = func(m *raft.Message) bool {
		if b, ok := m.Body.(*raft.Heartbeat); ok && b.Round != 0 {
			require.Equal(t, "a:1", b.Addr)
			rounds = append(rounds, b.Round)
		}
		return false
	}
	id := a.change(edit(raft.EditAddLearner, "l"))
	c.settle()
	r, _ := a.outcome(id)
	require.NoError(t, r.Err)
	require.Equal(t, raft.Index(3), a.peer("l").Match, "heard in the moment it became a member")
	id = a.change(edit(raft.EditAdd, "b"))
	c.settle()
	r, done := a.outcome(id)
	require.True(t, done)
	require.NoError(t, r.Err)
	require.Equal(t, start, c.now, "within some round trips")
	require.Equal(t, []uint64{round, round}, rounds)

	c.lose = func(m *raft.Message) bool { return m.From == "b" }
	a.Read(c.now, 1)
	c.settle()
	require.Empty(t, a.reads)
	require.Greater(t, a.round, round, "what b answered before confirms nothing")
	c.lose = nil
	c.pass(testHeartbeat)
	require.Equal(t, []ReadReady{{ID: 1, Index: a.Status().Committed}}, a.reads)
}

func TestIfIndex(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.add("d")
	first := a.configuration().Index
	id := a.changeIf(first, edit(raft.EditAdd, "d"))
	c.pass(5 * testHeartbeat)
	r, _ := a.outcome(id)
	require.NoError(t, r.Err)
	id = a.changeIf(first, edit(raft.EditRemove, "d"))
	stale, _ := a.outcome(id)
	require.ErrorIs(t, stale.Err, raft.ErrConfigurationStale)
	id = a.changeIf(r.Configuration.Index-1, edit(raft.EditRemove, "d"))
	stale, _ = a.outcome(id)
	require.ErrorIs(t, stale.Err, raft.ErrConfigurationStale, "the joint one was another")
	id = a.changeIf(999, edit(raft.EditRemove, "d"))
	stale, _ = a.outcome(id)
	require.ErrorIs(t, stale.Err, raft.ErrConfigurationStale, "there is none")
	a.crash()
	b := c.elect("b")
	require.Greater(t, b.configuration().Index, r.Configuration.Index, "the new leader repeated it")
	id = b.changeIf(r.Configuration.Index, edit(raft.EditRemove, "d"))
	c.pass(5 * testHeartbeat)
	r, _ = b.outcome(id)
	require.NoError(t, r.Err, "it is still the same")
}

// TestIfIndexOfTheChangeItself: who asks again, for want of an answer, names the configuration of
// before. That holds while the change is under way, when it is done, and with another leader.
func TestIfIndexOfTheChangeItself(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.add("d")
	first := a.configuration().Index
	c.lose = func(m *raft.Message) bool { return carries(m, true, 0) }
	ids := []uint64{a.changeIf(first, edit(raft.EditAdd, "d"))}
	c.pass(5 * testHeartbeat)
	require.True(t, a.configuration().Joint())
	ids = append(ids, a.changeIf(first, edit(raft.EditAdd, "d")))
	for _, other := range []uint64{
		a.changeIf(first, edit(raft.EditAdd, "e")), a.changeIf(first, edit(raft.EditRemove, "d")),
		a.changeIf(999, edit(raft.EditAdd, "d")),
		a.changeIf(first, edit(raft.EditPromote, "nobody")),
	} {
		r, _ := a.outcome(other)
		require.ErrorIs(t, r.Err, raft.ErrConfigurationStale)
	}
	c.lose = nil
	c.pass(20 * testHeartbeat)
	last := a.Status().Last
	ids = append(ids, a.changeIf(first, edit(raft.EditAdd, "d")))
	for _, id := range ids {
		r, done := a.outcome(id)
		require.True(t, done)
		require.NoError(t, r.Err)
		require.Equal(t, *a.configuration(), r.Configuration)
	}
	require.Equal(t, last, a.Status().Last, "nothing is done twice")

	a.crash()
	b := c.elect("b")
	c.settle()
	id := b.changeIf(first, edit(raft.EditAdd, "d"))
	r, _ := b.outcome(id)
	require.NoError(t, r.Err, "the next leader knows as well")
	b.must(edit(raft.EditAddLearner, "l"))
	id = b.changeIf(first, edit(raft.EditAdd, "d"))
	r, _ = b.outcome(id)
	require.ErrorIs(t, r.Err, raft.ErrConfigurationStale, "something else was changed since")
	b.must(edit(raft.EditRemove, "l"))
	id = b.changeIf(first, edit(raft.EditAdd, "d"))
	r, _ = b.outcome(id)
	require.ErrorIs(t, r.Err, raft.ErrConfigurationStale, "and changed back")
}

// TestIfIndexOfAChangeThatAnotherLeaderEnds: the joint configuration is all that is left of it.
func TestIfIndexOfAChangeThatAnotherLeaderEnds(t *testing.T) {
	c := newCluster(t, "a", "b", "c", "d", "e")
	a := c.elect("a")
	c.settle()
	first := a.configuration().Index
	c.lose = func(m *raft.Message) bool { return only[*raft.AppendEntriesReply](m) }
	a.changeIf(first, edit(raft.EditRemove, "e"))
	c.settle()
	a.crash()
	b := c.elect("b")
	require.True(t, b.configuration().Joint())
	id := b.changeIf(first, edit(raft.EditRemove, "e"))
	refused, _ := b.outcome(b.changeIf(first, edit(raft.EditRemove, "a")))
	require.ErrorIs(t, refused.Err, raft.ErrConfigurationStale)
	c.lose = nil
	c.pass(5 * testHeartbeat)
	r, done := b.outcome(id)
	require.True(t, done)
	require.NoError(t, r.Err)
	require.Len(t, r.Configuration.Voters, 4)
}

func TestNoChangeBeforeAnEntryOfTheTermIsCommitted(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.add("l")
	c.lose = func(m *raft.Message) bool { _, ok := m.Body.(*raft.AppendEntries); return ok }
	a := c.elect("a")
	id := a.change(edit(raft.EditAddLearner, "l"))
	c.pass(3 * testHeartbeat)
	require.Equal(t, raft.Index(2), a.Status().Last.Index, "also not of learners")
	c.lose = nil
	c.pass(20 * testHeartbeat)
	r, _ := a.outcome(id)
	require.NoError(t, r.Err)
	require.Equal(t, raft.Index(3), r.Configuration.Index)
}

func TestJoinerThatNeverAnswersEndsTheChange(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	last := a.Status().Last
	id := a.change(edit(raft.EditAdd, "d"))
	c.pass(9 * testElection)
	_, done := a.outcome(id)
	require.False(t, done, "it gets some time")
	a.propose("meanwhile")
	c.pass(3 * testElection)
	r, _ := a.outcome(id)
	require.ErrorIs(t, r.Err, raft.ErrCatchUp)
	require.ErrorContains(t, r.Err, "d at d:1 has never answered, was last heard")
	require.ErrorContains(t, r.Err, "nothing was changed")
	require.False(t, r.Unknown)
	require.Equal(t, last.Index+1, a.Status().Last.Index)
	require.Nil(t, a.Status().Changing)
	require.Len(t, a.Status().Peers, 2)
	c.add("d")
	a.must(edit(raft.EditAdd, "d"))
	c.settled(voters("a", "b", "c", "d"))
}

func TestJoinerThatStopsHalfwayEndsTheChange(t *testing.T) {
	c := newClusterOf(t, func(o *Options) { o.Replication.BatchBytes = 200 }, "a")
	a := c.elect("a")
	a.fill(3000)
	c.add("b")
	sent := 0
	c.lose = func(m *raft.Message) bool {
		_, ok := m.Body.(*raft.AppendEntries)
		sent++
		return ok && sent > 300
	}
	id := a.change(edit(raft.EditAdd, "b"))
	c.pass(13 * testElection)
	r, done := a.outcome(id)
	require.True(t, done)
	require.ErrorIs(t, r.Err, raft.ErrCatchUp)
	require.Regexp(t, `b at b:1 has [1-9]\d* of 3002 entries, was last heard`, r.Err.Error())
	require.False(t, a.configuration().IsVoter("b"))
}

func TestJoinerGetsASnapshot(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	for range 100 {
		a.propose("x")
	}
	a.save()
	b := c.add("b")
	id := a.change(edit(raft.EditAdd, "b"))
	c.pass(9 * testElection)
	require.NotNil(t, b.pull)
	b.Arrived(c.now, a.snap.Last, 10)
	c.pass(9 * testElection)
	_, done := a.outcome(id)
	require.False(t, done, "it makes progress")
	b.snap = b.pull.Meta
	b.Pulled(c.now, b.snap, true)
	c.pass(5 * testHeartbeat)
	r, _ := a.outcome(id)
	require.NoError(t, r.Err)
	a.propose("after")
	c.settle()
	require.Equal(t, []string{"after"}, b.commands())
}

func TestJoinerThatFetchesASnapshotForEver(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	a.propose("x")
	a.save()
	b := c.add("b")
	id := a.change(edit(raft.EditAdd, "b"))
	c.pass(testElection)
	b.Arrived(c.now, a.snap.Last, 7)
	c.pass(12 * testElection)
	r, _ := a.outcome(id)
	require.ErrorIs(t, r.Err, raft.ErrCatchUp)
	require.ErrorContains(t, r.Err, "has 7 of 0 bytes of a snapshot")
}

func TestAbandon(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	last := a.Status().Last
	id := a.change(edit(raft.EditAdd, "d"))
	other := a.change(edit(raft.EditAdd, "d"))
	a.AbandonChange(c.now, id, raft.ErrBusy)
	a.AbandonChange(c.now, 999, raft.ErrBusy)
	a.pump()
	r, _ := a.outcome(id)
	require.Equal(t, Changed{ID: id, Err: raft.ErrBusy, Unknown: true}, r, "another waits for it")
	require.NotNil(t, a.Status().Changing)
	a.AbandonChange(c.now, other, raft.ErrBusy)
	a.pump()
	r, _ = a.outcome(other)
	require.Equal(t, Changed{ID: other, Err: raft.ErrBusy}, r)
	require.Nil(t, a.Status().Changing)
	require.Len(t, a.Status().Peers, 2)
	c.add("d")
	c.pass(5 * testHeartbeat)
	require.Equal(t, last, a.Status().Last, "withdrawn")

	for _, joint := range []bool{true, false} {
		after := a.Status().Last.Index
		c.lose = func(m *raft.Message) bool { return carries(m, joint, after) }
		id = a.change(edit(raft.EditAdd, "d"))
		c.pass(5 * testHeartbeat)
		require.Equal(t, joint, a.configuration().Joint())
		a.AbandonChange(c.now, id, raft.ErrBusy)
		a.pump()
		r, _ = a.outcome(id)
		require.Equal(t, Changed{ID: id, Err: raft.ErrBusy, Unknown: true}, r, "it is on its way")
		c.lose = nil
		c.settled(voters("a", "b", "c", "d"))
		require.Nil(t, a.Status().Changing)
		a.must(edit(raft.EditRemove, "d"))
		c.pass(2 * testElection)
		c.member("d").wipe()
	}
}

// TestLeaderCrashesDuringAChange replaces c by d and ends the leader in each stage: the next one
// undoes what a quorum does not have, and finishes what it has.
func TestLeaderCrashesDuringAChange(t *testing.T) {
	old, next := voters("a", "b", "c"), voters("a", "b", "d")
	stages := map[string]struct {
		lose func(m *raft.Message) bool
		want raft.Configuration
	}{
		"before the joint one": {func(m *raft.Message) bool { return m.To == "d" }, old},
		"the joint one is only on the leader": {
			func(m *raft.Message) bool { return carries(m, true, 0) }, old,
		},
		"the joint one is on a minority": {
			func(m *raft.Message) bool { return carries(m, true, 0) && m.To != "d" }, old,
		},
		"the joint one is on a majority of the new ones only": {
			func(m *raft.Message) bool {
				_, reply := m.Body.(*raft.AppendEntriesReply)
				return carries(m, true, 0) && m.To != "d" || m.From == "c" && reply
			}, old,
		},
		"the joint one is committed": {func(m *raft.Message) bool { return carries(m, false, 3) }, next},
		"the new one is only on who leaves": {
			func(m *raft.Message) bool { return carries(m, false, 3) && m.To != "c" }, next,
		},
		"the new one is on a minority": {
			func(m *raft.Message) bool { return carries(m, false, 3) && m.To != "d" }, next,
		},
	}
	for name, stage := range stages {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, restart), func(t *testing.T) {
				c := newCluster(t, "a", "b", "c")
				a := c.elect("a")
				a.propose("x")
				c.add("d")
				c.settle()
				c.lose = stage.lose
				id := a.change(replace("a", "b", "d"))
				c.pass(4 * testHeartbeat)
				_, done := a.outcome(id)
				require.False(t, done && name != "the new one is on a minority")
				finished := false
				if restart { // all at once: the stage is in the log, and nowhere else
					c.lose = nil
					for _, m := range c.members {
						m.crash()
					}
					for _, m := range c.members {
						m.start()
					}
				} else {
					a.crash()
					c.lose = nil
					c.pass(6 * testElection)
					finished = c.leads().id == "d"
					a.start()
				}
				l := c.settledEither(t, stage.want, next, restart || finished)
				l.propose("y")
				c.settle()
				require.Equal(t, []string{"x", "y"}, c.member("b").commands())
			})
		}
	}
}

// settledEither is for when the leader of before may have come back and gone on, or one that has
// what a quorum does not have was elected.
func (c *cluster) settledEither(t *testing.T, want, other raft.Configuration, may bool) *member {
	c.pass(6 * testElection)
	if conf := c.leads().configuration(); may && conf.SameMembers(&other) {
		want = other
	}
	require.False(t, c.leads().configuration().Joint())
	return c.settled(want)
}

func TestTruncationUndoesAConfiguration(t *testing.T) {
	// B094: and what it was before is in force again, also for who leads meanwhile.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.add("l")
	c.settle()
	c.lose = func(m *raft.Message) bool { return between(m, "a", "b") || between(m, "a", "c") }
	id := a.change(edit(raft.EditAddLearner, "l"))
	c.pass(5 * testHeartbeat)
	require.True(t, c.member("a").configuration().IsLearner("l"))
	require.True(t, c.member("l").configuration().IsLearner("l"))
	c.pass(6 * testElection)
	r, _ := a.outcome(id)
	require.True(t, r.Unknown)
	require.ErrorIs(t, r.Err, raft.ErrLeadershipLost)
	c.lose = nil
	c.settled(voters("a", "b", "c"))
	a = c.leads()
	a.must(edit(raft.EditAddLearner, "l"))
	require.Equal(t, a.Status().Last, c.member("l").Status().Last)
}

func TestSingleServerCounterexampleOf2015(t *testing.T) {
	// The bug in single-server changes (raft-dev, 2015-07-10): a appends +e, which only a and e have;
	// b leads, appends -a and commits that; a leads again by its own configuration.
	c := newCluster(t, "a", "b", "c", "d")
	a := c.elect("a")
	c.add("e")
	c.settle()
	side := func(id raft.PeerID) bool { return id == "a" || id == "e" }
	c.lose = func(m *raft.Message) bool { return carries(m, true, 0) && !side(m.To) }
	a.change(edit(raft.EditAdd, "e"))
	c.pass(5 * testHeartbeat)
	require.True(t, a.configuration().Joint())
	require.True(t, c.member("e").configuration().Joint())
	c.lose = func(m *raft.Message) bool { return side(m.From) != side(m.To) }
	c.now += testElection
	b := c.elect("b")
	require.False(t, b.configuration().IsVoter("e"), "+e is not known here")
	id := b.change(edit(raft.EditRemove, "a"))
	c.pass(5 * testHeartbeat)
	r, done := b.outcome(id)
	require.True(t, done)
	require.NoError(t, r.Err)
	b.propose("acknowledged")
	c.settle()
	require.Contains(t, b.commands(), "acknowledged")
	b.crash()
	c.lose = func(m *raft.Message) bool { return m.From == "c" || m.To == "c" }
	for range 20 {
		c.pass(testElection)
		require.NotEqual(t, Leader, a.role, "by the union of both it had a majority: a, d, e")
	}
	c.lose = nil
	b.start()
	c.settled(voters("b", "c", "d"))
	require.Contains(t, c.leads().commands(), "acknowledged")
}

func TestCommandsBeforeTheNewConfigurationCount(t *testing.T) {
	// The new configuration is smaller, and what it needs is there already.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	id := a.change(replace("a"))
	c.lose = func(m *raft.Message) bool { return carries(m, false, 0) }
	a.propose("x")
	c.settle()
	r, done := a.outcome(id)
	require.True(t, done, "%v", a.Status())
	require.NoError(t, r.Err)
	require.Equal(t, []string{"x"}, a.commands())
	c.pass(3 * testElection)
	require.Equal(t, Leader, a.role, "alone it needs nobody")
}

func TestJointLeadersNeedBothMajorities(t *testing.T) {
	// Check-quorum and reads need both majorities while joint.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.add("d", "e")
	c.lose = func(m *raft.Message) bool { return carries(m, true, 0) && m.To != "d" && m.To != "e" }
	a.change(replace("a", "d", "e"))
	c.pass(3 * testHeartbeat)
	require.True(t, a.configuration().Joint())
	last, commit := a.Status().Last.Index, a.Status().Committed
	require.Less(t, commit, last, "a, d and e have it: a majority of the new ones, and of all five")
	a.Read(c.now, 1)
	c.settle()
	require.Len(t, a.reads, 1, "all answer")
	c.lose = func(m *raft.Message) bool {
		return between(m, "a", "b") || between(m, "a", "c")
	}
	a.Read(c.now, 2)
	c.settle()
	require.Len(t, a.reads, 1, "only the new ones answer")
	c.passBy(testElection+2*testHeartbeat, testHeartbeat/2)
	require.NotEqual(t, Leader, a.role)
	require.Error(t, a.reads[1].Err)
}

func TestStatusWhileChanging(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	a.change(edit(raft.EditAdd, "b"))
	require.Equal(t, peersOf("a", "b"), a.Status().Changing.Voters)
	addr, ok := a.Address("b")
	require.True(t, ok)
	require.Equal(t, "b:1", addr)
	_, ok = a.Address("x")
	require.False(t, ok)
	require.Less(t, a.Status().Peers[0].Silent, time.Second)
}

func TestGroupMovesAlongTenMachines(t *testing.T) {
	c := newCluster(t, "a")
	l := c.elect("a")
	ids := []raft.PeerID{"b", "c", "d", "e", "f", "g", "h", "i", "j"}
	c.add(ids...)
	for n, id := range ids {
		l.propose("x")
		l.must(replace(id))
		c.pass(testElection)
		l = c.leads()
		require.Equal(t, id, l.id)
		require.Len(t, l.commands(), n+1)
	}
	require.Same(t, l, c.settled(voters("j")))
}

func TestLeaderStepsDownWhileJointAndTheChangeIsFinished(t *testing.T) {
	// From four to two of them, one of which goes down: no majority of the new ones is left.
	c := newCluster(t, "a", "b", "c", "d")
	a := c.elect("a")
	c.settle()
	c.member("d").crash()
	id := a.change(replace("c", "d"))
	c.pass(4 * testElection)
	r, done := a.outcome(id)
	require.True(t, done)
	require.True(t, r.Unknown)
	require.ErrorIs(t, r.Err, raft.ErrLeadershipLost)
	for _, m := range c.members {
		require.NotEqual(t, Leader, m.role)
	}
	require.True(t, c.member("b").configuration().Joint())
	c.member("d").start()
	c.settled(voters("c", "d"))
}
