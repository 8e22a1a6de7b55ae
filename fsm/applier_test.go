package fsm

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a state machine that writes down what it is told.
type recorder struct {
	StateMachine
	events []string
	fail   func(e raft.Entry)
}

func (r *recorder) note(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

func (r *recorder) Apply(e raft.Entry) any {
	if r.fail != nil {
		r.fail(e)
	}
	r.note("%d", e.Index)
	return int(e.Index)
}
func (r *recorder) OnLeaderStart(t raft.Term)            { r.note("start %d", t) }
func (r *recorder) OnLeaderStop(cause error)             { r.note("stop %v", cause) }
func (r *recorder) OnConfiguration(c raft.Configuration) { r.note("conf %d %v", c.Index, &c) }

// batcher takes commands in batches.
type batcher struct {
	recorder
	err error
}

func (b *batcher) ApplyBatch(batch *Batch) error {
	first, last := batch.Entries[0].Index, batch.Entries[len(batch.Entries)-1].Index
	for i, e := range batch.Entries {
		if b.fail != nil {
			b.fail(e)
		}
		if e.Index%2 == 0 {
			batch.SetResult(i, int(e.Index))
		}
	}
	if b.err != nil {
		return b.err
	}
	b.note("%d-%d", first, last)
	return nil
}

// told is what a waiter was told.
type told struct {
	at    raft.LogID
	value any
	err   error
	calls int
}

func (w *told) Applied(at raft.LogID, value any, err error) {
	w.at, w.value, w.err = at, value, err
	w.calls++
}

// entries makes commands of one term from index lo to hi, each with a waiter.
func entries(term raft.Term, lo, hi raft.Index) (list []raft.Entry, ws []Waiter, all []*told) {
	for i := lo; i <= hi; i++ {
		list = append(list, raft.Entry{Term: term, Index: i, Kind: raft.EntryCommand})
		all = append(all, &told{})
		ws = append(ws, all[len(all)-1])
	}
	return list, ws, all
}

func configuration(term raft.Term, i raft.Index) raft.Entry {
	c := raft.Configuration{Voters: []raft.Peer{{ID: "a", Addr: "a:1"}}}
	data := raft.EncodeConfiguration(c)
	return raft.Entry{Term: term, Index: i, Kind: raft.EntryConfiguration, Data: data}
}

func TestApplyInOrder(t *testing.T) {
	m := &recorder{}
	a := NewApplier(m, 0)
	var progress []raft.Index
	a.Progress = func(i raft.Index) { progress = append(progress, i) }
	list, ws, all := entries(1, 1, 4)
	list[0] = configuration(0, 1)
	list[2].Kind = raft.EntryNoop
	ws[3] = nil
	require.NoError(t, a.Apply(list, ws))
	require.Equal(t, []string{"conf 1 voters [a]", "2", "4"}, m.events)
	require.Equal(t, []raft.Index{1, 2, 3, 4}, progress)
	require.Equal(t, raft.Index(4), a.Applied())
	require.Equal(t, told{raft.LogID{Term: 1, Index: 2}, 2, nil, 1}, *all[1])
	require.Equal(t, told{raft.LogID{Term: 1, Index: 3}, nil, nil, 1}, *all[2])
	require.Zero(t, all[3].calls)
}

func TestGapOrRepetitionFails(t *testing.T) {
	for _, from := range []raft.Index{3, 1, 2} {
		for _, m := range []StateMachine{&recorder{}, &batcher{}} {
			a := NewApplier(m, 0)
			first, none, _ := entries(1, 1, 2)
			require.NoError(t, a.Apply(first, none))
			list, ws, all := entries(1, from, from)
			list[0].Index = map[raft.Index]raft.Index{3: 4, 1: 1, 2: 2}[from]
			require.ErrorContains(t, a.Apply(list, ws), "to apply after entry 2")
			require.ErrorIs(t, all[0].err, raft.ErrFailed)
			require.Equal(t, raft.Index(2), a.Applied())
		}
	}
	a := NewApplier(&batcher{}, 0) // a gap within a batch
	list, ws, all := entries(1, 1, 3)
	list[2].Index = 4
	require.ErrorContains(t, a.Apply(list, ws), "got entry 4 to apply after entry 2")
	require.NoError(t, all[1].err)
	require.Error(t, all[2].err)
}

func TestBadConfigurationFails(t *testing.T) {
	a := NewApplier(&recorder{}, 0)
	bad := configuration(1, 1)
	bad.Data = []byte("no configuration")
	require.ErrorContains(t, a.Apply([]raft.Entry{bad}, []Waiter{nil}), "configuration at index 1")
	require.Zero(t, a.Applied())
}

func TestPanicCountsNothingAsApplied(t *testing.T) {
	boom := func(e raft.Entry) {
		if e.Index == 3 {
			panic("boom")
		}
	}
	for name, test := range map[string]struct {
		machine StateMachine
		applied raft.Index
		at      string
	}{
		"singly": {&recorder{fail: boom}, 2, "at index 3: boom"},
		"batch":  {&batcher{recorder: recorder{fail: boom}}, 0, "at index 1: boom"},
		"error":  {&batcher{err: errors.New("boom")}, 0, "batch of 4 commands from index 1 on: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			a := NewApplier(test.machine, 0)
			list, ws, all := entries(1, 1, 4)
			err := a.Apply(list, ws)
			require.ErrorContains(t, err, test.at)
			require.Equal(t, test.applied, a.Applied())
			for i, w := range all {
				require.Equal(t, 1, w.calls)
				if raft.Index(i) < test.applied {
					require.NoError(t, w.err)
					continue
				}
				require.ErrorIs(t, w.err, raft.ErrFailed)
				require.Equal(t, raft.Committed, raft.OutcomeOf(w.err))
				require.ErrorContains(t, w.err, "is committed; this member's state machine failed on it")
			}
			list, ws, all = entries(1, a.Applied()+1, a.Applied()+1)
			require.Equal(t, err, a.Apply(list, ws), "the failure is final")
			require.Equal(t, raft.Committed, raft.OutcomeOf(all[0].err))
		})
	}
}

func TestBatches(t *testing.T) {
	m := &batcher{}
	a := NewApplier(m, 0)
	list, ws, all := entries(1, 1, 2500)
	list[9].Kind = raft.EntryNoop
	list[19] = configuration(1, 20)
	list[29].Data = make([]byte, batchBytes+1) // alone
	list[30].Data = make([]byte, batchBytes)
	require.NoError(t, a.Apply(list, ws))
	require.Equal(t, []string{"1-9", "11-19", "conf 20 voters [a]", "21-29", "30-30", "31-1054",
		"1055-2078", "2079-2500"}, m.events)
	for i, w := range all {
		index := raft.Index(i + 1)
		var want any
		if index%2 == 0 && index != 10 && index != 20 {
			want = int(index)
		}
		require.Equal(t, told{raft.LogID{Term: 1, Index: index}, want, nil, 1}, *w)
	}
}

func TestLeaderWatcher(t *testing.T) {
	m := &recorder{}
	a := NewApplier(m, 0)
	apply := func(term raft.Term, i raft.Index) {
		list, ws, _ := entries(term, i, i)
		require.NoError(t, a.Apply(list, ws))
	}
	require.NoError(t, a.Lead(2, nil))
	apply(1, 1) // of an earlier leader: not yet
	apply(2, 2)
	apply(2, 3)
	require.NoError(t, a.Lead(0, errors.New("gone")))
	require.NoError(t, a.Lead(0, errors.New("gone")))
	require.NoError(t, a.Lead(4, nil))
	require.NoError(t, a.Lead(0, errors.New("gone"))) // before it started
	apply(4, 4)
	require.NoError(t, a.Lead(6, nil))
	apply(6, 5)
	require.NoError(t, a.Lead(8, nil)) // what was between was left out
	apply(8, 6)
	require.Equal(t, []string{"1", "2", "start 2", "3", "stop gone", "4", "5", "start 6",
		"stop " + raft.ErrLeadershipLost.Error(), "6", "start 8"}, m.events)
}

func TestLateWaiters(t *testing.T) {
	a := NewApplier(&recorder{}, 0)
	apply := func(term raft.Term, lo, hi raft.Index) {
		list, ws, _ := entries(term, lo, hi)
		require.NoError(t, a.Apply(list, ws))
	}
	answer := func(term raft.Term, i raft.Index) *told {
		w := &told{}
		a.Answer(raft.LogID{Term: term, Index: i}, w)
		require.Equal(t, 1, w.calls)
		return w
	}
	failed := func(w *told, is error, o raft.Outcome) {
		require.Error(t, w.err)
		require.Equal(t, o, raft.OutcomeOf(w.err))
		if is != nil {
			require.ErrorIs(t, w.err, is)
		}
	}
	apply(1, 1, 10)
	failed(answer(1, 5), nil, raft.Committed) // its result was not kept
	failed(answer(2, 5), raft.ErrLeadershipLost, raft.NotAppended)
	a.KeepResults(true)
	apply(1, 11, 20)
	apply(3, 21, 30)
	require.Equal(t, 15, answer(1, 15).value)
	require.Equal(t, 25, answer(3, 25).value)
	failed(answer(1, 25), raft.ErrLeadershipLost, raft.NotAppended)
	apply(3, 31, 30+keptResults)
	failed(answer(3, 30), nil, raft.Committed)
	require.Equal(t, 31, answer(3, 31).value)
	a.KeepResults(false)
	failed(answer(3, 31), nil, raft.Committed)
	require.Equal(t, make([]kept, keptResults), a.history.ring, "nothing of the user's is kept")

	next := a.Applied() + 1
	for i := range raft.Index(2 * keptRuns) {
		apply(raft.Term(10+i), next+i, next+i)
	}
	failed(answer(1, 5), nil, raft.Unknown) // so long ago that the term is forgotten
	failed(answer(1, a.Applied()+1), raft.ErrStopped, raft.Unknown)
}

// TestHistoryIsThatOfAMap checks the bounded history against one that forgets nothing.
func TestHistoryIsThatOfAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h history
		type fact struct {
			term raft.Term
			kept bool
		}
		all := map[raft.Index]fact{}
		term, i := raft.Term(1), raft.Index(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				term++
			case 1:
				h.keep(rapid.Bool().Draw(t, "keep"))
				if !h.keeping {
					for i, f := range all {
						all[i] = fact{f.term, false}
					}
				}
			default:
				for range rapid.IntRange(1, 500).Draw(t, "n") {
					i++
					h.add(raft.LogID{Term: term, Index: i}, i)
					all[i] = fact{term, h.keeping}
				}
			}
		}
		for at, f := range all {
			value, known, found := h.lookup(raft.LogID{Term: f.term, Index: at})
			if known != (f.kept && i-at < keptResults) || known && value != at {
				t.Fatalf("index %d: known %v, value %v", at, known, value)
			}
			if found != f.term && found != 0 {
				t.Fatalf("index %d: term %d, want %d", at, found, f.term)
			}
			if _, known, _ := h.lookup(raft.LogID{Term: f.term + 1, Index: at}); known {
				t.Fatalf("index %d is known in another term", at)
			}
		}
	})
}

// waiting is a waiter that can be waited for.
type waiting chan told

func (w waiting) Applied(at raft.LogID, value any, err error) { w <- told{at, value, err, 1} }

func TestLoop(t *testing.T) {
	m := &recorder{}
	reported := make(chan struct{}, 100)
	l := StartLoop(NewApplier(m, 0), func() { reported <- struct{}{} }, func(error) {})
	w := make(waiting, 10)
	list, _, _ := entries(1, 1, 2)
	l.Give(&Work{Entries: list, Waiters: []Waiter{w, w}, Leads: 1, Keep: true})
	require.Equal(t, 1, (<-w).value)
	require.Equal(t, 2, (<-w).value)
	<-reported
	// Results are no longer to be kept, but just now they were.
	l.Give(&Work{Late: []Late{{raft.LogID{Term: 1, Index: 2}, w}}, Leads: 1})
	require.Equal(t, 2, (<-w).value)
	l.Stop(raft.ErrStopped)
	l.Stop(errors.New("again"))
	<-l.Ended()
	require.Equal(t, []string{"1", "start 1", "2", "stop stopped"}, m.events)
}

func TestLoopKeepsResultsOfWorkGivenAtOnce(t *testing.T) {
	gate := make(chan struct{})
	m := &recorder{fail: func(e raft.Entry) {
		if e.Index == 1 {
			<-gate
		}
	}}
	l := StartLoop(NewApplier(m, 0), func() {}, func(error) {})
	w := make(waiting, 10)
	list, _, _ := entries(1, 1, 3)
	l.Give(&Work{Entries: list[:1], Waiters: []Waiter{nil}})
	l.Give(&Work{Entries: list[1:], Waiters: []Waiter{nil, nil}, Keep: true})
	l.Give(&Work{Late: []Late{{raft.LogID{Term: 1, Index: 3}, w}}})
	close(gate)
	require.Equal(t, 3, (<-w).value)
	l.Stop(raft.ErrStopped)
	<-l.Ended()
}

// stopped stops the loop and tells those that it returns.
func stopped(l *Loop, cause error) {
	waiters, late := l.Stop(cause)
	for _, w := range waiters {
		w.Applied(raft.LogID{}, nil, &raft.Error{Outcome: raft.Committed, Err: cause})
	}
	for _, one := range late {
		one.Waiter.Applied(one.At, nil, &raft.Error{Outcome: raft.Unknown, Err: cause})
	}
}

func TestLoopStopsBetweenEntries(t *testing.T) {
	gate, entered := make(chan struct{}), make(chan struct{})
	m := &recorder{fail: func(e raft.Entry) {
		if e.Index == 2 {
			close(entered)
			<-gate
		}
	}}
	l := StartLoop(NewApplier(m, 0), func() {}, func(error) {})
	w, second, third, fourth := make(waiting, 10), &told{}, &told{}, &told{}
	list, _, _ := entries(1, 1, 5)
	first := Late{raft.LogID{Term: 1, Index: 1}, &told{}}
	l.Give(&Work{Entries: list[:4], Waiters: []Waiter{w, second, nil, third}, Late: []Late{first}})
	<-entered
	fifth := Late{raft.LogID{Term: 1, Index: 5}, &told{}}
	l.Give(&Work{Entries: list[4:], Waiters: []Waiter{fourth}, Late: []Late{fifth}})
	waiters, late := l.Stop(errors.New("cause"))
	require.Equal(t, []Waiter{second, third, fourth}, waiters)
	require.Equal(t, []Late{first, fifth}, late)
	waiters, late = l.Stop(errors.New("again"))
	require.Empty(t, waiters)
	require.Empty(t, late)
	close(gate)
	<-l.Ended()
	require.NoError(t, (<-w).err)
	require.Empty(t, w)
	for _, untold := range []*told{second, third, fourth} {
		require.Zero(t, untold.calls)
	}
	require.Equal(t, []string{"1", "2"}, m.events)
}

// counted is a waiter that both the loop and whoever stops it may tell, for the race detector.
type counted struct{ calls int }

func (c *counted) Applied(raft.LogID, any, error) { c.calls++ }

func TestLoopToldOnceWhileStopped(t *testing.T) {
	for round := range 300 {
		const size = 64
		halfway, applied := make(chan struct{}), 0
		m := &recorder{fail: func(raft.Entry) {
			if applied++; applied == round%size+1 {
				close(halfway)
			}
		}}
		l := StartLoop(NewApplier(m, 0), func() {}, func(error) {})
		list, _, _ := entries(1, 1, size)
		var all []*counted
		for i := range list {
			w, late := &counted{}, &counted{}
			all = append(all, w, late)
			l.Give(&Work{Entries: list[i : i+1], Waiters: []Waiter{w},
				Late: []Late{{list[i].ID(), late}}})
		}
		<-halfway
		stopped(l, raft.ErrStopped)
		<-l.Ended()
		for _, w := range all {
			require.Equal(t, 1, w.calls)
		}
	}
}

func TestLoopOutlivesItsStateMachine(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic": func() { panic("boom") }, "goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			m := &recorder{fail: func(e raft.Entry) {
				if e.Index == 2 {
					fail()
				}
			}}
			var mu sync.Mutex
			var faults []error
			l := StartLoop(NewApplier(m, 0), func() {}, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, err)
			})
			w := make(waiting, 10)
			list, _, _ := entries(1, 1, 4)
			l.Give(&Work{Entries: list[:3], Waiters: []Waiter{w, w, w}, Leads: 1,
				Late: []Late{{raft.LogID{Term: 1, Index: 3}, w}}})
			require.NoError(t, (<-w).err)
			for range 2 {
				require.Equal(t, raft.Committed, raft.OutcomeOf((<-w).err))
			}
			require.Equal(t, raft.Unknown, raft.OutcomeOf((<-w).err))
			l.Give(&Work{Entries: list[3:], Waiters: []Waiter{w}, Leads: 1})
			stopped(l, raft.ErrFailed)
			<-l.Ended()
			require.Equal(t, raft.Committed, raft.OutcomeOf((<-w).err))
			require.Len(t, faults, 1)
			require.ErrorContains(t, faults[0], "at index 2")
			require.Equal(t, []string{"1", "start 1", "stop " + raft.ErrFailed.Error()}, m.events)
		})
	}
}
