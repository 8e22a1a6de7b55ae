package grpctransport

import (
	"sync"

	"github.com/jraft-go/jraft/raft"
)

// queue holds the messages that wait for one stream, bounded by number and bytes.
type queue struct {
	maxBytes int
	wake     chan struct{} // capacity 1: there is something to take

	mu    sync.Mutex
	items []item
	head  int // items before it have been taken
	bytes int
}

// item is a message and the bytes that it takes on the wire, length included.
type item struct {
	msg   raft.Message
	bytes int
}

func newQueue(maxBytes int) *queue {
	return &queue{maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

// push queues a message, or returns false when there is no room.
func (q *queue) push(m *raft.Message, bytes int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items)-q.head >= queueMessages || q.bytes+bytes > q.maxBytes {
		return false
	}
	q.items = append(q.items, item{*m, bytes})
	q.bytes += bytes
	return true
}

// signal wakes whoever takes.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take appends to msgs what fits in limit bytes, or else one message, and returns the bytes taken.
func (q *queue) take(msgs []raft.Message, limit int) ([]raft.Message, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes := 0
	for q.head < len(q.items) {
		it := &q.items[q.head]
		if bytes > 0 && bytes+it.bytes > limit {
			break
		}
		msgs = append(msgs, it.msg)
		bytes += it.bytes
		*it = item{}
		q.head++
	}
	q.bytes -= bytes
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head > queueMessages:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return msgs, bytes
}

// drain drops everything and returns how many messages that were.
func (q *queue) drain() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items) - q.head
	clear(q.items)
	q.items, q.head, q.bytes = q.items[:0], 0, 0
	return n
}

// empty reports whether nothing waits.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items)
}
