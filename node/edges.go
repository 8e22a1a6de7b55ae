package node

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// The edges touch the world for the loop. Handing them work never waits.

// errEdgeEnded is the fault if code called by an edge or the loop ends its goroutine
// (runtime.Goexit).
var errEdgeEnded = errors.New("node: a goroutine of the member was ended by code that it called")

// writer is the queue to the goroutine that makes writes durable. It copies the entries, because
// the core's slices change when the log is truncated.
type writer struct {
	wake    chan struct{} // capacity 1
	ended   chan struct{} // closed when the goroutine has ended
	mu      sync.Mutex
	items   []logmanager.Write
	entries []raft.Entry // what items refer to
}

func newWriter() writer {
	return writer{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (w *writer) add(one logmanager.Write) {
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
func (w *writer) take(items []logmanager.Write, entries []raft.Entry) (
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

// run carries out the writes in order; what came while the last were written is the next batch,
// which is all there is to group commit. After an error the member fails: what a failed sync left
// on disk can't be known, so nothing is tried again.
func (n *Node) runWriter() {
	defer close(n.writer.ended)
	defer n.end(errEdgeEnded)
	defer n.catch("writer")
	var items []logmanager.Write
	var entries []raft.Entry
	for {
		select {
		case <-n.ending:
			return
		case <-n.writer.wake:
		}
		// The messages of the same turn leave first: followers wait for them, and a sync keeps others
		// from running for a while. Twice, because gRPC's writer yields, too, before it writes.
		runtime.Gosched()
		runtime.Gosched()
		if items, entries = n.writer.take(items, entries); len(items) == 0 {
			continue
		}
		if err := n.store.Write(items); err != nil {
			n.end(fmt.Errorf("node: write to the log: %w", err))
			return
		}
		n.inbox.setWritten(items[len(items)-1].Seq)
	}
}

// reader is the queue to the goroutine that reads old entries. The core has one fetch for each peer
// under way at most, which bounds it.
type reader struct {
	wake  chan struct{} // capacity 1
	ended chan struct{} // closed when the goroutine has ended
	mu    sync.Mutex
	items []core.Fetch
}

func newReader() reader {
	return reader{wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (r *reader) add(f core.Fetch) {
	r.mu.Lock()
	r.items = append(r.items, f)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reader) take() []core.Fetch {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := r.items
	r.items = nil
	return items
}

// runReader answers fetches. What was truncated meanwhile is simply not there; the core decides
// afresh.
func (n *Node) runReader() {
	defer close(n.reader.ended)
	defer n.end(errEdgeEnded)
	defer n.catch("reader")
	for {
		select {
		case <-n.ending:
			return
		case <-n.reader.wake:
		}
		for _, f := range n.reader.take() {
			entries, err := n.store.Read(n.opts.Group, f.Lo, f.Hi, f.MaxBytes, nil)
			if errors.Is(err, raft.ErrCompacted) {
				entries, err = nil, nil // a snapshot took their place meanwhile
			}
			if err != nil {
				n.end(fmt.Errorf("node: read entries %d to %d of the log: %w", f.Lo, f.Hi, err))
				return
			}
			n.inbox.addFetched(fetched{f.Peer, entries})
		}
	}
}
