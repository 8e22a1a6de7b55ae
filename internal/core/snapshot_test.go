package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// compacted returns a leader whose log begins after what member c has.
func compacted(t *testing.T) (*cluster, *member) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.member("c").crash()
	for range 100 {
		a.propose("a command of some length")
		c.settle()
	}
	a.save()
	c.settle()
	require.Equal(t, raft.Index(102), a.base.Index, "the log is compacted")
	c.member("c").start()
	c.pass(3 * testHeartbeat)
	return c, a
}

func TestFollowerBehindTheLogGetsASnapshot(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	require.NotNil(t, f.pull)
	require.Equal(t, Pull{From: "a", Addr: "a:1", Meta: a.snap}, *f.pull)
	require.Equal(t, "snapshot", a.Status().Peers[1].State)
	f.Arrived(c.now, a.snap.Last, 77)
	c.pass(2 * testHeartbeat)
	require.Equal(t, int64(77), a.Status().Peers[1].Arrived)

	f.snap = f.pull.Meta // published
	f.Pulled(c.now, f.snap, true)
	c.settle()
	a.propose("after")
	c.settle()
	require.Equal(t, []string{"after"}, f.commands())
	require.Equal(t, a.Status().Last, f.Status().Last)
	require.Equal(t, "replicate", a.Status().Peers[1].State)
	f.crash()
	f.start()
	c.pass(3 * testHeartbeat)
	require.Equal(t, []string{"after"}, f.commands(), "and starts from it")
}

func TestCrashBetweenPublishAndResetStarts(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	f.hold = true
	f.snap = f.pull.Meta
	f.Pulled(c.now, f.snap, true)
	f.pump()
	require.Empty(t, f.base, "the reset is not durable")
	require.NotEqual(t, "replicate", a.Status().Peers[1].State, "nor is anything acknowledged")
	f.crash()
	f.hold = false
	f.start()
	c.pass(5 * testHeartbeat)
	require.Equal(t, a.Status().Last, f.Status().Last)
	require.Equal(t, a.snap.Last, f.base)
}

func TestSnapshotThatIsGoneIsReplacedByTheNewest(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	old := *f.pull
	a.propose("more")
	c.settle()
	a.save()
	f.Pulled(c.now, old.Meta, false)
	c.pass(2 * testHeartbeat)
	require.Equal(t, a.snap.Last, f.pull.Meta.Last)
	require.NotEqual(t, old.Meta.Last, f.pull.Meta.Last)
}

func TestLogIsKeptWhileASnapshotIsFetched(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	first := a.snap
	for range 3 {
		a.propose("more")
		c.settle()
		a.save()
		c.settle()
	}
	require.Equal(t, first.Last, a.base, "what follows the snapshot under way stays")
	f.snap = first
	f.Pulled(c.now, first, true)
	c.pass(3 * testHeartbeat)
	require.Equal(t, []string{"more", "more", "more"}, f.commands())
	a.save()
	c.settle()
	require.Equal(t, a.snap.Last, a.base, "now it may go")
}

func TestNewLeaderNamesItsOwnSnapshot(t *testing.T) {
	c, a := compacted(t)
	b, f := c.member("b"), c.member("c")
	a.crash()
	c.now += testElection
	c.elect("b")
	c.pass(3 * testHeartbeat)
	require.Equal(t, []string{"c"}, []string{string(f.id)})
	require.Equal(t, b.Status().Last, f.Status().Last, "b has the log: no snapshot is needed")
	require.Equal(t, Pull{}, *f.pull, "the pull is ended")
}

// TestFollowerThatCannotFetchDoesNotFillTheLeadersDisk: it answers, and gains nothing. The log is
// not kept for it, and it is named the newest snapshot once it can make use of one.
func TestFollowerThatCannotFetchDoesNotFillTheLeadersDisk(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	first := a.snap
	more := func() {
		a.propose("more")
		c.settle()
		a.save()
		c.settle()
	}
	more()
	require.Equal(t, first.Last.Index, a.base.Index, "what follows the snapshot under way is kept")
	require.Equal(t, first.Last, f.pull.Meta.Last, "and no other is named")
	for range 12 {
		f.Arrived(c.now, first.Last, f.Status().Arrived+1)
		c.pass(testElection)
	}
	more()
	require.Equal(t, first.Last.Index, a.base.Index, "it gains")
	for range 3 {
		newest := a.snap.Last
		c.pass(11 * testElection)
		require.Equal(t, newest, f.pull.Meta.Last, "it gained nothing for long")
		more()
		require.Equal(t, newest.Index, a.base.Index)
	}
}

func TestTrailingEntriesSpareASnapshot(t *testing.T) {
	c := newClusterOf(t, func(o *Options) { o.TrailingEntries = 200 }, "a", "b", "c")
	a := c.elect("a")
	f := c.member("c")
	f.crash()
	for range 100 {
		a.propose("x")
		c.settle()
	}
	a.save()
	c.settle()
	f.start()
	c.pass(3 * testHeartbeat)
	require.Nil(t, f.pull)
	require.Len(t, f.commands(), 100)
}

// TestTrailingBytesBoundTheTail: large entries are not kept as many as small ones.
func TestTrailingBytesBoundTheTail(t *testing.T) {
	c := newClusterOf(t, func(o *Options) {
		o.TrailingEntries, o.TrailingBytes = 1000, 4<<20
		o.MaxCommandBytes, o.MaxPendingBytes = 1<<20, 1<<30
	}, "a")
	a := c.elect("a")
	for range 64 {
		a.propose(strings.Repeat("x", 256<<10))
		c.settle()
	}
	a.save()
	c.settle()
	s := a.Status()
	require.InDelta(t, 16, int(s.Last.Index-s.First), 3, "4 MiB of 256 KiB each are left")
}

func TestOldEntriesForAFollowerThatCompactedAreAnswered(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	for range 10 {
		a.propose("x")
		c.settle()
	}
	b := c.member("b")
	b.save()
	b.Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "a", To: "b", Term: 1,
		Body: &raft.AppendEntries{Prev: raft.LogID{Term: 1, Index: 3}},
	})
	b.pump()
	reply := c.flying[len(c.flying)-1].Body.(*raft.AppendEntriesReply)
	require.False(t, reply.Reject)
	require.Equal(t, raft.Index(12), reply.Match)
}

func TestSnapshotThatTheLogOvertookIsNotRestored(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	late := f.pull.Meta
	f.stuck = true
	a.crash()
	c.now += testElection
	b := c.elect("b")
	c.pass(3 * testHeartbeat)
	require.Equal(t, b.Status().Last, f.Status().Last)
	require.Greater(t, f.Status().Committed, late.Last.Index)
	require.Less(t, f.Status().Applied, late.Last.Index, "the state machine is behind")
	f.snap = late
	f.Pulled(c.now, late, true) // it was published just before the pull was ended
	f.pump()
	require.Equal(t, late, f.Status().Snapshot)
	require.LessOrEqual(t, f.Status().First, f.Status().Applied+1, "what is to be applied stays")
	f.stuck = false
	f.Applied(c.now, f.applied[len(f.applied)-1].Index)
	c.pass(3 * testHeartbeat)
	require.Len(t, f.commands(), 100)
}

// TestPullFollowsAMovedLeader: the same leader names the same snapshot from another address.
func TestPullFollowsAMovedLeader(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	require.Equal(t, "a:1", f.pull.Addr)
	for _, body := range []raft.Body{
		&raft.Heartbeat{Round: 1, Addr: "a:2"}, &raft.InstallSnapshot{Meta: a.snap},
	} {
		f.Receive(c.now, raft.Message{Cluster: "test", Group: "g", From: "a", To: "c", Term: a.term(),
			Body: body})
		f.pump()
	}
	require.Equal(t, Pull{From: "a", Addr: "a:2", Meta: a.snap}, *f.pull)
}
