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
	}{{8 << 10, 0.4}, {32 << 10, 0.25}, {128 << 10, 0.5}, {1 << 20, 0.6}} {
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
