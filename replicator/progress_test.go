package replicator_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

func limits() replicator.Limits {
	return replicator.Limits{WindowMessages: 3, WindowBytes: 100, BatchBytes: 60}
}

// replicating returns the progress of a follower that agrees up to match, the leader's last entry.
func replicating(t *testing.T, match raft.Index) *replicator.Progress {
	p := replicator.New("f", match, limits(), 0)
	p.Sent(0, 0, 0)
	p.Accepted(match)
	require.Equal(t, replicator.Replicate, p.State)
	require.Equal(t, match+1, p.Next)
	return p
}

func TestLimitsDefaults(t *testing.T) {
	require.Equal(t, replicator.Limits{
		WindowMessages: 64, WindowBytes: 4 << 20, BatchBytes: 512 << 10,
	}, replicator.Limits{}.WithDefaults())
	require.Equal(t, limits(), limits().WithDefaults())
}

func TestStateNames(t *testing.T) {
	require.Equal(t, "probe", replicator.Probe.String())
	require.Equal(t, "replicate", replicator.Replicate.String())
}

func TestNewProbes(t *testing.T) {
	p := replicator.New("f", 10, limits(), 7*time.Second)
	require.Equal(t, raft.PeerID("f"), p.ID)
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(11), p.Next)
	require.Zero(t, p.Match)
	require.Equal(t, 7*time.Second, p.Heard)
	require.Equal(t, 60, p.BatchBytes())

	require.True(t, p.MaySend())
	p.Sent(0, 0, 0)
	require.False(t, p.MaySend(), "one probe at a time")
	require.Equal(t, raft.Index(11), p.Next, "a probe moves nothing")
}

func TestFetchingWaits(t *testing.T) {
	for _, p := range []*replicator.Progress{
		replicator.New("f", 10, limits(), 0), replicating(t, 10),
	} {
		require.True(t, p.MaySend())
		p.Fetching = true
		require.False(t, p.MaySend())
		p.Fetching = false
		require.True(t, p.MaySend())
	}
}

func TestProbeAnswers(t *testing.T) {
	p := replicator.New("f", 10, limits(), 0)
	p.Sent(0, 0, 0)
	require.True(t, p.Rejects(10))
	p.Retreat(5)
	require.Equal(t, raft.Index(5), p.Next)
	require.True(t, p.MaySend())
	p.Sent(2, 40, 0)
	require.False(t, p.Rejects(10), "an answer to the probe before")
	require.False(t, p.MaySend())

	require.True(t, p.Accepted(6))
	require.Equal(t, replicator.Replicate, p.State)
	require.Equal(t, raft.Index(6), p.Match)
	require.Equal(t, raft.Index(7), p.Next)
	require.False(t, p.Accepted(6), "no news")
	require.False(t, p.Accepted(3), "old news")
	require.Equal(t, raft.Index(6), p.Match)
	require.False(t, p.Rejects(6), "what is known to match can't be rejected: it is an old answer")
}

func TestOldAcceptanceDoesNotEndProbing(t *testing.T) {
	p := replicating(t, 5)
	p.Sent(1, 10, 0)
	p.Sent(1, 10, 0) // entries 6 and 7, of which 6 gets lost
	require.True(t, p.Rejects(6))
	p.Retreat(7) // a hint that is too high
	p.Sent(1, 10, 0)
	require.False(t, p.Accepted(5))
	require.Equal(t, replicator.Probe, p.State, "5 matches, but 6 was asked for")
	require.Equal(t, raft.Index(7), p.Next)
	require.False(t, p.MaySend(), "the probe is still under way")
}

func TestRetreatStaysAboveMatch(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(3, 30, 0)
	require.True(t, p.Rejects(13))
	p.Retreat(2)
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(11), p.Next)
	messages, bytes := p.Inflight()
	require.Zero(t, messages)
	require.Zero(t, bytes)
}

func TestWindow(t *testing.T) {
	p := replicating(t, 10)
	require.Equal(t, 60, p.BatchBytes())
	p.Sent(1, 60, 0)
	require.Equal(t, 40, p.BatchBytes(), "what is left of the window")
	require.True(t, p.MaySend())
	p.Sent(1, 70, 0) // one entry larger than that travels alone
	require.False(t, p.MaySend(), "full by bytes")
	p.Accepted(11)
	require.True(t, p.MaySend())
	require.Equal(t, 30, p.BatchBytes())
	p.Sent(1, 1, 0)
	p.Sent(1, 1, 0)
	messages, bytes := p.Inflight()
	require.Equal(t, 3, messages)
	require.Equal(t, 72, bytes)
	require.False(t, p.MaySend(), "full by messages")
	p.Accepted(13) // one answer for two messages
	messages, bytes = p.Inflight()
	require.Equal(t, 1, messages)
	require.Equal(t, 1, bytes)
	require.Equal(t, raft.Index(15), p.Next)
}

func TestAnswerInsideAMessage(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(5, 50, 0)
	require.True(t, p.Accepted(12), "the disk has the first two")
	messages, bytes := p.Inflight()
	require.Equal(t, 1, messages)
	require.Equal(t, 50, bytes)
	require.Equal(t, raft.Index(16), p.Next)
}

func TestLostMessage(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(1, 10, 0)
	p.Beat(10)
	require.Equal(t, replicator.Replicate, p.State, "it may be on its way")
	p.Beat(10)
	require.Equal(t, replicator.Probe, p.State, "lost")
	require.Equal(t, raft.Index(11), p.Next)
	require.True(t, p.MaySend())
}

func TestMovingGapIsNoLoss(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(1, 10, 0)
	p.Beat(10)
	p.Sent(1, 10, 0)
	p.Beat(11)
	require.Equal(t, replicator.Replicate, p.State, "it is behind, and catching up")
	p.Beat(12)
	require.Equal(t, replicator.Replicate, p.State)
	p.Sent(1, 10, 0)
	p.Beat(12)
	require.Equal(t, replicator.Replicate, p.State, "a new gap starts to count anew")
	p.Beat(12)
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(13), p.Next, "what arrived is not sent again")
}

func TestLostProbe(t *testing.T) {
	p := replicator.New("f", 10, limits(), 0)
	p.Sent(2, 20, 0)
	p.Beat(12)
	require.False(t, p.MaySend(), "it arrived and waits for the disk")
	p.Beat(11)
	require.True(t, p.MaySend(), "it did not arrive")
}

func TestLostAnswer(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(2, 20, 0)
	// The answer is lost; that to a heartbeat says how much is durable.
	require.True(t, p.Accepted(12))
	p.Beat(12)
	p.Beat(12)
	require.Equal(t, replicator.Replicate, p.State)
	messages, _ := p.Inflight()
	require.Zero(t, messages)
}

func TestRestartedFollowerIsProbed(t *testing.T) {
	p := replicating(t, 10)
	p.Beat(0) // the new incarnation has verified nothing
	p.Beat(0)
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(10), p.Match, "what was durable is durable")
	require.Equal(t, raft.Index(11), p.Next)
	require.True(t, p.MaySend())
	p.Sent(0, 0, 8)
	p.Accepted(10)
	commit, tell := p.TellCommit(9)
	require.True(t, tell)
	require.Equal(t, raft.Index(9), commit)
}

func TestTellCommit(t *testing.T) {
	tell := func(p *replicator.Progress, commit raft.Index) raft.Index {
		i, ok := p.TellCommit(commit)
		require.Equal(t, ok, i > 0)
		return i
	}
	require.Zero(t, tell(replicator.New("f", 10, limits(), 0), 5), "not while probing")
	p := replicating(t, 10)
	require.Equal(t, raft.Index(5), tell(p, 5))
	require.Zero(t, tell(p, 5), "once")
	require.Zero(t, tell(p, 4))
	require.Equal(t, raft.Index(10), tell(p, 20), "never above what it has")
	p.Sent(2, 20, 10)
	require.Zero(t, tell(p, 12), "not while a message is under way")
	p.Accepted(12)
	require.Equal(t, raft.Index(12), tell(p, 12), "it was sent with commit index 10")
	p.Sent(2, 20, 20)
	p.Accepted(14)
	require.Zero(t, tell(p, 14), "the entries came with the commit index")
	require.Zero(t, tell(p, 13))
	p.Sent(1, 20, 16)
	p.Accepted(15)
	require.Zero(t, tell(p, 15))
	p.Retreat(9)
	p.Sent(0, 0, 3)
	p.Accepted(15)
	require.Equal(t, raft.Index(15), tell(p, 15), "told anew after probing")
}

// TestAnswersFromBeforeProbing takes the acceptance of a message that was given up for lost, and of
// which the commit index was an older one.
func TestAnswersFromBeforeProbing(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(3, 30, 10)
	p.Retreat(0)
	p.Sent(0, 0, 13)
	p.Accepted(10)
	require.Equal(t, raft.Index(11), p.Next)
	require.True(t, p.Accepted(13))
	require.Equal(t, raft.Index(14), p.Next, "what it has is not sent again")
	commit, tell := p.TellCommit(13)
	require.True(t, tell, "the probe proved entry 10, and so told of no commit above")
	require.Equal(t, raft.Index(13), commit)
}

func TestGapFromBeforeProbing(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(1, 10, 0)
	p.Beat(10)
	p.Retreat(11)
	p.Sent(0, 0, 0)
	p.Accepted(10)
	p.Sent(1, 10, 0)
	p.Beat(10)
	require.Equal(t, replicator.Replicate, p.State, "the first sign of a gap since")
}
