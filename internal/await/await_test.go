package await

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

type waiter struct{ at raft.LogID }

func TestUnplacedIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u Unplaced[waiter]
		model := map[uint64]*waiter{}
		var ids []uint64
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				for range rapid.IntRange(1, 3*compactAt).Draw(t, "n") {
					w := &waiter{}
					id := u.Add(w)
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
				if w := u.Remove(ids[i]); w != model[ids[i]] {
					t.Fatalf("id %d has another waiter", ids[i])
				}
				delete(model, ids[i])
				ids = slices.Delete(ids, i, i+1)
			}
			if u.Len() != len(ids) {
				t.Fatalf("length is %d, want %d", u.Len(), len(ids))
			}
		}
		left := u.Drain()
		if len(left) != len(ids) || u.Len() != 0 {
			t.Fatalf("%d are left, want %d", len(left), len(ids))
		}
		for i, w := range left {
			if w != model[ids[i]] {
				t.Fatalf("id %d has another waiter", ids[i])
			}
		}
	})
}

func TestPlacedIsSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Placed[waiter]
		var model []*waiter // in order of index, and of coming
		take := func(until raft.Index) {
			for len(model) > 0 && model[0].at.Index <= until {
				if w := p.Next(until); w != model[0] {
					t.Fatalf("wrong waiter up to index %d", until)
				}
				model = model[1:]
			}
			if w := p.Next(until); w != nil {
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
				if got := p.Lose(term, above); !slices.Equal(got, want) {
					t.Fatalf("lost %d, want %d", len(got), len(want))
				}
			default:
				w := &waiter{at: raft.LogID{Term: raft.Term(rapid.Uint64Range(1, 3).Draw(t, "term"))}}
				next += raft.Index(rapid.Uint64Range(1, 3).Draw(t, "gap"))
				back := rapid.SampledFrom([]raft.Index{0, 0, 0, 0, 2, 20}).Draw(t, "back")
				w.at.Index = next - min(back, next)
				p.Add(w.at, w)
				model = append(model, w)
				slices.SortStableFunc(model, func(a, b *waiter) int {
					return cmp.Compare(a.at.Index, b.at.Index)
				})
			}
		}
		if left := p.Drain(); !slices.Equal(left, model) {
			t.Fatalf("%d are left, want %d", len(left), len(model))
		}
	})
}

func TestReadGroups(t *testing.T) {
	var g Reads
	var calls [6]*Read
	for i := range calls {
		calls[i] = &Read{}
	}
	first, second, third := g.Add(calls[:2]), g.Add(calls[2:3]), g.Add(calls[3:])
	got := g.Remove(second)
	require.Equal(t, calls[2:3], got)
	g.Reuse(got)
	require.Equal(t, calls[:2], g.Remove(first))
	fourth := g.Add(calls[:1])
	require.Equal(t, calls[3:], g.Remove(third))
	require.Equal(t, calls[:1], g.Drain())
	require.NotContains(t, []uint64{first, second, third}, fourth)
}

func newRead(until raft.Index) *Read {
	r := NewRead()
	r.Until = until
	return r
}

func TestApplied(t *testing.T) {
	var a Applied
	a.Start(5)
	due, near, far, gone := newRead(5), newRead(7), newRead(9), newRead(8)
	for _, r := range []*Read{due, far, gone, near} {
		require.NoError(t, a.Add(r))
	}
	require.Len(t, due.ready, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, gone.Wait(ctx), context.Canceled)
	a.Forget(gone)
	a.Forget(gone)
	require.Len(t, a.waiting, 2)
	abandoned := newRead(8)
	require.Error(t, abandoned.Wait(ctx))
	require.NoError(t, a.Add(abandoned))
	require.Len(t, a.waiting, 2)
	a.Advance(7)
	require.Len(t, near.ready, 1)
	require.Empty(t, far.ready)
	cause := errors.New("cause")
	a.Close(cause)
	require.NoError(t, far.Wait(ctx))
	require.Equal(t, cause, far.Err)
	require.Equal(t, cause, a.Add(newRead(100)))
	require.Empty(t, gone.ready)
}

// TestAppliedForgetsNobody has readers and an applier race.
func TestAppliedForgetsNobody(t *testing.T) {
	var a Applied
	a.Start(0)
	const last = 20_000
	var readers sync.WaitGroup
	for reader := range 4 {
		readers.Go(func() {
			for i := a.Index(); i < last; i = a.Index() {
				r := newRead(min(i+raft.Index(reader), last))
				require.NoError(t, a.Add(r))
				<-r.ready
				require.GreaterOrEqual(t, a.Index(), r.Until)
			}
		})
	}
	for i := range raft.Index(last) {
		a.Advance(i + 1)
	}
	readers.Wait()
}
