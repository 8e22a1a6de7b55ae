package node

import (
	"container/heap"
	"sync"
	"sync/atomic"

	"github.com/jraft-go/jraft/raft"
)

// appliedWatch holds the callers that wait until an index is applied. The applier's way past it is
// one store and one load per entry while nobody is due.
type appliedWatch struct {
	applied atomic.Uint64
	// wanted is the lowest index that somebody waits for; the highest possible while nobody does.
	// Invariant: whoever adds stores wanted and then loads applied; whoever advances stores applied
	// and then loads wanted. So one of the two sees the other, and nobody is forgotten.
	wanted atomic.Uint64

	mu      sync.Mutex
	waiting readHeap
	closed  error // why nobody is added any more
}

const nobodyWaits = ^uint64(0)

func (a *appliedWatch) start(i raft.Index) {
	a.applied.Store(uint64(i))
	a.wanted.Store(nobodyWaits)
}

func (a *appliedWatch) index() raft.Index { return raft.Index(a.applied.Load()) }

// advance is called by the applier alone, with rising indexes.
func (a *appliedWatch) advance(i raft.Index) {
	a.applied.Store(uint64(i))
	if a.wanted.Load() <= uint64(i) {
		a.mu.Lock()
		a.completeDue()
		a.mu.Unlock()
	}
}

// completeDue runs with the lock held.
func (a *appliedWatch) completeDue() {
	for len(a.waiting) > 0 && a.waiting[0].until <= a.index() {
		r := heap.Pop(&a.waiting).(*readCall)
		r.err = nil
		r.complete()
	}
	a.note()
}

func (a *appliedWatch) note() {
	if len(a.waiting) == 0 {
		a.wanted.Store(nobodyWaits)
		return
	}
	a.wanted.Store(uint64(a.waiting[0].until))
}

// add completes r when r.until is applied, maybe at once. Where it can't be added the reason is
// returned.
func (a *appliedWatch) add(r *readCall) error {
	if r.until <= a.index() {
		r.err = nil
		r.complete()
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed != nil {
		return a.closed
	}
	if r.abandoned() {
		return nil
	}
	heap.Push(&a.waiting, r)
	a.note()
	a.completeDue()
	return nil
}

// forget takes an abandoned call out, if it is in.
func (a *appliedWatch) forget(r *readCall) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.at > 0 {
		heap.Remove(&a.waiting, r.at-1)
		a.note()
	}
}

// close completes everybody with an error.
func (a *appliedWatch) close(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = cause
	for _, r := range a.waiting {
		r.at, r.err = 0, cause
		r.complete()
	}
	a.waiting = nil
	a.note()
}

// readHeap is ordered by the index waited for; each call knows its position plus one, 0 being none.
type readHeap []*readCall

func (h readHeap) Len() int           { return len(h) }
func (h readHeap) Less(i, j int) bool { return h[i].until < h[j].until }
func (h readHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i+1, j+1
}
func (h *readHeap) Push(x any) {
	r := x.(*readCall)
	*h = append(*h, r)
	r.at = len(*h)
}
func (h *readHeap) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	r.at = 0
	return r
}

// leaderWatch holds who leads, for those that wait for a leader or name it in an error.
type leaderWatch struct {
	leader atomic.Pointer[raft.Peer] // never nil; a zero peer: not known

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

func (l *leaderWatch) start() {
	l.leader.Store(&raft.Peer{})
	l.changed = make(chan struct{})
}

func (l *leaderWatch) set(p raft.Peer) {
	if *l.leader.Load() == p {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader.Store(&p)
	close(l.changed)
	l.changed = make(chan struct{})
}

// get returns the leader, and a channel that is closed when there is another.
func (l *leaderWatch) get() (raft.Peer, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.leader.Load(), l.changed
}
