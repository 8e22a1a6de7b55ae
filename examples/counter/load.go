package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// load is a number of clients that write at once, and the notes they take.
type load struct {
	progress *progress
	clients  []*service.Client
	acks     [][]ack // by client; read only after finish
	stopping chan struct{}
	running  sync.WaitGroup
	cancel   context.CancelCauseFunc
}

// finishWithin bounds the wait for the last acknowledgements, so that a group that hangs is a
// failure.
const finishWithin = 15 * time.Second

// startLoad starts n clients. What a client can't get over by retrying goes to fail.
func startLoad(ctx context.Context, n int, members []string, fail func(error)) *load {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &load{
		progress: newProgress(), acks: make([][]ack, n), stopping: make(chan struct{}), cancel: cancel,
	}
	for i := range n {
		l.clients = append(l.clients, service.NewClient(fmt.Sprintf("c%d", i+1), members, i))
		l.running.Go(func() {
			if err := l.write(ctx, i); err != nil {
				fail(err)
			}
		})
	}
	return l
}

func (l *load) write(ctx context.Context, i int) error {
	c := l.clients[i]
	for {
		select {
		case <-l.stopping:
			return nil
		default:
		}
		const delta = 1
		a := ack{Delta: delta, Started: l.progress.elapsed()}
		res, err := c.Add(ctx, delta)
		if err != nil {
			return err
		}
		a.Seq, a.Total, a.Ended = c.Seq, res.Total, l.progress.elapsed()
		l.acks[i] = append(l.acks[i], a)
		l.progress.note(a, c.At)
	}
}

// finish lets every client have its last increment acknowledged, so that afterwards the
// acknowledged and the applied must be exactly the same.
func (l *load) finish() {
	close(l.stopping)
	late := time.AfterFunc(finishWithin, func() {
		l.cancel(fmt.Errorf("the group did not answer within %v", finishWithin))
	})
	l.running.Wait()
	late.Stop()
	l.cancel(nil)
}

// abandon ends the load at once.
func (l *load) abandon() {
	l.cancel(errors.New("the demo ended"))
	l.running.Wait()
}

func (l *load) histories() (all []history) {
	for i, c := range l.clients {
		all = append(all, history{c.ID, l.acks[i]})
	}
	return all
}

// latencies returns the time that each acknowledged increment took, retries included, in order
// of size.
func (l *load) latencies() (all []time.Duration) {
	for _, acks := range l.acks {
		for _, a := range acks {
			all = append(all, a.Ended-a.Started)
		}
	}
	slices.Sort(all)
	return all
}

// progress is what the clients have reached together, for the view and for measuring failovers.
type progress struct {
	start time.Time

	mu     sync.Mutex
	acked  int
	last   time.Duration // when the latest increment was acknowledged
	gap    time.Duration // the longest time between two acknowledgements since beginPause
	gapAt  time.Duration // when it ended
	old    string        // the leader as of watch
	next   time.Duration // when another first acknowledged an increment, after watch
	recent []ack         // of the last second
	bars   []int         // acknowledged in each bar of time
}

const barTime = 200 * time.Millisecond

func newProgress() *progress { return &progress{start: time.Now()} }

func (p *progress) elapsed() time.Duration { return time.Since(p.start) }

// note counts an acknowledgement that came from the given member.
func (p *progress) note(a ack, from string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked++
	if p.next == 0 && from != p.old {
		p.next = a.Ended
	}
	if gap := a.Ended - p.last; gap > p.gap {
		p.gap, p.gapAt = gap, a.Ended
	}
	p.last = max(p.last, a.Ended)
	p.forget(a.Ended)
	p.recent = append(p.recent, a)
	bar := int(a.Ended / barTime)
	for len(p.bars) <= bar {
		p.bars = append(p.bars, 0)
	}
	p.bars[bar]++
}

// forget drops what is older than a second.
func (p *progress) forget(now time.Duration) {
	old := 0
	for old < len(p.recent) && p.recent[old].Ended < now-time.Second {
		old++
	}
	p.recent = p.recent[old:]
}

// beginPause begins the measurement of the longest pause.
func (p *progress) beginPause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gap = 0
}

// pause returns the longest time without an acknowledgement since beginPause, and when it ended.
func (p *progress) pause() (longest, at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.elapsed(); now-p.last > p.gap {
		return now - p.last, now
	}
	return p.gap, p.gapAt
}

// watch begins to wait for an acknowledgement by any other than the given leader.
func (p *progress) watch(leader string) (at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.old, p.next = leader, 0
	return p.elapsed()
}

// taken returns when another than the leader of watch first acknowledged an increment; 0: none did.
func (p *progress) taken() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

// rate is what the view shows of the load.
type rate struct {
	Elapsed  time.Duration
	Acked    int // in all
	Recently int // a second, by the last one or what there is of it
	P50, P99 time.Duration
	Silent   time.Duration // since the last acknowledgement
	Bars     []int         // all but the one under way
}

func (p *progress) rate() rate {
	now := p.elapsed()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(now)
	var took []time.Duration
	for _, a := range p.recent {
		took = append(took, a.Ended-a.Started)
	}
	slices.Sort(took)
	bars := make([]int, int(now/barTime))
	copy(bars, p.bars)
	return rate{
		Elapsed: now, Acked: p.acked, Recently: perSecond(len(took), now), P50: quantile(took, 0.5),
		P99: quantile(took, 0.99), Silent: now - p.last, Bars: bars,
	}
}

// perSecond is the rate of n in the last second of a load that has run for so long.
func perSecond(n int, ran time.Duration) int {
	return int(float64(n) / max(0.01, min(ran.Seconds(), 1)))
}

// quantile returns the value below which the share q of the sorted values lies.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
