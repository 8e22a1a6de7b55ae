package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

func TestHungDiskEndsLeadershipAlsoWhileReadsGoOn(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	a.hold = true
	a.propose("x")
	c.settle()
	start, id := c.now, uint64(1)
	for c.now-start < 100*testElection && a.role == Leader {
		c.now += testHeartbeat / 2
		id++
		a.Read(c.now, id)
		for _, m := range c.members {
			if c.now >= m.NextDeadline() {
				m.Tick(c.now)
			}
		}
		c.settle()
	}
	require.NotEqual(t, Leader, a.role, "its disk hangs for %v", c.now-start)
}

func TestTickBeforeTakeKeepsTheCandidacy(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a, b := c.member("a"), c.member("b")
	c.now = 2 * testElection
	a.Tick(c.now)
	a.pump()
	for _, m := range c.flying {
		if m.To == "b" {
			b.Receive(c.now, m)
		}
	}
	c.flying = nil
	b.pump()
	a.Receive(c.now, c.flying[0]) // it campaigns
	c.now += 10 * testElection
	a.Tick(c.now)
	require.NotPanics(t, a.pump)
}

func TestImpossiblePrevIsIgnored(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	require.NotPanics(t, func() {
		c.member("a").Receive(c.now, raft.Message{
			Cluster: "test", Group: "g", From: "b", To: "a", Term: 1,
			Body: &raft.AppendEntries{Prev: raft.LogID{Term: 1, Index: 0}},
		})
	})
}

func TestAcceptanceRestsOnTheTerm(t *testing.T) {
	c := newClusterOf(t, func(o *Options) { o.Replication.BatchBytes = 40 }, "a", "b", "c", "l", "f")
	made := func(term raft.Term, i raft.Index, d string) raft.Entry {
		e, _ := raft.MakeEntry(nil, term, i, raft.EntryCommand, []byte(d))
		return e
	}
	for _, id := range []raft.PeerID{"l", "f"} { // two entries of term 1, not committed
		m := c.member(id)
		m.stored = append(m.stored, made(1, 2, "old2"), made(1, 3, "old3"))
		m.hard = raft.HardState{Term: 2}
		m.start()
	}
	for _, id := range []raft.PeerID{"a", "b", "c"} { // a led term 2
		c.member(id).hard = raft.HardState{Term: 2, Vote: "a"}
		c.member(id).start()
	}
	late := raft.Message{
		Cluster: "test", Group: "g", From: "a", To: "f", Term: 2,
		Body: &raft.AppendEntries{
			Prev: raft.LogID{Index: 1}, Entries: []raft.Entry{made(2, 2, "a2")},
		},
	}
	l, f := c.member("l"), c.member("f")
	c.member("a").down = true
	f.hold = true
	c.elect("l")
	c.pass(5 * testHeartbeat)
	require.Zero(t, l.peer("f").Match, "f could still be back in term 2")
	f.crash()
	f.hold = false
	f.start()
	f.Receive(c.now, late)
	f.pump()
	c.flying = nil
	c.pass(100 * testHeartbeat)
	require.Equal(t, l.Status().Last, f.Status().Last, "match %d", l.peer("f").Match)
}

func TestPlacedCommandIsDecidedWhenTheLeaderIsLost(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	b := c.member("b")
	c.member("c").crash()
	c.lose = func(m *raft.Message) bool {
		_, reply := m.Body.(*raft.AppendEntriesReply)
		_, beat := m.Body.(*raft.HeartbeatReply)
		return reply || beat
	}
	b.propose("x")
	c.settle()
	a.crash()
	c.pass(200 * testElection)
	require.NotZero(t, b.lost, "role %v, leader %q: undecided for ever", b.role, b.leader)
}

func TestPreVoteIsRefusedWhileTheLeaderIsHeard(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a")
	for _, id := range []raft.PeerID{"a", "b"} { // the leader itself, and a follower
		m := c.member(id)
		ask := raft.Message{
			Cluster: "test", Group: "g", From: "c", To: id, Term: 2,
			Body: &raft.RequestVote{Pre: true, Last: raft.LogID{Term: 1, Index: 100}},
		}
		m.Receive(c.now, ask)
		m.pump()
		require.False(t, c.flying[len(c.flying)-1].Body.(*raft.RequestVoteReply).Granted)
	}
	c.flying = nil
	b := c.member("b")
	c.member("a").crash()
	c.now += testElection
	b.Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "c", To: "b", Term: 2,
		Body: &raft.RequestVote{Pre: true, Last: raft.LogID{Term: 1, Index: 100}},
	})
	b.pump()
	require.True(t, c.flying[0].Body.(*raft.RequestVoteReply).Granted, "it was heard too long ago")
}

func TestDeadLeaderIsReplacedWithinThreeTimeouts(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a").crash()
	c.pass(3 * testElection)
	require.True(t, c.member("b").role == Leader || c.member("c").role == Leader)
}

func TestTermsOutOfThisWorldAreIgnored(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.member("a").Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "b", To: "a", Term: 1<<62 - 1,
		Body: &raft.Heartbeat{Round: 1},
	})
	require.Zero(t, c.member("a").term())
}

func TestFollowersLearnTheCommitIndexFromALeaderWithASlowStateMachine(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.stuck = true
	a.propose("x")
	c.settle()
	require.Empty(t, c.member("b").commands())
	c.now += tellAfter
	require.LessOrEqual(t, a.NextDeadline(), c.now)
	a.Tick(c.now)
	c.settle()
	require.Equal(t, []string{"x"}, c.member("b").commands())
}
