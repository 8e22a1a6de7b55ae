package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

func TestElectsReplicatesApplies(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x", "y")
	c.settle()
	for _, m := range c.members {
		require.Equal(t, []string{"x", "y"}, m.commands(), m.id)
		require.Equal(t, raft.PeerID("a"), m.Status().Leader)
		require.Equal(t, a.Status().Last, m.Status().Last)
	}
	require.Equal(t, raft.LogID{Term: 1, Index: 3}, a.placed[0].At)
}

func TestSingleMemberLeadsAlone(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	a.propose("x")
	a.Read(c.now, 7)
	c.settle()
	require.Equal(t, []string{"x"}, a.commands())
	require.Equal(t, []ReadReady{{ID: 7, Index: 3}}, a.reads)
}

func TestOwnEntryCountsOnlyOnceDurable(t *testing.T) {
	c := newCluster(t, "a")
	a := c.elect("a")
	a.hold = true
	a.propose("x")
	require.Empty(t, a.commands(), "acknowledged before it was durable")
	a.finishWrites(1)
	a.pump()
	require.Equal(t, []string{"x"}, a.commands())
}

func TestFollowerAnswersOnceDurable(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	b := c.member("b")
	c.member("c").crash()
	b.hold = true
	a.propose("x")
	c.settle()
	require.Empty(t, a.commands())
	beat := a.Status().Peers[0]
	c.pass(3 * testHeartbeat)
	require.Equal(t, Leader, a.role, "heartbeats don't wait for the follower's disk")
	require.Equal(t, beat.Next, a.Status().Peers[0].Next, "an append on a slow disk is not sent again")
	b.finishWrites(len(b.writes))
	c.settle()
	require.Equal(t, []string{"x"}, a.commands())
}

func TestLeaderGoesOnWhileItsDiskIsSlow(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.hold = true
	a.propose("x")
	c.settle()
	require.Equal(t, []string{"x"}, a.commands(), "two of three disks are a quorum")
	c.pass(4 * testElection)
	require.Equal(t, Leader, a.role)
	c.pass(2 * testElection)
	require.NotEqual(t, Leader, a.role, "a disk that hangs ends leadership")
}

func TestVoteLeavesOnlyOnceDurable(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.member("c").crash()
	a, b := c.member("a"), c.member("b")
	b.hold = true
	c.now = 2 * testElection
	a.Tick(c.now)
	c.settle()
	require.Equal(t, Candidate, a.role)
	require.Equal(t, raft.HardState{}, b.hard)
	b.finishWrites(len(b.writes))
	c.settle()
	require.Equal(t, raft.HardState{Term: 1, Vote: "a"}, b.hard)
	require.Equal(t, Leader, a.role)
}

func TestRequestForVotesLeavesOnlyOnceDurable(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.member("a")
	a.hold = true
	c.now = 2 * testElection
	a.Tick(c.now)
	c.settle()
	require.Equal(t, Candidate, a.role)
	require.Equal(t, raft.Term(0), c.member("b").term(), "the request waits for the own vote")
	a.finishWrites(len(a.writes))
	c.settle()
	require.Equal(t, Leader, a.role)
}

func TestVoteGoesOnlyToUpToDateLogs(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.member("c").crash()
	a.propose("x")
	c.settle()
	a.crash()
	c.member("c").start()
	c.now += 10 * testElection
	c.member("c").Tick(c.now)
	c.settle()
	require.Equal(t, PreCandidate, c.member("c").role, "b knows x, c doesn't")
	require.Equal(t, Leader, c.elect("b").role)
	require.Equal(t, []string{"x"}, c.member("c").commands())
}

func TestDivergedLogIsReplaced(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.settle()
	c.lose = func(m *raft.Message) bool { return m.From == "a" || m.To == "a" }
	for range 50 {
		a.propose("lost")
	}
	c.now += testElection
	b := c.elect("b")
	b.propose("y")
	c.settle()
	c.lose = nil
	c.pass(5 * testHeartbeat)
	require.Equal(t, []string{"x", "y"}, a.commands())
	require.Equal(t, b.Status().Last, a.Status().Last)
	require.Equal(t, raft.Term(1), a.lost, "the outcome of what was placed in term 1 is unknown")
}

func TestRejectionSkipsWholeTerms(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	for _, m := range c.members[:2] {
		for n := range 800 { // a has terms 2, 4, 6, 8; b has terms 3, 5, 7, 9
			term := raft.Term(2 + n/200*2 + int(m.id[0]-'a'))
			m.stored = append(m.stored, raft.Entry{
				Term: term, Index: m.index() + 1, Kind: raft.EntryCommand, Data: []byte("x"),
			})
			m.hard.Term = term
		}
		m.start()
	}
	b := c.elect("b")
	appends := 0
	c.lose = func(m *raft.Message) bool {
		if _, ok := m.Body.(*raft.AppendEntries); ok && m.To == "a" {
			appends++
		}
		return false
	}
	c.pass(5 * testHeartbeat)
	require.Equal(t, b.Status().Last, c.member("a").Status().Last)
	require.Equal(t, b.Status().Last, c.member("c").Status().Last)
	require.Less(t, appends, 20, "800 entries differ, in 4 terms")
}

func TestLeaderWithoutQuorumStepsDown(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool { return m.From == "a" || m.To == "a" }
	a.Read(c.now, 1)
	c.pass(testElection + 2*testHeartbeat)
	require.NotEqual(t, Leader, a.role)
	require.Equal(t, []ReadReady{{ID: 1, Err: raft.ErrLeadershipLost}}, a.reads)
	require.Equal(t, raft.Term(1), a.term(), "a member that is cut off does not raise the term")
	c.pass(10 * testElection)
	require.Equal(t, raft.Term(1), a.term(), "not even after long")
}

func TestCutOffFollowerDoesNotDisturb(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool { return m.From == "c" || m.To == "c" }
	c.pass(10 * testElection)
	c.lose = nil
	c.pass(2 * testElection)
	require.Equal(t, Leader, a.role)
	require.Equal(t, raft.Term(1), a.term())
}

func TestVotersRefuseWhileTheyHearTheLeader(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a")
	b := c.member("b")
	b.Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "c", To: "b", Term: 9,
		Body: &raft.RequestVote{Last: raft.LogID{Term: 8, Index: 100}},
	})
	require.Equal(t, raft.Term(1), b.term())
	b.pump()
	require.Empty(t, c.flying)
}

func TestPreVoteChangesNothing(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	b := c.member("b")
	before := *b.Core
	b.Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "c", To: "b", Term: 1,
		Body: &raft.RequestVote{Pre: true, Last: raft.LogID{Index: 1}},
	})
	require.Equal(t, before.tail.HardState(), b.tail.HardState())
	require.Equal(t, before.electionAt, b.electionAt)
	require.Equal(t, before.role, b.role)
	b.pump()
	require.True(t, c.flying[0].Body.(*raft.RequestVoteReply).Granted)
}

func TestForeignMessagesAreInert(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	b := c.member("b")
	good := raft.Message{
		Cluster: "test", Group: "g", From: "a", To: "b", Term: 7, Body: &raft.Heartbeat{Round: 1},
	}
	for _, spoil := range []func(*raft.Message){
		func(m *raft.Message) { m.Cluster = "other" },
		func(m *raft.Message) { m.Group = "other" },
		func(m *raft.Message) { m.To = "c" },
		func(m *raft.Message) { m.From = "b" },
		func(m *raft.Message) { m.From = "" },
		func(m *raft.Message) { m.Term = 0 },
	} {
		bad := good
		spoil(&bad)
		b.Receive(c.now, bad)
		require.Equal(t, raft.Term(0), b.term())
	}
	b.Receive(c.now, good)
	require.Equal(t, raft.Term(7), b.term())
}

func TestReadNeedsARound(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool { _, ok := m.Body.(*raft.HeartbeatReply); return ok }
	a.Read(c.now, 1)
	c.settle()
	require.Empty(t, a.reads)
	c.lose = nil
	c.pass(2 * testHeartbeat)
	require.Equal(t, []ReadReady{{ID: 1, Index: 2}}, a.reads)
}

func TestNewLeaderReadsOnlyAfterItsFirstCommit(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool {
		b, ok := m.Body.(*raft.Heartbeat)
		return ok && b.Commit > 2
	}
	a.propose("x")
	c.settle() // b and c have x, but do not know that it is committed
	a.crash()
	c.lose = func(m *raft.Message) bool { _, ok := m.Body.(*raft.AppendEntriesReply); return ok }
	c.now += testElection
	b := c.elect("b")
	b.Read(c.now, 1)
	c.settle()
	require.Empty(t, b.reads)
	c.lose = nil
	c.pass(5 * testHeartbeat)
	require.Len(t, b.reads, 1)
	require.NoError(t, b.reads[0].Err)
	require.GreaterOrEqual(t, b.reads[0].Index, raft.Index(3))
}

func TestFollowerReadsThroughLeader(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.settle()
	b := c.member("b")
	b.Read(c.now, 1)
	b.Read(c.now, 2)
	c.settle()
	require.Equal(t, []ReadReady{{ID: 1, Index: 3}, {ID: 2, Index: 3}}, b.reads)
	a.crash()
	b.Read(c.now, 3)
	c.pass(3 * testElection)
	require.Len(t, b.reads, 3)
	require.Error(t, b.reads[2].Err)
}

func TestFollowerForwardsOnceThoughMessagesRepeat(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	b := c.member("b")
	c.lose = func(m *raft.Message) bool { _, ok := m.Body.(*raft.ProposeReply); return ok }
	b.propose("x")
	b.propose("y")
	c.settle()
	require.Equal(t, []string{"x"}, a.commands(), "one batch at a time")
	c.pass(3 * testHeartbeat)
	require.Empty(t, b.placed, "the answer is lost")
	c.lose = nil
	c.pass(3 * testHeartbeat)
	require.Equal(t, []string{"x", "y"}, a.commands())
	require.Equal(t, []string{"x", "y"}, b.commands())
	require.Equal(t, raft.LogID{Term: 1, Index: 3}, b.placed[0].At)
	require.Zero(t, b.pendingBytes)
}

func TestForwardedCommandOfALostLeaderIsUnknown(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	b := c.member("b")
	a.crash()
	b.propose("x")
	b.propose("y")
	c.pass(3 * testElection)
	require.Len(t, b.placed, 2)
	require.True(t, b.placed[0].Unknown)
	require.False(t, b.placed[1].Unknown, "never sent")
	require.ErrorIs(t, b.placed[1].Err, raft.ErrNoLeader)
	require.Zero(t, b.pendingBytes)
}

func TestProposalsAreRefusedClearly(t *testing.T) {
	limit := func(o *Options) { o.MaxCommandBytes, o.MaxPendingBytes = 10, 200 }
	c := newClusterOf(t, limit, "a", "b", "c")
	b := c.member("b")
	b.propose("x")
	require.ErrorIs(t, b.placed[0].Err, raft.ErrNoLeader)
	a := c.elect("a")
	b.Propose(c.now, []Proposal{{ID: 5, NoForward: true}})
	b.pump()
	require.ErrorIs(t, b.placed[1].Err, raft.ErrNotLeader)
	a.Propose(c.now, []Proposal{
		{ID: 1, Data: make([]byte, 11)},
		{ID: 2, ExpectTerm: 9},
		{ID: 3, Data: make([]byte, 10), ExpectTerm: 1},
	})
	a.pump()
	require.ErrorIs(t, a.placed[0].Err, raft.ErrTooLarge)
	require.ErrorIs(t, a.placed[1].Err, raft.ErrTermChanged)
	require.NoError(t, a.placed[2].Err)
	c.settle()
	a.hold = true
	c.lose = func(*raft.Message) bool { return true }
	for range 10 {
		a.propose("0123456789")
	}
	require.ErrorIs(t, a.placed[len(a.placed)-1].Err, raft.ErrBusy)
	c.lose, a.hold = nil, false
	a.finishWrites(len(a.writes))
	c.pass(5 * testHeartbeat)
	require.Zero(t, a.pendingBytes, "all accounts are settled")
}

func TestOldEntriesAreFetched(t *testing.T) {
	c := newClusterOf(t, func(o *Options) {
		o.CacheBytes, o.Replication = 100, replicator.Limits{BatchBytes: 200}
	}, "a", "b", "c")
	a := c.elect("a")
	c.member("c").crash()
	for range 100 {
		a.propose("a command of some length")
		c.settle()
	}
	require.Less(t, a.tail.CachedBytes(), 1000)
	c.member("c").start()
	c.pass(5 * testHeartbeat)
	require.Len(t, c.member("c").commands(), 100)
	b := c.member("b")
	b.crash()
	b.start()
	c.pass(5 * testHeartbeat)
	require.Len(t, b.commands(), 100, "a restarted member reads what it applies again")
}

// TestQuestionDoesNotWasteARead: a read of old entries comes back after it became due to ask the
// follower what has arrived. Both go out, the question first.
func TestQuestionDoesNotWasteARead(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.settle()
	p := a.peer("c")
	at := p.Match
	a.hold = true
	c.lose = func(*raft.Message) bool { return true }
	a.propose("y")
	a.propose("z")
	c.settle()
	require.Equal(t, replicator.Replicate, p.State)
	p.Next = at + 2 // z was not sent; it is being read
	p.Fetching, a.fetching = true, []raft.PeerID{"c"}
	p.Beat(a.now+4*testHeartbeat, at)
	require.True(t, p.Light())
	c.flying = nil
	a.Fetched(a.now, "c", a.tail.Entries(at+2, at+2, 1000))
	var sent []int
	for _, m := range a.out.Messages {
		if b, ok := m.Body.(*raft.AppendEntries); ok && m.To == "c" {
			sent = append(sent, len(b.Entries))
		}
	}
	require.Equal(t, []int{0, 1}, sent)
}

func TestRestartedFollowerLearnsTheCommitIndexAgain(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.settle()
	b := c.member("b")
	b.crash()
	b.start()
	c.pass(5 * testHeartbeat)
	require.Equal(t, []string{"x"}, b.commands(), "although nothing new is proposed")
}

func TestLateWriteOfATruncatedTailProvesNothing(t *testing.T) {
	// B035: the disk finishes a write whose entries were replaced meanwhile.
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	b := c.member("b")
	b.hold = true
	c.lose = func(m *raft.Message) bool { return m.To == "c" || m.From == "c" }
	a.propose("old")
	c.settle()
	require.Len(t, b.writes, 1)
	at := b.Status().Last
	b.Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "c", To: "b", Term: 5,
		Body: &raft.AppendEntries{
			Prev:    raft.LogID{Term: 1, Index: at.Index - 1},
			Entries: []raft.Entry{{Term: 5, Index: at.Index, Kind: raft.EntryCommand, Data: []byte("new")}},
		},
	})
	c.flying = nil
	b.pump()
	b.finishWrites(1)
	b.pump()
	require.Equal(t, at.Index-1, b.Status().Durable, "old is durable, and worth nothing")
	require.Empty(t, c.flying)
	b.finishWrites(1)
	b.pump()
	require.Equal(t, at.Index, b.Status().Durable)
	require.Equal(t, at.Index, c.flying[0].Body.(*raft.AppendEntriesReply).Match)
}

func TestTimeMustNotGoBack(t *testing.T) {
	c := newCluster(t, "a")
	c.members[0].Tick(time.Second)
	require.Panics(t, func() { c.members[0].Tick(time.Millisecond) })
}

func TestRepeatedRequestForVotesIsGrantedAgain(t *testing.T) {
	// B010: also when the candidate leads already.
	c := newCluster(t, "a", "b", "c")
	var ask raft.Message
	c.lose = func(m *raft.Message) bool {
		if b, ok := m.Body.(*raft.RequestVote); ok && !b.Pre && m.To == "b" {
			ask = *m
		}
		return false
	}
	c.elect("a")
	b := c.member("b")
	b.Receive(c.now, ask)
	b.pump()
	require.True(t, c.flying[0].Body.(*raft.RequestVoteReply).Granted)
}
