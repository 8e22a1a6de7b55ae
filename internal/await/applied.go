package await

import (
	"container/heap"
	"sync"
	"sync/atomic"

	"github.com/jraft-go/jraft/raft"
)

// Read is one caller that waits for an index to be applied here, which the leader may have to
// name first.
type Read struct {
	Call
	Until raft.Index // only rises until the call is complete
	at    int        // where it is in the heap of an appliedWatch, plus one; 0: nowhere
	Err   error
}

// NewRead returns a call that may be used.
func NewRead() *Read { return &Read{Call: NewCall()} }

// Applied holds the callers that wait until an index is applied. The applier's way past it is
// one store and one load per entry while nobody is due.
type Applied struct {
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

// Start makes i the index that is applied. It comes before everything else.
func (a *Applied) Start(i raft.Index) {
	a.applied.Store(uint64(i))
	a.wanted.Store(nobodyWaits)
}

// Index returns the last index that is applied.
func (a *Applied) Index() raft.Index { return raft.Index(a.applied.Load()) }

// Advance is called by the applier alone, with rising indexes.
func (a *Applied) Advance(i raft.Index) {
	a.applied.Store(uint64(i))
	if a.wanted.Load() <= uint64(i) {
		a.mu.Lock()
		a.completeDue()
		a.mu.Unlock()
	}
}

// completeDue runs with the lock held.
func (a *Applied) completeDue() {
	for len(a.waiting) > 0 && a.waiting[0].Until <= a.Index() {
		r := heap.Pop(&a.waiting).(*Read)
		r.Err = nil
		r.Complete()
	}
	a.note()
}

func (a *Applied) note() {
	if len(a.waiting) == 0 {
		a.wanted.Store(nobodyWaits)
		return
	}
	a.wanted.Store(uint64(a.waiting[0].Until))
}

// Add completes r when r.Until is applied, maybe at once. Where it can't be added the reason is
// returned.
func (a *Applied) Add(r *Read) error {
	if r.Until <= a.Index() {
		r.Err = nil
		r.Complete()
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed != nil {
		return a.closed
	}
	if r.Abandoned() {
		return nil
	}
	heap.Push(&a.waiting, r)
	a.note()
	a.completeDue()
	return nil
}

// Forget takes an abandoned call out, if it is in.
func (a *Applied) Forget(r *Read) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.at > 0 {
		heap.Remove(&a.waiting, r.at-1)
		a.note()
	}
}

// Close completes everybody with an error.
func (a *Applied) Close(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = cause
	for _, r := range a.waiting {
		r.at, r.Err = 0, cause
		r.Complete()
	}
	a.waiting = nil
	a.note()
}

// readHeap is ordered by the index waited for; each call knows its position plus one, 0 being none.
type readHeap []*Read

func (h readHeap) Len() int           { return len(h) }
func (h readHeap) Less(i, j int) bool { return h[i].Until < h[j].Until }
func (h readHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i+1, j+1
}
func (h *readHeap) Push(x any) {
	r := x.(*Read)
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
