package agenda

import "time"

// Event is something that happens at a virtual time. The sequence number breaks ties, so the
// order never depends on a map or on an address.
type Event struct {
	At  time.Duration
	seq uint64
	Run func()
}

// Queue is the heap of the events to come, the earliest first.
type Queue struct {
	heap []Event
	seq  uint64
}

func (q *Queue) less(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.At < b.At || (a.At == b.At && a.seq < b.seq)
}

// Push adds an event.
func (q *Queue) Push(at time.Duration, run func()) {
	q.seq++
	q.heap = append(q.heap, Event{at, q.seq, run})
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// Pop removes and returns the earliest event; false: there is none up to the deadline.
func (q *Queue) Pop(deadline time.Duration) (Event, bool) {
	if len(q.heap) == 0 || q.heap[0].At > deadline {
		return Event{}, false
	}
	first, last := q.heap[0], len(q.heap)-1
	q.heap[0] = q.heap[last]
	q.heap[last] = Event{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		least := i
		for _, kid := range [2]int{2*i + 1, 2*i + 2} {
			if kid < last && q.less(kid, least) {
				least = kid
			}
		}
		if least == i {
			return first, true
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
