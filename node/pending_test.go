package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

func TestUnplacedListIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u unplacedList
		model := map[uint64]*waiter{}
		var ids []uint64
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				for range rapid.IntRange(1, 3*compactAt).Draw(t, "n") {
					w := &waiter{}
					id := u.add(w)
					if model[id] != nil {
						t.Fatalf("id %d was given before", id)
					}
					model[id] = w
					ids = append(ids, id)
				}
				continue
			}
			for range rapid.IntRange(0, len(ids)).Draw(t, "n") { // mostly in order, as the core answers
				i := min(rapid.SampledFrom([]int{0, 0, 0, 1, 7}).Draw(t, "i"), len(ids)-1)
				if w := u.remove(ids[i]); w != model[ids[i]] {
					t.Fatalf("id %d has another waiter", ids[i])
				}
				delete(model, ids[i])
				ids = slices.Delete(ids, i, i+1)
			}
			if u.len() != len(ids) {
				t.Fatalf("length is %d, want %d", u.len(), len(ids))
			}
		}
		left := u.drain()
		if len(left) != len(ids) || u.len() != 0 {
			t.Fatalf("%d are left, want %d", len(left), len(ids))
		}
		for i, w := range left {
			if w != model[ids[i]] {
				t.Fatalf("id %d has another waiter", ids[i])
			}
		}
	})
}

func TestPlacedListIsSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p placedList
		var model []*waiter // in order of index, and of coming
		take := func(until raft.Index) {
			for len(model) > 0 && model[0].at.Index <= until {
				if w := p.next(until); w != model[0] {
					t.Fatalf("wrong waiter up to index %d", until)
				}
				model = model[1:]
			}
			if w := p.next(until); w != nil {
				t.Fatalf("one too many up to index %d", until)
			}
		}
		next := raft.Index(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				take(raft.Index(rapid.Uint64Range(0, uint64(next)).Draw(t, "until")))
			case 1:
				term := raft.Term(rapid.Uint64Range(1, 3).Draw(t, "term"))
				above := raft.Index(rapid.Uint64Range(0, uint64(next)).Draw(t, "above"))
				gone := func(w *waiter) bool { return w.at.Term <= term && w.at.Index > above }
				var want []*waiter
				for _, w := range model {
					if gone(w) {
						want = append(want, w)
					}
				}
				model = slices.DeleteFunc(model, gone)
				if got := p.lose(term, above); !slices.Equal(got, want) {
					t.Fatalf("lost %d, want %d", len(got), len(want))
				}
			default:
				w := &waiter{at: raft.LogID{Term: raft.Term(rapid.Uint64Range(1, 3).Draw(t, "term"))}}
				next += raft.Index(rapid.Uint64Range(1, 3).Draw(t, "gap"))
				back := rapid.SampledFrom([]raft.Index{0, 0, 0, 0, 2, 20}).Draw(t, "back")
				w.at.Index = next - min(back, next)
				p.add(w)
				model = append(model, w)
				slices.SortStableFunc(model, func(a, b *waiter) int {
					return cmp.Compare(a.at.Index, b.at.Index)
				})
			}
		}
		if left := p.drain(); !slices.Equal(left, model) {
			t.Fatalf("%d are left, want %d", len(left), len(model))
		}
	})
}

func TestReadGroups(t *testing.T) {
	var g readGroups
	var calls [6]*readCall
	for i := range calls {
		calls[i] = &readCall{}
	}
	first, second, third := g.add(calls[:2]), g.add(calls[2:3]), g.add(calls[3:])
	got := g.remove(second)
	require.Equal(t, calls[2:3], got)
	g.reuse(got)
	require.Equal(t, calls[:2], g.remove(first))
	fourth := g.add(calls[:1])
	require.Equal(t, calls[3:], g.remove(third))
	require.Equal(t, calls[:1], g.drain())
	require.NotContains(t, []uint64{first, second, third}, fourth)
}

func TestInboxIsBounded(t *testing.T) {
	heartbeat := raft.Message{Body: &raft.Heartbeat{}}
	bulk := func(bytes int) raft.Message {
		return raft.Message{Body: &raft.AppendEntries{Entries: []raft.Entry{{Data: make([]byte, bytes)}}}}
	}
	in := inbox{wake: make(chan struct{}, 1)}
	dropped := in.receive([]raft.Message{bulk(maxInboxBulkBytes * 2), heartbeat, bulk(1), heartbeat})
	require.Equal(t, 1, dropped, "one large message is taken, and what is no bulk")
	require.Len(t, in.wake, 1)
	<-in.wake
	require.Zero(t, in.receive([]raft.Message{heartbeat}))
	require.Empty(t, in.wake, "the loop is awake already")
	var w work
	in.take(&w)
	require.Len(t, w.messages, 4)
	require.Zero(t, in.receive([]raft.Message{bulk(1)}), "there is room again")
	in.take(&w)

	many := make([]raft.Message, maxInboxMessages+5)
	for i := range many {
		many[i] = heartbeat
	}
	require.Equal(t, 5, in.receive(many))
	in.close(raft.ErrStopped)
	require.Equal(t, 1, in.receive([]raft.Message{heartbeat}))
	require.ErrorIs(t, in.propose(&waiter{}), raft.ErrStopped)
	require.ErrorIs(t, in.read(&readCall{}), raft.ErrStopped)
	propose := raft.Message{Body: &raft.Propose{Commands: []raft.Command{{Data: make([]byte, 10)}}}}
	require.Equal(t, raft.FrameHead+10, bulkBytes(&propose))
}

func newReadCall(until raft.Index) *readCall {
	return &readCall{call: call{ready: make(chan struct{}, 1)}, until: until}
}

func TestAppliedWatch(t *testing.T) {
	var a appliedWatch
	a.start(5)
	due, near, far, gone := newReadCall(5), newReadCall(7), newReadCall(9), newReadCall(8)
	for _, r := range []*readCall{due, far, gone, near} {
		require.NoError(t, a.add(r))
	}
	require.Len(t, due.ready, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, gone.wait(ctx), context.Canceled)
	a.forget(gone)
	a.forget(gone)
	require.Len(t, a.waiting, 2)
	abandoned := newReadCall(8)
	require.Error(t, abandoned.wait(ctx))
	require.NoError(t, a.add(abandoned))
	require.Len(t, a.waiting, 2)
	a.advance(7)
	require.Len(t, near.ready, 1)
	require.Empty(t, far.ready)
	cause := errors.New("cause")
	a.close(cause)
	require.NoError(t, far.wait(ctx))
	require.Equal(t, cause, far.err)
	require.Equal(t, cause, a.add(newReadCall(100)))
	require.Empty(t, gone.ready)
}

// TestAppliedWatchForgetsNobody has readers and an applier race.
func TestAppliedWatchForgetsNobody(t *testing.T) {
	var a appliedWatch
	a.start(0)
	const last = 20_000
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			for i := a.index(); i < last; i = a.index() {
				r := newReadCall(min(i+raft.Index(reader), last))
				require.NoError(t, a.add(r))
				<-r.ready
				require.GreaterOrEqual(t, a.index(), r.until)
			}
		})
	}
	for i := range raft.Index(last) {
		a.advance(i + 1)
	}
	readers.Wait()
}

// TestAttach gives a committed entry to those that wait at its index.
func TestAttach(t *testing.T) {
	n := newNode(Options{Group: "g"}.withDefaults())
	l := &loop{Node: n}
	at := func(term raft.Term, i raft.Index) *waiter {
		w := n.newWaiter([]byte("x"), applyOptions{})
		n.pending.Add(w.charge)
		w.at = raft.LogID{Term: term, Index: i}
		l.placed.add(w)
		return w
	}
	mine, other, below, next := at(2, 5), at(1, 5), at(1, 4), at(2, 6)
	require.Equal(t, mine, l.attach(raft.LogID{Term: 2, Index: 5}))
	for _, w := range []*waiter{other, below} {
		require.NoError(t, w.wait(t.Context()))
		require.ErrorIs(t, w.err, raft.ErrLeadershipLost)
		require.Equal(t, raft.NotAppended, raft.OutcomeOf(w.err))
	}
	require.Nil(t, l.attach(raft.LogID{Term: 2, Index: 5}))
	require.Equal(t, next, l.attach(raft.LogID{Term: 2, Index: 6}))
	mine.Applied(mine.at, "value", nil)
	next.Applied(next.at, nil, &raft.Error{Op: "apply", Outcome: raft.Committed, Err: raft.ErrStopped})
	require.Equal(t, Result{Index: 5, Term: 2, Value: "value"}, mine.result)
	require.EqualError(t, next.err, "raft: apply in group g: stopped; committed")
	require.Zero(t, n.pending.Load())
}

// TestLateWaiter lets the leader's answer come after the entry was given to the applier.
func TestLateWaiter(t *testing.T) {
	n := newNode(Options{Group: "g"}.withDefaults())
	l := &loop{Node: n, given: 7}
	w := n.newWaiter(make([]byte, 2*keptCommandBytes), applyOptions{})
	l.place(&core.Placed{ID: l.unplaced.add(w), At: raft.LogID{Term: 1, Index: 7}})
	require.Equal(t, []fsm.Late{{At: raft.LogID{Term: 1, Index: 7}, Waiter: w}}, l.applying.Late)
	require.Empty(t, l.placed.drain())
	require.Nil(t, w.command, "a large buffer is not kept")
	early := n.newWaiter(nil, applyOptions{})
	l.place(&core.Placed{ID: l.unplaced.add(early), At: raft.LogID{Term: 1, Index: 8}})
	require.Equal(t, []*waiter{early}, l.placed.drain())
	for unknown, outcome := range map[bool]raft.Outcome{true: raft.Unknown, false: raft.NotAppended} {
		w := n.newWaiter(nil, applyOptions{})
		l.place(&core.Placed{ID: l.unplaced.add(w), Err: raft.ErrBusy, Unknown: unknown})
		require.Equal(t, outcome, raft.OutcomeOf(w.err))
	}
	require.Zero(t, l.unplaced.len())
}

func TestCallbacksAreBounded(t *testing.T) {
	n := newNode(Options{}.withDefaults())
	gate, entered := make(chan struct{}), make(chan struct{})
	called := 0
	refused := func(done func(Result, error)) {
		w := n.newWaiter(nil, applyOptions{})
		w.charge, w.done = 0, done
		n.callbacks.add(n, w)
	}
	refused(func(Result, error) { close(entered); <-gate })
	<-entered
	var queued atomic.Int64
	for range maxUnadmitted {
		refused(func(Result, error) { queued.Add(1) })
	}
	require.Zero(t, queued.Load())
	refused(func(Result, error) { called++ })
	require.Equal(t, 1, called, "the queue is full, so it is called at once")
	drained := n.callbacks.drained()
	close(gate)
	<-drained
	require.Equal(t, int64(maxUnadmitted), queued.Load())
	<-n.callbacks.drained()
}
