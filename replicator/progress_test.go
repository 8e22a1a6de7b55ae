package replicator_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

const patience = 20 * time.Millisecond

func limits() replicator.Limits {
	return replicator.Limits{WindowMessages: 3, WindowBytes: 100, BatchBytes: 60}
}

// replicating returns the progress of a follower that agrees up to match, the leader's last entry.
func replicating(t *testing.T, match raft.Index) *replicator.Progress {
	p := replicator.New("f", match, limits(), patience, 0)
	p.Sent(0, 0, 0, 0)
	p.Accepted(0, match)
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
	p := replicator.New("f", 10, limits(), patience, 7*time.Second)
	require.Equal(t, raft.PeerID("f"), p.ID)
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(11), p.Next)
	require.Zero(t, p.Match)
	require.Equal(t, 7*time.Second, p.Heard)
	require.Equal(t, 60, p.BatchBytes())

	require.True(t, p.MaySend())
	p.Sent(0, 0, 0, 0)
	require.False(t, p.MaySend(), "one probe at a time")
	require.Equal(t, raft.Index(11), p.Next, "a probe moves nothing")
}

func TestFetchingWaits(t *testing.T) {
	for _, p := range []*replicator.Progress{
		replicator.New("f", 10, limits(), patience, 0), replicating(t, 10),
	} {
		require.True(t, p.MaySend())
		p.Fetching = true
		require.False(t, p.MaySend())
		p.Fetching = false
		require.True(t, p.MaySend())
	}
}

func TestProbeAnswers(t *testing.T) {
	p := replicator.New("f", 10, limits(), patience, 0)
	p.Sent(0, 0, 0, 0)
	require.True(t, p.Rejects(10))
	p.Retreat(5)
	require.Equal(t, raft.Index(5), p.Next)
	require.True(t, p.MaySend())
	p.Sent(0, 2, 40, 0)
	require.False(t, p.Rejects(10), "an answer to the probe before")
	require.False(t, p.MaySend())

	require.True(t, p.Accepted(0, 6))
	require.Equal(t, replicator.Replicate, p.State)
	require.Equal(t, raft.Index(6), p.Match)
	require.Equal(t, raft.Index(7), p.Next)
	require.False(t, p.Accepted(0, 6), "no news")
	require.False(t, p.Accepted(0, 3), "old news")
	require.Equal(t, raft.Index(6), p.Match)
	require.False(t, p.Rejects(6), "what is known to match can't be rejected: it is an old answer")
}

func TestOldAcceptanceDoesNotEndProbing(t *testing.T) {
	p := replicating(t, 5)
	p.Sent(0, 1, 10, 0)
	p.Sent(0, 1, 10, 0) // entries 6 and 7, of which 6 gets lost
	require.True(t, p.Rejects(6))
	p.Retreat(7) // a hint that is too high
	p.Sent(0, 1, 10, 0)
	require.False(t, p.Accepted(0, 5))
	require.Equal(t, replicator.Probe, p.State, "5 matches, but 6 was asked for")
	require.Equal(t, raft.Index(7), p.Next)
	require.False(t, p.MaySend(), "the probe is still under way")
}

func TestRetreatStaysAboveMatch(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 3, 30, 0)
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
	p.Sent(0, 1, 60, 0)
	require.Equal(t, 40, p.BatchBytes(), "what is left of the window")
	require.True(t, p.MaySend())
	p.Sent(0, 1, 70, 0) // one entry larger than that travels alone
	require.False(t, p.MaySend(), "full by bytes")
	p.Accepted(0, 11)
	require.True(t, p.MaySend())
	require.Equal(t, 30, p.BatchBytes())
	p.Sent(0, 1, 1, 0)
	p.Sent(0, 1, 1, 0)
	messages, bytes := p.Inflight()
	require.Equal(t, 3, messages)
	require.Equal(t, 72, bytes)
	require.False(t, p.MaySend(), "full by messages")
	p.Accepted(0, 13) // one answer for two messages
	messages, bytes = p.Inflight()
	require.Equal(t, 1, messages)
	require.Equal(t, 1, bytes)
	require.Equal(t, raft.Index(15), p.Next)
}

func TestAnswerInsideAMessage(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 5, 50, 0)
	require.True(t, p.Accepted(0, 12), "the disk has the first two")
	messages, bytes := p.Inflight()
	require.Equal(t, 1, messages)
	require.Equal(t, 50, bytes)
	require.Equal(t, raft.Index(16), p.Next)
}

func TestLostMessage(t *testing.T) {
	p := replicating(t, 10)
	for range 3 {
		p.Sent(0, 1, 10, 0)
	}
	p.Beat(patience-1, 10)
	require.False(t, p.MaySend(), "the window is full, and it may be on its way")
	p.Beat(patience, 10)
	require.True(t, p.MaySend(), "beyond the window")
	require.True(t, p.Light(), "to ask")
	p.Sent(patience, 0, 0, 0)
	require.Equal(t, raft.Index(14), p.Next, "nothing is repeated yet")
	require.False(t, p.MaySend())
	p.Beat(2*patience-1, 10)
	require.False(t, p.MaySend(), "the question may be on its way")
	p.Beat(2*patience, 10)
	require.True(t, p.Light(), "once more")
	p.Sent(2*patience, 0, 0, 0)
	require.True(t, p.Rejects(13))
	p.Retreat(11)
	require.Equal(t, replicator.Probe, p.State, "lost")
	require.Equal(t, raft.Index(11), p.Next)
	require.True(t, p.MaySend())
	require.False(t, p.Light())
	p.Sent(2*patience, 3, 30, 0)
	require.False(t, p.Rejects(13), "the answer to the other question")
}

func TestMovingGapIsNoLoss(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 3, 30, 0)
	p.Beat(patience-1, 11)
	p.Beat(2*patience-2, 12)
	require.False(t, p.Light(), "it is behind, and catching up")
	p.Beat(3*patience-3, 12)
	require.False(t, p.Light())
	p.Beat(3*patience-2, 12)
	require.True(t, p.Light())
	p.Sent(3*patience-2, 0, 0, 0)
	require.True(t, p.Accepted(3*patience, 13), "it was late")
	require.Equal(t, replicator.Replicate, p.State)
	messages, _ := p.Inflight()
	require.Zero(t, messages)
}

// TestLateAnswerIsForgotten: an answer that was late, because of a partition, a pause or a disk,
// says nothing about what is lost next.
func TestLateAnswerIsForgotten(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 1, 10, 0)
	p.Sent(0, 1, 10, 0)
	const late = 100 * patience
	require.True(t, p.Accepted(late, 11))
	p.Beat(late, 11)
	p.Beat(late+patience, 11)
	require.True(t, p.Light(), "12 may be lost")
}

func TestLostProbe(t *testing.T) {
	p := replicator.New("f", 10, limits(), patience, 0)
	p.Sent(0, 0, 0, 0)
	p.Beat(patience-1, 0)
	require.False(t, p.MaySend(), "it may be on its way, or wait for the disk")
	p.Beat(patience, 0)
	require.True(t, p.MaySend(), "once more")
	require.True(t, p.Light(), "without entries: they may be on their way")
}

func TestLostAnswer(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 2, 20, 0)
	// The answer is lost; that to a heartbeat says how much is durable.
	require.True(t, p.Accepted(1, 12))
	p.Beat(1, 12)
	p.Beat(5*patience, 12)
	require.Equal(t, replicator.Replicate, p.State)
	messages, _ := p.Inflight()
	require.Zero(t, messages)
}

func TestSlowDiskIsNoLoss(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 2, 20, 0)
	p.Beat(100*patience, 12)
	require.Equal(t, replicator.Replicate, p.State)
}

// TestSlowLink: to a link that carries a message in ten times the patience nothing is repeated.
func TestSlowLink(t *testing.T) {
	type message struct {
		last raft.Index
		at   time.Duration // of arrival
	}
	const each = 10 * patience
	p, log := replicating(t, 10), raft.Index(1000)
	var link []message
	free, received, sent, asked := time.Duration(0), raft.Index(10), 0, 0
	for now := time.Duration(0); received < log; now += patience / 2 {
		require.Less(t, now, 1000*each, "the link is never idle")
		for len(link) > 0 && link[0].at <= now {
			received = max(received, link[0].last)
			link = link[1:]
			p.Accepted(now, received)
		}
		p.Beat(now, received)
		for p.MaySend() && (p.Light() || p.Next <= log) {
			if p.Light() {
				link = append(link, message{p.Next - 1, max(free, now)})
				p.Sent(now, 0, 0, 0)
				asked++
				continue
			}
			free = max(free, now) + each
			link = append(link, message{p.Next, free})
			p.Sent(now, 1, 50, 0)
			sent++
		}
	}
	require.Equal(t, 990, sent, "one a message")
	require.Less(t, asked, 10*990, "at most one in the time of patience")
}

// TestRoomAfterALoss: room is soon half of what was too much, and then grows by a batch each time
// that all of it is answered.
func TestRoomAfterALoss(t *testing.T) {
	const batch = 100
	limits := replicator.Limits{WindowMessages: 64, WindowBytes: 100 * batch, BatchBytes: batch}
	p := replicator.New("a", 10, limits, patience, 0)
	p.Accepted(0, 10)
	turn := func() (bytes int) {
		for p.MaySend() {
			p.Sent(0, 1, batch, 0)
		}
		_, bytes = p.Inflight()
		p.Accepted(0, p.Next-1)
		return bytes
	}
	for range 16 {
		p.Sent(0, 1, batch, 0)
	}
	p.Retreat(11) // the first was lost
	p.Sent(0, 0, 0, 0)
	p.Accepted(0, 10)
	require.Equal(t, batch, turn())
	require.Equal(t, 2*batch, turn())
	require.Equal(t, 8*batch, turn(), "half of what was under way")
	for n := 9; n < 20; n++ {
		require.InDelta(t, n*batch, turn(), batch)
	}
}

func TestRestartedFollowerIsProbed(t *testing.T) {
	p := replicating(t, 10)
	p.Beat(patience, 0) // the new incarnation has verified nothing
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(10), p.Match, "what was durable is durable")
	require.Equal(t, raft.Index(11), p.Next)
	require.True(t, p.MaySend())
	p.Sent(0, 0, 0, 8)
	p.Accepted(0, 10)
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
	require.Zero(t, tell(replicator.New("f", 10, limits(), patience, 0), 5), "not while probing")
	p := replicating(t, 10)
	require.Equal(t, raft.Index(5), tell(p, 5))
	require.Zero(t, tell(p, 5), "once")
	require.Zero(t, tell(p, 4))
	require.Equal(t, raft.Index(10), tell(p, 20), "never above what it has")
	p.Sent(0, 2, 20, 10)
	require.Zero(t, tell(p, 12), "not while a message is under way")
	p.Accepted(0, 12)
	require.Equal(t, raft.Index(12), tell(p, 12), "it was sent with commit index 10")
	p.Sent(0, 2, 20, 20)
	p.Accepted(0, 14)
	require.Zero(t, tell(p, 14), "the entries came with the commit index")
	require.Zero(t, tell(p, 13))
	p.Sent(0, 1, 20, 16)
	p.Accepted(0, 15)
	require.Zero(t, tell(p, 15))
	p.Retreat(9)
	p.Sent(0, 0, 0, 3)
	p.Accepted(0, 15)
	require.Equal(t, raft.Index(15), tell(p, 15), "told anew after probing")
}

// TestAnswersFromBeforeProbing takes the acceptance of a message that was given up for lost, and of
// which the commit index was an older one.
func TestAnswersFromBeforeProbing(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 3, 30, 10)
	p.Retreat(0)
	p.Sent(0, 0, 0, 13)
	p.Accepted(0, 10)
	require.Equal(t, raft.Index(11), p.Next)
	require.True(t, p.Accepted(0, 13))
	require.Equal(t, raft.Index(14), p.Next, "what it has is not sent again")
	commit, tell := p.TellCommit(13)
	require.True(t, tell, "the probe proved entry 10, and so told of no commit above")
	require.Equal(t, raft.Index(13), commit)
}

func TestFollowerThatLostItsDiskBeginsAnew(t *testing.T) {
	p := replicator.New("f", 10, limits(), patience, 0)
	p.Sent(0, 0, 0, 10)
	require.True(t, p.Accepted(0, 10))
	require.False(t, p.Rejects(10), "late: nothing is being probed")
	p.Beat(2*patience, 0) // nothing of it is there: it restarted, at least
	require.Equal(t, replicator.Probe, p.State)
	require.Equal(t, raft.Index(11), p.Next)
	require.False(t, p.Rejects(9), "late")
	require.True(t, p.Rejects(10), "it had acknowledged that")
	p.Retreat(1)
	require.Zero(t, p.Match)
	require.Equal(t, raft.Index(1), p.Next)
}

func TestFollowerThatLostItsDiskWithEntriesUnderWay(t *testing.T) {
	p := replicating(t, 10)
	p.Sent(0, 1, 10, 0)
	p.Beat(patience, 0)
	require.True(t, p.Light())
	p.Sent(patience, 0, 0, 0)
	require.True(t, p.Rejects(11))
	p.Retreat(1)
	require.Equal(t, raft.Index(11), p.Next, "it had acknowledged what is before")
	p.Sent(patience, 1, 10, 0)
	require.True(t, p.Rejects(10))
	require.True(t, p.LostLog)
}
