// Package edge holds what touches the world for a member's loop: the goroutines that write and read
// the log's store, and the sending of messages. Handing them work never waits; they report through
// functions.
package edge

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// ErrEnded is the fault if code called by an edge or the loop ends its goroutine (runtime.Goexit).
var ErrEnded = errors.New("node: a goroutine of the member was ended by code that it called")

// Store is the log's store, and the member that it is used for.
type Store struct {
	Store  logmanager.Store
	Group  raft.GroupID
	Ending <-chan struct{}  // closed when the goroutines are to end
	Fail   func(error)      // fails the member; the first call counts
	Catch  func(who string) // deferred: makes a panic the member's fault
}

// Writer is the queue to the goroutine that makes writes durable. It copies the entries, because
// the core's slices change when the log is truncated.
type Writer struct {
	wake    chan struct{} // capacity 1
	ended   chan struct{} // closed when the goroutine has ended
	mu      sync.Mutex
	items   []logmanager.Write
	entries []raft.Entry // what items refer to
}

// NewWriter returns a writer that [Writer.Run] is to run.
func NewWriter() Writer {
	return Writer{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Ended is closed when Run has returned.
func (w *Writer) Ended() <-chan struct{} { return w.ended }

// Add queues a write.
func (w *Writer) Add(one logmanager.Write) {
	w.mu.Lock()
	from := len(w.entries)
	w.entries = append(w.entries, one.Entries...)
	one.Entries = w.entries[from:len(w.entries):len(w.entries)]
	w.items = append(w.items, one)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take moves everything into items and entries, whose memory is used for what comes next.
func (w *Writer) take(items []logmanager.Write, entries []raft.Entry) (
	[]logmanager.Write, []raft.Entry,
) {
	clear(items)
	clear(entries)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items, items = items[:0], w.items
	w.entries, entries = entries[:0], w.entries
	return items, entries
}

// Run carries out the writes in order, and reports each batch; what came while the last were
// written is the next batch, which is all there is to group commit. After an error the member
// fails: what a failed sync left on disk can't be known, so nothing is tried again.
func (w *Writer) Run(s Store, written func(seq uint64)) {
	defer close(w.ended)
	defer s.Fail(ErrEnded)
	defer s.Catch("writer")
	var items []logmanager.Write
	var entries []raft.Entry
	for {
		select {
		case <-s.Ending:
			return
		case <-w.wake:
		}
		// The messages of the same turn leave first: followers wait for them, and a sync keeps others
		// from running for a while. Twice, because gRPC's writer yields, too, before it writes.
		runtime.Gosched()
		runtime.Gosched()
		if items, entries = w.take(items, entries); len(items) == 0 {
			continue
		}
		if err := s.Store.Write(items); err != nil {
			s.Fail(fmt.Errorf("node: write to the log: %w", err))
			return
		}
		written(items[len(items)-1].Seq)
	}
}

// Reader is the queue to the goroutine that reads old entries. The core has one fetch for each peer
// under way at most, which bounds it.
type Reader struct {
	wake  chan struct{} // capacity 1
	ended chan struct{} // closed when the goroutine has ended
	mu    sync.Mutex
	items []core.Fetch
}

// NewReader returns a reader that [Reader.Run] is to run.
func NewReader() Reader {
	return Reader{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Ended is closed when Run has returned.
func (r *Reader) Ended() <-chan struct{} { return r.ended }

// Add queues a fetch.
func (r *Reader) Add(f core.Fetch) {
	r.mu.Lock()
	r.items = append(r.items, f)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Reader) take() []core.Fetch {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := r.items
	r.items = nil
	return items
}

// Run answers fetches. What was truncated meanwhile is simply not there; the core decides
// afresh.
func (r *Reader) Run(s Store, fetched func(peer raft.PeerID, entries []raft.Entry)) {
	defer close(r.ended)
	defer s.Fail(ErrEnded)
	defer s.Catch("reader")
	for {
		select {
		case <-s.Ending:
			return
		case <-r.wake:
		}
		for _, f := range r.take() {
			entries, err := s.Store.Read(s.Group, f.Lo, f.Hi, f.MaxBytes, nil)
			if errors.Is(err, raft.ErrCompacted) {
				entries, err = nil, nil // a snapshot took their place meanwhile
			}
			if err != nil {
				s.Fail(fmt.Errorf("node: read entries %d to %d of the log: %w", f.Lo, f.Hi, err))
				return
			}
			fetched(f.Peer, entries)
		}
	}
}
