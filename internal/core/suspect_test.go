package core

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// dies is the end of a process: its connections break.
func (m *member) dies() {
	m.crash()
	m.c.breakFrom(m.id)
}

// leaderWithin waits for a leader in steps of a hundredth of an election timeout.
func (c *cluster) leaderWithin(d time.Duration) *member {
	for end := c.now + d; c.now < end; {
		c.passBy(testElection/100, testElection/100)
		for _, m := range c.members {
			if !m.down && m.role == Leader {
				return m
			}
		}
	}
	c.t.Fatalf("nobody leads within %v", d)
	return nil
}

func TestDeadLeaderIsReplacedAtOnce(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.settle()
	a.dies()
	l := c.leaderWithin(testElection / 20)
	require.Equal(t, raft.Term(2), l.term())
	l.propose("y")
	c.settle()
	require.Equal(t, []string{"x", "y"}, l.commands())
}

// TestSuspectsDoNotSplitTheVote: two that ask at the same moment settle between them who campaigns.
func TestSuspectsDoNotSplitTheVote(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a")
	c.settle()
	b, d := c.member("b"), c.member("c")
	c.member("a").dies()
	b.suspect.askAt, d.suspect.askAt = c.now+1, c.now+1
	l := c.leaderWithin(testElection / 20)
	require.Equal(t, raft.PeerID("b"), l.id)
	require.Equal(t, raft.Term(2), l.term())
	require.Equal(t, Follower, d.role)
}

// TestSplitVoteIsRepeatedSoon: where they have split it all the same, the next election comes soon,
// once.
func TestSplitVoteIsRepeatedSoon(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a")
	c.settle()
	b, d := c.member("b"), c.member("c")
	c.member("a").dies()
	for _, m := range []*member{b, d} {
		m.situate(PreCandidate, "", nil)
		m.campaign(false)
	}
	l := c.leaderWithin(testElection / 2)
	require.Equal(t, raft.Term(3), l.term())
	require.False(t, b.split, "forgotten with the next leader")
	require.False(t, d.split)

	d.situate(PreCandidate, "", nil)
	d.campaign(false)
	d.split = true
	at := d.electionAt
	d.meetRival()
	require.Equal(t, at, d.electionAt)
}

func TestFirstSuspectsAreDeadToo(t *testing.T) {
	c := newCluster(t, "a", "b", "c", "d", "e")
	c.elect("a")
	c.settle()
	c.member("b").crash()
	c.member("a").dies()
	l := c.leaderWithin(testElection / 10)
	require.NotEqual(t, raft.PeerID("b"), l.id)
	require.Equal(t, raft.Term(2), l.term())
}

func TestFalseAlarmCostsNothing(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	b := c.member("b")
	c.lose = func(m *raft.Message) bool {
		return only[*raft.Propose](m) || only[*raft.ReadIndex](m)
	}
	b.propose("x")
	b.Read(c.now, 3)
	b.Broken(c.now, "a")
	b.Broken(c.now, "c") // not its leader
	c.passBy(2*time.Millisecond, time.Millisecond/4)
	require.Equal(t, raft.PeerID("a"), b.leader)
	require.Zero(t, b.suspect, "the leader itself said that it leads on")
	require.Empty(t, b.placed)
	require.Empty(t, b.reads)
	c.lose = nil
	c.pass(5 * testHeartbeat)
	require.NoError(t, b.placed[0].Err)
	require.NoError(t, b.reads[0].Err)
	require.Equal(t, Leader, a.role)
	require.Equal(t, raft.Term(1), a.term())
}

func TestSuspicionEndsWithTheNextWord(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a")
	c.settle()
	b := c.member("b")
	c.lose = only[*raft.RequestVoteReply]
	b.Broken(c.now, "a")
	require.False(t, b.hearsLeader())
	require.LessOrEqual(t, b.NextDeadline(), c.now+testElection/50)
	c.passBy(testHeartbeat, time.Millisecond)
	require.True(t, b.hearsLeader())
	require.Equal(t, Follower, b.role)
}

func TestSuspectsAskSomeTimesOnly(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	asked := 0
	c.lose = func(m *raft.Message) bool {
		if only[*raft.RequestVote](m) && m.To == "c" {
			asked++
		}
		return true
	}
	b := c.member("b")
	b.Broken(c.now, "a")
	c.passBy(testElection*9/10, time.Millisecond)
	require.Equal(t, suspectTurns, asked)
	require.Equal(t, Follower, b.role)
	require.Equal(t, a.id, b.leader)
}

func TestSilenceWithoutABreakIsWaitedOut(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	c.elect("a")
	c.settle()
	c.cut("a")
	start := c.now
	for c.member("b").role != Leader && c.member("c").role != Leader {
		c.passBy(time.Millisecond, time.Millisecond)
		require.Less(t, c.now-start, 3*testElection)
	}
	require.GreaterOrEqual(t, c.now-start, testElection)
}

func TestChurnOfAllStreamsRaisesNoTerm(t *testing.T) {
	c := newCluster(t, "a", "b", "c", "d", "e")
	a := c.elect("a")
	c.settle()
	chance := rand.New(rand.NewPCG(1, 2))
	for range 1000 * int(testElection/testHeartbeat) {
		// Any two of the four followers at once: the leader and the other two are a majority.
		for range 2 {
			m := c.members[1+chance.IntN(4)]
			m.Broken(c.now, c.members[chance.IntN(5)].id)
		}
		c.passBy(testHeartbeat/2, testHeartbeat/4)
	}
	require.Same(t, a, c.leads())
	for _, m := range c.members {
		require.Equal(t, raft.Term(1), m.term())
	}
}
