package main

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// load is a cell's clients at work, in the leader's process.
type load struct {
	cell    cell
	system  system
	phase   atomic.Int32
	clients []*client
	running sync.WaitGroup
	over    chan struct{} // closed when every client has ended
}

const (
	phaseWarm int32 = iota
	phaseMeasured
	phaseOver
)

// client is one closed loop. The padding keeps the counters of two clients out of one cache line.
type client struct {
	ops    atomic.Uint64
	_      [56]byte
	writes histogram // of phaseMeasured
	reads  histogram
	err    error // why it gave up
}

func startLoad(s system, c cell) *load {
	l := &load{cell: c, system: s, over: make(chan struct{})}
	for i := range c.Clients {
		one := &client{}
		l.clients = append(l.clients, one)
		l.running.Add(1)
		go l.run(one, uint64(i))
	}
	go func() {
		l.running.Wait()
		close(l.over)
	}()
	return l
}

func (l *load) run(c *client, seed uint64) {
	defer l.running.Done()
	chance := rand.New(rand.NewPCG(seed, 1))
	command := make([]byte, l.cell.Bytes)
	for i := range command {
		command[i] = byte(chance.Uint32())
	}
	for {
		phase := l.phase.Load()
		if phase == phaseOver {
			return
		}
		reads := l.cell.Kind == kindRead || l.cell.Kind == kindMixed && chance.IntN(10) > 0
		begin := time.Now()
		if reads {
			c.err = l.system.read()
		} else {
			c.err = l.system.apply(command)
		}
		took := time.Since(begin)
		if c.err != nil {
			return
		}
		c.ops.Add(1)
		if phase != phaseMeasured {
			continue
		}
		if reads {
			c.reads.record(took)
		} else {
			c.writes.record(took)
		}
	}
}

// await returns after d, or as soon as no client is left.
func (l *load) await(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.over:
	}
}

func (l *load) ops() (n uint64) {
	for _, c := range l.clients {
		n += c.ops.Load()
	}
	return n
}

// sample is what the clients saw.
type sample struct {
	OpsPerSecond float64 `json:"ops_per_s"`
	P50          float64 `json:"p50_us"`
	P99          float64 `json:"p99_us"`
	// Of a mixed cell, whose P50 and P99 are of writes.
	ReadP50 float64 `json:"read_p50_us,omitempty"`
	ReadP99 float64 `json:"read_p99_us,omitempty"`
}

// measure records for a time, then ends the load.
func (l *load) measure(d time.Duration) (sample, error) {
	begin, before := time.Now(), l.ops()
	l.phase.Store(phaseMeasured)
	l.await(d)
	ops, took := l.ops()-before, time.Since(begin)
	if err := l.end(); err != nil {
		return sample{}, err
	}
	var writes, reads histogram
	for _, c := range l.clients {
		writes.add(&c.writes)
		reads.add(&c.reads)
	}
	s := sample{OpsPerSecond: float64(ops) / took.Seconds()}
	s.P50, s.P99 = micros(writes.percentile(50)), micros(writes.percentile(99))
	s.ReadP50, s.ReadP99 = micros(reads.percentile(50)), micros(reads.percentile(99))
	if l.cell.Kind == kindRead {
		s.P50, s.P99, s.ReadP50, s.ReadP99 = s.ReadP50, s.ReadP99, 0, 0
	}
	return s, nil
}

// end waits for the clients, and returns why any of them gave up.
func (l *load) end() error {
	l.phase.Store(phaseOver)
	<-l.over
	var errs []error
	for _, c := range l.clients {
		if c.err != nil && len(errs) == 0 {
			errs = append(errs, c.err)
		}
	}
	return errors.Join(errs...)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
