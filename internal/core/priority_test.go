package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// prioritised are members a, b, c... with these priorities.
func prioritised(t *testing.T, priorities ...int) *cluster {
	var conf raft.Configuration
	for n, p := range priorities {
		peer := peersOf(raft.PeerID(rune('a' + n)))[0]
		peer.Priority = p
		conf.Voters = append(conf.Voters, peer)
	}
	return newClusterWith(t, nil, conf)
}

func TestHighestPriorityLeads(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5} {
		c := prioritised(t, 40, 40, 100)
		for n, m := range c.members {
			m.adjust = func(o *Options) { o.Seed = seed<<8 | uint64(n) }
			m.start()
		}
		c.pass(3 * testElection)
		require.Equal(t, raft.PeerID("c"), c.leads().id)
		require.Equal(t, raft.Term(1), c.leads().term(), "the others leave it the first election")
		c.pass(20 * testElection)
		require.Equal(t, raft.Term(1), c.leads().term())
	}
}

func TestHighestPriorityComesBackAndLosesNothing(t *testing.T) {
	c := prioritised(t, 10, 20, 30)
	c.pass(4 * testElection)
	top := c.leads()
	require.Equal(t, raft.PeerID("c"), top.id)
	top.propose("x")
	c.settle()
	top.crash()
	c.pass(6 * testElection)
	second := c.leads()
	require.Equal(t, raft.PeerID("b"), second.id)
	second.propose("y")
	c.settle()
	second.crash()
	top.start()
	c.pass(6 * testElection)
	require.Equal(t, []string{"x", "y"}, c.leads().commands(), "c lacks y, and can't win before a")
	placed := 0
	for range 4 * 10 {
		l := c.leads()
		l.propose("z")
		c.pass(testHeartbeat)
		if p := l.placed[len(l.placed)-1]; p.Err == nil {
			placed++
		} else {
			require.ErrorIs(t, p.Err, raft.ErrTransferring)
		}
	}
	require.Equal(t, raft.PeerID("c"), c.leads().id)
	second.start()
	c.pass(5 * testElection)
	require.Equal(t, raft.PeerID("c"), c.leads().id)
	for _, m := range c.members {
		require.Len(t, m.commands(), 2+placed, "every command that was taken")
	}
	require.Greater(t, placed, 30)
}

func TestLowerPrioritiesTakeOverInTurn(t *testing.T) {
	c := prioritised(t, 1, 2, 3, 4, 5)
	for n := 4; n >= 2; n-- {
		c.pass(8 * testElection)
		l := c.leads()
		require.Equal(t, c.members[n].id, l.id)
		l.crash()
	}
}

func TestNeverLeaderNeverLeads(t *testing.T) {
	c := prioritised(t, raft.NeverLeader, 0, 0)
	never := c.member("a")
	c.pass(3 * testElection)
	for range 2 {
		l := c.leads()
		require.NotSame(t, never, l)
		l.propose("x")
		c.settle()
		l.crash()
		c.pass(5 * testElection)
		require.Equal(t, Follower, never.role, "not even when nobody else is there")
		if c.member("b").down && c.member("c").down {
			break
		}
	}
	c.pass(50 * testElection)
	require.Equal(t, Follower, never.role)
	require.Equal(t, never.term(), max(c.member("b").term(), c.member("c").term()))
}

// TestNeverLeaderWithTheLongestLogHelps: two of three are left, and what was committed last is only
// with the one that may not lead. It leads until the other one has it.
func TestNeverLeaderWithTheLongestLogHelps(t *testing.T) {
	c := prioritised(t, raft.NeverLeader, 0, 0)
	never := c.member("a")
	c.pass(3 * testElection)
	l := c.leads()
	behind := c.member("b")
	if l == behind {
		behind = c.member("c")
	}
	behind.crash()
	l.propose("x")
	c.settle()
	require.Equal(t, []string{"x"}, l.commands())
	l.crash()
	behind.start()
	c.pass(4 * testElection)
	require.Equal(t, Follower, never.role, "somebody better may come back")
	c.pass(12 * testElection)
	require.Same(t, behind, c.leads())
	require.Equal(t, []string{"x"}, behind.commands())
	term := behind.term()
	c.pass(20 * testElection)
	require.Equal(t, term, behind.term())
}

func TestLeaderThatMayLeadNoMoreHandsOver(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.must(raft.Edit{
		Kind: raft.EditPriority, Peers: []raft.Peer{{ID: "a", Priority: raft.NeverLeader}},
	})
	c.pass(2 * testElection)
	require.NotEqual(t, raft.PeerID("a"), c.leads().id)
	l := c.leads()
	require.Equal(t, raft.Term(2), l.term())
	c.pass(20 * testElection)
	require.Same(t, l, c.leads())
}

func TestAPriorityThatIsRaisedMovesLeadership(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.must(raft.Edit{Kind: raft.EditPriority, Peers: []raft.Peer{{ID: "b", Priority: 7}}})
	c.pass(2 * testElection)
	require.Equal(t, raft.PeerID("b"), c.leads().id)
	c.leads().must(edit(raft.EditRemove, "b"))
	c.settled(voters("a", "c"))
}

func TestYieldingWaitsAfterAFailure(t *testing.T) {
	c := prioritised(t, 0, 9, 0)
	c.lose = only[*raft.TimeoutNow]
	c.member("b").crash()
	c.pass(6 * testElection)
	l := c.leads()
	c.member("b").start()
	refused := 0
	for range 110 {
		l.propose("x")
		c.pass(testHeartbeat)
		if l.placed[len(l.placed)-1].Err != nil {
			refused++
		}
	}
	require.Equal(t, Leader, l.role)
	require.NotZero(t, refused)
	require.LessOrEqual(t, refused, 12, "one attempt in eleven election timeouts")
	c.lose = nil
	c.pass(12 * testElection)
	require.Equal(t, raft.PeerID("b"), c.leads().id)
}

func TestWithoutPrioritiesNothingChanges(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool {
		require.False(t, only[*raft.TimeoutNow](m))
		return false
	}
	c.pass(30 * testElection)
	require.Same(t, a, c.leads())
	require.Equal(t, raft.Term(1), a.term())
	a.crash()
	c.pass(2*testElection + 2*testHeartbeat)
	require.Equal(t, raft.Term(2), c.leads().term(), "nobody defers to anybody")
}
