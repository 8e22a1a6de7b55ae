package transport

import (
	"bytes"
	"container/heap"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Bounds of what is under way on one link; beyond, messages are dropped.
const (
	linkMessages = 8192
	linkBytes    = 64 << 20
)

// endpoint is one process's transport on a [Network].
type endpoint struct {
	Registry
	net  *Network
	addr string
	life context.Context // ends with Close
	kill context.CancelFunc
	wg   sync.WaitGroup // links, and fetches under way

	linksMu sync.Mutex
	ended   bool
	links   map[string]*link
}

// MaxMessageBytes is [Sizer]'s.
func (e *endpoint) MaxMessageBytes() int { return linkBytes }

// Addr is [Transport.Addr].
func (e *endpoint) Addr() string { return e.addr }

// Send is [Transport.Send].
func (e *endpoint) Send(addr string, msgs []raft.Message) {
	e.net.stats.sent.Add(uint64(len(msgs)))
	l := e.link(addr)
	if l == nil {
		e.net.stats.dropped.Add(uint64(len(msgs)))
		return
	}
	now := time.Now()
	for i := range msgs {
		b := Encode(make([]byte, 0, EncodedBytes(&msgs[i])), &msgs[i])
		fates := e.net.fates(stream{route: l.route})
		if len(fates) == 0 {
			e.net.stats.dropped.Add(1)
		}
		for c, f := range fates {
			if c > 0 {
				b = bytes.Clone(b) // a copy on the wire shares no memory with the first
			}
			l.push(now, msgs[i].From, b, f)
		}
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close is [Transport.Close].
func (e *endpoint) Close() error {
	e.linksMu.Lock()
	ended := e.ended
	e.ended = true
	e.linksMu.Unlock()
	if !ended {
		e.net.mu.Lock()
		delete(e.net.endpoints, e.addr)
		e.net.mu.Unlock()
		e.kill()
	}
	e.wg.Wait()
	e.Registry.Close()
	if !ended {
		e.breakLinks()
	}
	return nil
}

// breakLinks tells the other side of each link that it has ended, as a closed connection would.
func (e *endpoint) breakLinks() {
	for _, l := range e.links {
		l.broken()
	}
}

// link returns the link to addr, and starts it when it is new; nil once the endpoint is closed.
func (e *endpoint) link(addr string) *link {
	e.linksMu.Lock()
	defer e.linksMu.Unlock()
	if e.ended {
		return nil
	}
	l := e.links[addr]
	if l == nil {
		l = &link{net: e.net, route: route{e.addr, addr}, wake: make(chan struct{}, 1),
			senders: make(map[raft.PeerID]bool)}
		e.links[addr] = l
		e.wg.Go(func() { l.run(e.life.Done()) })
	}
	return l
}

// link carries the messages of one direction, each when its time has come.
type link struct {
	net   *Network
	route route
	wake  chan struct{} // capacity 1: there is something new

	mu     sync.Mutex
	flight flight
	bytes  int
	seq    uint64
	last   time.Time // when the last message that keeps the order arrives

	senders map[raft.PeerID]bool // of everything sent
	snapped bool                 // it broke, and the other side has not been told
}

// snap breaks the link: what is under way is lost, and the other side is told after what has
// arrived.
func (l *link) snap() {
	l.mu.Lock()
	l.net.stats.dropped.Add(uint64(len(l.flight)))
	l.flight, l.bytes, l.snapped = nil, 0, true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// broken tells the other side that the link has ended. A partition keeps that from it.
func (l *link) broken() {
	l.mu.Lock() // a Send may be under way still
	senders := slices.Sorted(maps.Keys(l.senders))
	l.mu.Unlock()
	if to, open := l.net.open(l.route); open {
		for _, id := range senders {
			to.Broken(id)
		}
	}
}

// tell reports whether the other side is to be told that the link broke.
func (l *link) tell() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	snapped := l.snapped
	l.snapped = false
	return snapped
}

func (l *link) push(now time.Time, from raft.PeerID, b []byte, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.senders[from] = true
	if len(l.flight) >= linkMessages || l.bytes+len(b) > linkBytes {
		l.net.stats.dropped.Add(1)
		return
	}
	due := now.Add(f.delay)
	if f.inOrder {
		if due.Before(l.last) {
			due = l.last
		}
		l.last = due
	}
	l.seq++
	l.bytes += len(b)
	heap.Push(&l.flight, parcel{due, l.seq, b})
}

// take returns what has arrived by now, in order of arrival; if nothing has, how long until
// something does, or a negative time when nothing is under way.
func (l *link) take(now time.Time) (arrived [][]byte, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.flight) > 0 && !l.flight[0].due.After(now) {
		p := heap.Pop(&l.flight).(parcel)
		l.bytes -= len(p.bytes)
		arrived = append(arrived, p.bytes)
	}
	if len(l.flight) == 0 {
		return arrived, -1
	}
	return arrived, l.flight[0].due.Sub(now)
}

func (l *link) run(done <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if l.tell() {
			l.broken()
		}
		arrived, wait := l.take(time.Now())
		if len(arrived) > 0 {
			l.deliver(arrived)
			continue
		}
		// An idle link leaves no timer behind: in a synctest bubble it would move the clock.
		timer.Stop()
		if wait >= 0 {
			timer.Reset(wait)
		}
		select {
		case <-l.wake:
		case <-timer.C:
		case <-done:
			return
		}
	}
}

func (l *link) deliver(arrived [][]byte) {
	stats := &l.net.stats
	to, open := l.net.open(l.route)
	if !open {
		stats.dropped.Add(uint64(len(arrived)))
		return
	}
	msgs := make([]raft.Message, 0, len(arrived))
	for _, b := range arrived {
		if m, err := Decode(b); err == nil {
			msgs = append(msgs, m)
		}
	}
	delivered := len(msgs) - to.Deliver(msgs)
	stats.delivered.Add(uint64(delivered))
	stats.refused.Add(uint64(len(arrived) - delivered))
}

// parcel is one encoded message under way.
type parcel struct {
	due   time.Time
	seq   uint64
	bytes []byte
}

// flight is a heap of what is under way: the earliest first, then the one sent first.
type flight []parcel

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if !f[i].due.Equal(f[j].due) {
		return f[i].due.Before(f[j].due)
	}
	return f[i].seq < f[j].seq
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(parcel)) }
func (f *flight) Pop() any {
	old := *f
	p := old[len(old)-1]
	old[len(old)-1] = parcel{}
	*f = old[:len(old)-1]
	return p
}
