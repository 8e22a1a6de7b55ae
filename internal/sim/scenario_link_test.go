package sim

import (
	"testing"
	"time"

	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/replicator"
)

// slowLinks is a calm cluster whose links carry 100 KB/s, each behind a queue of so many bytes.
func slowLinks(queueBytes int) *swarm.Swarm {
	w := calm(3)
	w.LinkBytesPerSecond, w.LinkQueueBytes = 100_000, queueBytes
	w.Limits.Replication = replicator.Limits{
		WindowMessages: 64, WindowBytes: 256 << 10, BatchBytes: 16 << 10,
	}
	w.SegmentBytes = 64 << 10
	w.SendDelay = 0 // messages leave in their order, as the real transport's do
	return w
}

// A link that is given more than it carries does not collapse under repetitions: a stated share of
// what it carries is news, whether its queue is short, so that messages are lost, or so long that
// they are late by many times the first patience.
func TestScenarioSlowLink(t *testing.T) {
	for _, with := range []struct {
		queueBytes int
		share      float64 // of the link, at least
	}{{8 << 10, 0.4}, {32 << 10, 0.5}, {128 << 10, 0.6}, {1 << 20, 0.8}} {
		playIn(t, slowLinks(with.queueBytes), func(c *Cluster) {
			const size, span = 1000, 20 * time.Second
			l := c.elect()
			c.elapse(c.swarm.Election)
			c.but(l)[0].crash(true, never) // what is committed has come over one link
			before := l.Status.Committed
			for end := c.now + span; c.now < end; c.elapse(10 * time.Millisecond) {
				if l.Status.Last.Index < l.Status.Committed+500 {
					c.write(nil, l, 0, size, 10, 1)
				}
			}
			carried := int(l.Status.Committed-before) * size
			share := c.swarm.OnLink(carried).Seconds() / span.Seconds()
			t.Logf("queue of %d bytes: %.2f of the link, %d overflows", with.queueBytes, share,
				c.report.Overflows)
			c.check(share >= with.share, "I33 convergence",
				"with a queue of %d bytes entries get %.2f of the link", with.queueBytes, share)
		})
	}
}

// I33: what a partition has lost is sent again soon after it, although answers were late with it,
// which says nothing about the link, and although nothing new is written that would show the gap.
func TestScenarioResentAfterPartition(t *testing.T) {
	const beat, span = 100 * time.Millisecond, 2 * time.Second
	for _, deaf := range []time.Duration{0, beat, span / 2} { // the leader, before the follower
		w := calm(3)
		w.Election, w.Heartbeat, w.SendDelay = 10*beat, beat, 0
		w.Limits.ElectionTimeout, w.Limits.HeartbeatInterval = w.Election, w.Heartbeat
		w.Limits.Replication = replicator.Limits{}.WithDefaults()
		playIn(t, w, func(c *Cluster) {
			l := c.elect()
			c.elapse(c.swarm.Election)
			f := c.but(l)[0]
			load := func(d time.Duration) {
				for end := c.now + d; c.now < end; c.elapse(span / 32) {
					c.write(nil, l, 0, 100, 1, 1)
				}
			}
			load(span)
			hears := c.cut([]int{f.Index}, []int{l.Index})
			load(deaf)
			heard := c.cut([]int{l.Index}, []int{f.Index})
			load(span - deaf)
			hears()
			heard()
			last, healed := l.Status.Last.Index, c.now
			ok := c.runWhile(func() bool { return f.Dur.Last() < last }, c.now+100*beat)
			took := c.now - healed
			t.Logf("answers lost for %v, everything for %v more: all is there %v later",
				deaf, span-deaf, took)
			c.check(ok && took <= 5*beat, "I33 convergence",
				"what a partition has lost is there %v after it", took)
		})
	}
}
