package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

func TestLeaderRemovesItself(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	start := c.now
	conf := a.must(edit(raft.EditRemove, "a"))
	require.Len(t, conf.Voters, 2, "it leads until that is committed")
	l := c.leads()
	require.NotSame(t, a, l)
	require.Equal(t, raft.Term(2), l.term())
	require.Less(t, c.now-start, testElection, "it hands over at once")
	require.Equal(t, Learner, a.Status().Role)
	l.propose("y")
	c.settled(voters("b", "c"))
	require.Equal(t, []string{"x", "y"}, l.commands())
	a.restart() // it has the configuration, and does not know that it is committed
	c.pass(30 * testElection)
	require.Equal(t, raft.Term(2), l.term())
	require.Same(t, l, c.leads())
	require.True(t, a.Status().Removed, "it asked, and was told")
}

func TestLeaderOfTwoRemovesItself(t *testing.T) {
	// The one that stays does not find the leader in its newest configuration, and has to answer.
	c := newCluster(t, "a", "b")
	a := c.elect("a")
	c.settle()
	c.member("b").restart() // so that it has not met the leader either
	a.must(edit(raft.EditRemove, "a"))
	c.pass(2 * testHeartbeat)
	require.Equal(t, Leader, c.member("b").role)
	require.Equal(t, Learner, a.Status().Role, "and says so to who leads no more")
	require.Equal(t, raft.Term(2), a.term())
}

func TestLeaderDemotesItself(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.must(edit(raft.EditDemote, "a"))
	want := voters("b", "c")
	want.Learners = peersOf("a")
	l := c.settled(want)
	require.NotSame(t, a, l)
	require.Equal(t, Learner, a.Status().Role)
	require.Equal(t, raft.Term(2), a.term())
}

func TestRemovedLeaderWithoutASuccessorStepsDown(t *testing.T) {
	c := newCluster(t, "a", "b")
	a := c.elect("a")
	c.lose = only[*raft.TimeoutNow]
	a.must(edit(raft.EditRemove, "a"))
	require.ErrorIs(t, a.fails(edit(raft.EditAdd, "a")), raft.ErrTransferring)
	a.propose("x")
	require.ErrorIs(t, a.placed[0].Err, raft.ErrTransferring)
	c.pass(4 * testElection)
	require.Equal(t, Learner, a.Status().Role)
	require.Equal(t, Leader, c.member("b").role)
}

func TestLeaderThatIsLeavingCanNotAddItself(t *testing.T) {
	// It was elected while joint by the old voters, and finishes what another began.
	c := newCluster(t, "a", "b", "c", "d")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool { return carries(m, false, 0) }
	a.change(edit(raft.EditRemove, "b"))
	c.pass(2 * testHeartbeat)
	a.crash()
	c.lose = func(m *raft.Message) bool { return carries(m, false, 4) }
	c.now += testElection
	b := c.elect("b")
	c.pass(2 * testHeartbeat)
	require.Equal(t, Leader, b.role)
	require.False(t, b.votes())
	require.ErrorIs(t, b.fails(edit(raft.EditAdd, "b")), raft.ErrTransferring)
	c.lose = nil
	a.start()
	c.settled(voters("a", "c", "d"))
}

func TestRemovedMemberLearnsByTheLog(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	conf := a.must(edit(raft.EditRemove, "c"))
	removed := c.member("c")
	require.Equal(t, conf.Index, removed.configuration().Index)
	require.Equal(t, conf.Index, removed.Status().Committed, "and that it is committed")
	require.Equal(t, Learner, removed.Status().Role)
	c.pass(2 * testElection)
	require.Len(t, a.Status().Peers, 1, "then it is let go of")
	c.pass(20 * testElection)
	require.Equal(t, Learner, removed.Status().Role)
	require.Equal(t, raft.Term(1), removed.term())
}

func TestRemovedMemberThatWasDownIsTold(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	removed := c.member("c")
	removed.crash()
	a.must(edit(raft.EditRemove, "c"))
	c.pass(3 * testElection)
	removed.start()
	questions := 0
	c.lose = func(m *raft.Message) bool {
		if m.From == "c" {
			questions++
		}
		return false
	}
	c.pass(3 * testElection)
	require.True(t, removed.Status().Removed)
	questions = 0
	c.pass(100 * testElection)
	require.Equal(t, raft.Term(1), a.term())
	require.Same(t, a, c.leads())
	require.LessOrEqual(t, questions, 20, "2 voters, hardly ever")

	a.must(edit(raft.EditAdd, "c"))
	c.settled(voters("a", "b", "c"))
	require.False(t, removed.Status().Removed)
	require.NoError(t, a.hand("c").Err, "it is like any other")
}

func TestRemovedMemberWithALongLogIsTold(t *testing.T) {
	// What it has beyond is of an old term, and was never committed.
	c := newCluster(t, "a", "b", "c")
	old := c.elect("c")
	c.settle()
	c.cut("c")
	for range 50 {
		old.propose("lost")
	}
	c.now += testElection
	a := c.elect("a")
	a.must(edit(raft.EditRemove, "c"))
	c.pass(3 * testElection)
	require.Greater(t, old.Status().Last.Index, a.Status().Last.Index)
	c.lose = nil
	c.pass(5 * testElection)
	require.True(t, old.Status().Removed)
	require.Equal(t, raft.Term(2), a.term())
}

func TestOldNewsOfARemovalDoesNotHoldUpAVoter(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	b := c.member("b")
	news := raft.Message{Cluster: "test", Group: "g", From: "c", To: "b", Term: 1,
		Body: &raft.RequestVoteReply{Pre: true, Removed: true, Asked: 2}}
	b.Broken(c.now, "a")
	c.lose = only[*raft.RequestVoteReply]
	c.passBy(testHeartbeat/2, testHeartbeat/10)
	require.NotZero(t, b.suspect.asked)
	b.Receive(c.now, news)
	require.Equal(t, raft.PeerID("a"), b.leader, "who follows is a member")
	require.False(t, b.Status().Removed)
	a.crash()
	c.lose = func(m *raft.Message) bool { return m.From == "c" }
	c.now = max(c.now, b.electionAt)
	b.Tick(c.now)
	b.pump()
	require.Equal(t, PreCandidate, b.role)
	b.Receive(c.now, news)
	require.True(t, b.Status().Removed)
	c.lose = func(m *raft.Message) bool { return only[*raft.RequestVote](m) && m.From == "c" }
	c.pass(25 * testElection)
	require.Equal(t, Leader, b.role, "it asks again")
	require.False(t, b.Status().Removed)
}

func TestReaddedWhileItLeaves(t *testing.T) {
	for _, wiped := range []bool{false, true} {
		c := newCluster(t, "a", "b", "c")
		a := c.elect("a")
		a.propose("x")
		a.must(edit(raft.EditRemove, "c"))
		require.Len(t, a.leavers, 1, "it is still told the log")
		if wiped {
			c.member("c").wipe()
		}
		a.change(edit(raft.EditAdd, "c"))
		require.Empty(t, a.leavers)
		require.Zero(t, a.peer("c").Match, "what it held may be gone")
		require.False(t, a.configuration().Joint(), "it has to catch up")
		c.pass(5 * testHeartbeat)
		require.Same(t, a, c.settled(voters("a", "b", "c")))
		a.must(edit(raft.EditRemove, "c"))
		if wiped {
			c.member("c").wipe()
		}
		a.must(edit(raft.EditAddLearner, "c"))
		c.pass(testElection)
		require.Equal(t, []string{"x"}, c.member("c").commands())
	}
}

// A member that was removed comes back with an empty disk, and passes the first configuration, in
// which it voted. Another that missed its own removal must not win by that vote beside the leader.
func TestJoinerDoesNotElectByAConfigurationOfThePast(t *testing.T) {
	c := newClusterOf(t, func(o *Options) { o.Replication.BatchBytes = 100 }, "a", "b", "c")
	a := c.elect("a")
	a.fill(30)
	c.settle()
	c.cut("b")
	a.fill(30)
	c.settle()
	a.must(replace("a"))
	a.propose("acknowledged")
	c.settle()
	c.pass(3 * testElection)
	joiner, sent := c.member("c"), 0
	joiner.wipe()
	c.lose = func(m *raft.Message) bool {
		if b, ok := m.Body.(*raft.AppendEntries); ok && m.To == "c" && len(b.Entries) > 0 {
			sent++
		}
		return m.From == "b" || m.To == "b" || sent > 3
	}
	a.change(edit(raft.EditAdd, "c"))
	c.pass(4 * testHeartbeat)
	require.Len(t, joiner.configuration().Voters, 3, "of long ago")
	require.True(t, joiner.Status().Last.Less(c.member("b").Status().Last))
	c.cut("a")
	c.pass(5 * testElection)
	require.Equal(t, a.id, c.leads().id)
	c.lose = nil
	c.pass(5 * testElection)
	require.Equal(t, a.id, c.settled(voters("a", "c")).id)
	require.True(t, c.member("b").Status().Removed)
}

func TestJoinerThatLosesItsDiskBeginsAnew(t *testing.T) {
	c := newClusterOf(t, func(o *Options) { o.Replication.BatchBytes = 1000 }, "a", "b")
	a := c.elect("a")
	a.fill(3000)
	d := c.add("d")
	n := 0
	c.lose = func(m *raft.Message) bool {
		if _, ok := m.Body.(*raft.AppendEntries); ok && m.To == "d" {
			n++
		}
		return n > 50 && m.To == "d"
	}
	id := a.change(edit(raft.EditAdd, "d"))
	c.pass(2 * testElection)
	require.Greater(t, a.peer("d").Match, raft.Index(100))
	d.wipe()
	c.lose = nil
	c.pass(3 * testElection)
	r, _ := a.outcome(id)
	require.NoError(t, r.Err)
	c.settled(voters("a", "b", "d"))
	require.Len(t, d.commands(), 3000)
}

func TestVoterThatLosesItsDiskIsSentTheLog(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.settle()
	c.member("b").wipe()
	c.pass(testElection)
	require.Equal(t, []string{"x"}, c.member("b").commands())
}

func TestEmptyMembersDoNotVote(t *testing.T) {
	// B104: b held x with a, lost its disk, and must not help c, which lacks it.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool { return m.To == "c" }
	a.propose("x")
	c.settle()
	require.Equal(t, []string{"x"}, a.commands())
	a.crash()
	c.member("b").wipe()
	c.lose = nil
	c.pass(20 * testElection)
	require.NotEqual(t, Leader, c.member("c").role)
	a.start()
	require.Same(t, a, c.settled(voters("a", "b", "c")))
	require.Equal(t, []string{"x"}, c.member("b").commands())
}

func TestToFollowIsToVote(t *testing.T) {
	// c votes for a, is removed, loses its disk, is added again and restarts, all in one term. Then
	// the request of another candidate of that term arrives.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	a.must(edit(raft.EditRemove, "c"))
	c.member("c").wipe()
	a.must(edit(raft.EditAdd, "c"))
	again := c.member("c")
	require.Equal(t, raft.HardState{Term: 1, Vote: "a"}, again.hard)
	again.restart()
	again.Receive(c.now, raft.Message{Cluster: "test", Group: "g", From: "b", To: "c", Term: 1,
		Body: &raft.RequestVote{Last: raft.LogID{Term: 1, Index: 100}}})
	again.pump()
	require.False(t, c.flying[len(c.flying)-1].Body.(*raft.RequestVoteReply).Granted)
}

func TestDemotedLeaderWithTheLongestLogCommitsItsDemotion(t *testing.T) {
	// Only a has the configuration in which it has no vote; b can't win without it, and d neither
	// (thesis §4.2.2).
	c := newCluster(t, "a", "b")
	a := c.elect("a")
	c.add("d")
	c.lose = func(m *raft.Message) bool { return carries(m, false, 3) }
	a.change(replace("b", "d"))
	c.pass(5 * testHeartbeat)
	require.False(t, a.votes())
	for range 3 { // it also comes back as the leader, repeats the configuration, and is ended again
		a.restart()
		c.pass(10 * testElection)
	}
	require.Greater(t, a.term(), raft.Term(1))
	a.restart()
	c.lose = nil
	c.settled(voters("b", "d"))
	require.NotEqual(t, raft.PeerID("a"), c.leads().id)
}

func TestMemberMoves(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	b := c.member("b")
	c.member("c").crash()
	b.crash()
	b.addr = "new:1"
	b.start()
	c.pass(2 * testHeartbeat)
	a.propose("x")
	c.settle()
	require.Empty(t, a.commands(), "it is not found")
	a.change(raft.Edit{Kind: raft.EditAddr, Peers: []raft.Peer{{ID: "b", Addr: "new:1"}}})
	c.pass(5 * testHeartbeat)
	require.Equal(t, []string{"x"}, a.commands())
	a.crash()
	c.member("c").start() // it looks for b at the old address
	b = c.elect("b")
	b.propose("y")
	c.pass(5 * testHeartbeat)
	require.Equal(t, []string{"x", "y"}, c.member("c").commands())
	require.Equal(t, "new:1", c.member("c").configuration().Voters[1].Addr)
}

func TestMemberThatMovedAndIsBehindIsFound(t *testing.T) {
	// It says where it is, and is wrong: the configuration of the others is newer than its own.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	b := c.member("b")
	b.crash()
	a.must(raft.Edit{Kind: raft.EditAddr, Peers: []raft.Peer{{ID: "b", Addr: "new:1"}}})
	b.addr = "new:1"
	b.start()
	asked := 0
	c.lose = func(m *raft.Message) bool {
		if only[*raft.RequestVote](m) {
			require.Equal(t, "b:1", m.Body.(*raft.RequestVote).Addr)
			asked++
		}
		return m.To == "b"
	}
	c.pass(3 * testElection)
	require.NotZero(t, asked)
	c.lose = nil
	a.propose("x")
	c.pass(5 * testHeartbeat)
	require.Equal(t, []string{"x"}, b.commands())
}

func TestFewStrangersAreRemembered(t *testing.T) {
	c := newCluster(t, "a", "b")
	a := c.elect("a")
	for n := range 100 {
		id := raft.PeerID([]byte{'x', byte('0' + n/10), byte('0' + n%10)})
		a.Receive(c.now, raft.Message{Cluster: "test", Group: "g", From: id, To: "a", Term: 2,
			Body: &raft.RequestVote{Pre: true, Addr: "h:1"}})
	}
	a.pump()
	require.Len(t, a.contacts, maxContacts)
	_, ok := a.Address("x99")
	require.True(t, ok)
	_, ok = a.Address("x00")
	require.False(t, ok)
	require.Len(t, c.flying, 100)
	for _, m := range c.flying {
		require.True(t, m.Body.(*raft.RequestVoteReply).Removed)
	}
	c.flying = nil
}

func TestSnapshotThatBarsACandidate(t *testing.T) {
	// The leader died after it named a snapshot, in whose configuration the candidate is no more.
	for _, role := range []Role{Follower, PreCandidate, Candidate} {
		c := newCluster(t, "a", "b", "c")
		a := c.elect("a")
		f := c.member("c")
		f.crash()
		a.must(edit(raft.EditRemove, "c"))
		for range 5 {
			a.propose("x")
			c.settle()
		}
		a.save()
		c.pass(3 * testElection)
		f.start()
		meta := a.snap
		f.Receive(c.now, raft.Message{Cluster: "test", Group: "g", From: "a", To: "c", Term: 1,
			Body: &raft.InstallSnapshot{Meta: meta}})
		f.pump()
		require.Equal(t, meta, f.pull.Meta)
		c.now = f.electionAt
		f.hold = true
		if role == Follower {
			c.now = f.now
			f.Broken(c.now, "a")
			c.now = f.NextDeadline()
		}
		f.Tick(c.now)
		f.pump()
		grant := func(pre bool) {
			for _, id := range []raft.PeerID{"a", "b"} {
				f.Receive(c.now, raft.Message{Cluster: "test", Group: "g", From: id, To: "c", Term: f.term(),
					Body: &raft.RequestVoteReply{Pre: pre, Granted: true, Asked: 2}})
			}
		}
		if role == Candidate {
			grant(true)
		}
		require.Equal(t, role, f.role)
		f.Pulled(c.now, meta, true)
		grant(role != Candidate)
		f.hold = false
		f.finishWrites(len(f.writes))
		f.pump()
		require.Equal(t, Learner, f.Status().Role)
	}
}
