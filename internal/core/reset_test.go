package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// survivors is a group of five, of which c, d and e are gone for good.
func survivors(t *testing.T) *cluster {
	c := newCluster(t, "a", "b", "c", "d", "e")
	l := c.elect("e")
	l.propose("x")
	c.settle()
	for _, id := range []raft.PeerID{"c", "d", "e"} {
		c.member(id).crash()
	}
	return c
}

func TestResetOfTheLastOne(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	b := c.elect("b")
	b.propose("x")
	c.settle()
	b.crash()
	c.member("c").crash()
	a := c.member("a")
	require.ErrorIs(t, a.ResetPeers(c.now, peersOf("a")), raft.ErrQuorumAlive)
	a.Broken(c.now, "b")
	require.ErrorIs(t, a.ResetPeers(c.now, peersOf("a")), raft.ErrQuorumAlive, "it was just here")
	c.pass(10 * testElection)
	require.NotEqual(t, Leader, a.role)
	require.ErrorIs(t, a.ResetPeers(c.now, peersOf("b")), raft.ErrBadConfiguration)
	require.ErrorIs(t, a.ResetPeers(c.now, nil), raft.ErrBadConfiguration)
	require.ErrorIs(t, a.ResetPeers(c.now, peersOf("a", "a")), raft.ErrBadConfiguration)
	never := []raft.Peer{{ID: "a", Addr: "a:1", Priority: raft.NeverLeader}}
	require.ErrorIs(t, a.ResetPeers(c.now, never), raft.ErrBadConfiguration)
	require.Equal(t, raft.Term(1), a.term())

	require.NoError(t, a.ResetPeers(c.now, peersOf("a")))
	c.pass(2 * testHeartbeat)
	require.Equal(t, Leader, a.role)
	a.propose("y")
	c.settle()
	require.Equal(t, []string{"x", "y"}, a.commands())
	require.ErrorIs(t, a.ResetPeers(c.now, peersOf("a")), raft.ErrQuorumAlive, "it leads")
	c.add("f")
	a.must(edit(raft.EditAdd, "f"))
	c.settled(voters("a", "f"))
}

// The survivor with the longest log is to lead, so it must be told apart from one that may not:
// that was a broken invariant once, in the one moment when the member is needed most.
func TestResetWhereItMayNotLead(t *testing.T) {
	c := prioritised(t, raft.NeverLeader, 0, 0)
	b := c.elect("b")
	b.propose("x")
	c.settle()
	b.crash()
	c.pass(testHeartbeat)
	a, last := c.member("a"), c.member("a").Status().Last
	c.member("c").crash()
	c.pass(3 * testElection)
	voters := append(a.configuration().Clone().Voters[:1:1], peersOf("c")...)
	require.ErrorIs(t, a.ResetPeers(c.now, voters), raft.ErrBadConfiguration)
	require.Equal(t, last, a.Status().Last, "nothing was changed")
	voters[0].Priority = 0
	require.NoError(t, a.ResetPeers(c.now, voters))
	c.member("c").start()
	c.pass(5 * testElection)
	require.Equal(t, []string{"x"}, c.leads().commands())
}

func TestResetOfTwoOfFive(t *testing.T) {
	c := survivors(t)
	c.pass(5 * testElection)
	a, b := c.member("a"), c.member("b")
	require.NoError(t, a.ResetPeers(c.now, peersOf("a", "b")))
	c.settled(voters("a", "b"))
	require.Equal(t, []string{"x"}, b.commands())

	c.member("c").start() // one of the others lives after all, and neither leads nor is heard
	c.pass(10 * testElection)
	require.True(t, c.member("c").Status().Removed)
	require.Same(t, c.leads(), c.settled(voters("a", "b")))
}

func TestResetOnBothSurvivors(t *testing.T) {
	c := survivors(t)
	c.pass(5 * testElection)
	a, b := c.member("a"), c.member("b")
	require.NoError(t, a.ResetPeers(c.now, peersOf("a", "b")))
	require.NoError(t, b.ResetPeers(c.now, peersOf("b", "a")))
	require.NotEqual(t, a.term(), b.term(), "two entries at one index are of two terms")
	l := c.settled(voters("a", "b"))
	l.propose("y")
	c.settle()
	require.Equal(t, []string{"x", "y"}, a.commands())
	require.Equal(t, []string{"x", "y"}, b.commands())
}

func TestRestartAroundAReset(t *testing.T) {
	for _, written := range []bool{false, true} {
		c := survivors(t)
		c.pass(5 * testElection)
		a := c.member("a")
		a.hold = true
		require.NoError(t, a.ResetPeers(c.now, peersOf("a")))
		a.pump()
		require.NotEqual(t, Leader, a.role, "nothing rests on what is not written")
		if written {
			a.finishWrites(len(a.writes))
		}
		a.hold = false
		a.restart()
		c.pass(3 * testElection)
		require.Equal(t, written, a.role == Leader)
		require.Equal(t, written, len(a.configuration().Voters) == 1)
	}
}

func TestResetEndsAPull(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	a.crash()
	c.member("b").crash()
	require.NotEmpty(t, f.pull.From)
	c.pass(5 * testElection)
	require.NoError(t, f.ResetPeers(c.now, peersOf("c")))
	c.pass(5 * testHeartbeat)
	require.Equal(t, Pull{}, *f.pull, "it would bring back the others")
	require.Equal(t, Leader, f.role)
}

func TestResetBelievesNoEarlierLeader(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	l := c.elect("c")
	c.lose = only[*raft.AppendEntriesReply]
	l.propose("x")
	c.settle()
	a := c.member("a")
	require.Greater(t, a.verified, a.Status().Committed)
	l.crash()
	c.member("b").crash()
	c.pass(3 * testElection)
	require.NoError(t, a.ResetPeers(c.now, peersOf("a")))
	require.Equal(t, a.Status().Committed, a.verified)
}
