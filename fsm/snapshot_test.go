package fsm

import (
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// photo is a snapshot of a recorder.
type photo struct {
	SnapshotReader
	meta raft.SnapshotMeta
}

func (p photo) Meta() raft.SnapshotMeta { return p.meta }

type photographer struct {
	recorder
	saver   Saver
	err     error
	restore func() error
}

func (p *photographer) Snapshot() (Saver, error) { return p.saver, p.err }
func (p *photographer) Restore(r SnapshotReader) error {
	p.note("restore %d", r.Meta().Last.Index)
	if p.restore != nil {
		return p.restore()
	}
	return nil
}

type film struct{ Saver }

func photoAt(last raft.LogID) photo {
	c, err := raft.DecodeConfiguration(2, configuration(1, 2).Data)
	if err != nil {
		panic(err)
	}
	return photo{meta: raft.SnapshotMeta{Last: last, Configuration: c}}
}

func TestPin(t *testing.T) {
	m := &photographer{saver: &film{}}
	a := NewApplier(m, 0)
	_, err := a.Pin()
	require.ErrorContains(t, err, "nothing is applied yet")
	list, ws, _ := entries(3, 1, 4)
	list[1] = configuration(3, 2)
	require.NoError(t, a.Apply(list, ws))
	cut, err := a.Pin()
	require.NoError(t, err)
	require.Equal(t, raft.LogID{Term: 3, Index: 4}, cut.Last)
	require.Equal(t, raft.Index(2), cut.Configuration.Index)
	require.True(t, cut.Configuration.IsVoter("a"))
	require.Equal(t, a.AppliedBytes(), cut.Bytes)
	require.Equal(t, int64(4*raft.FrameHead+len(list[1].Data)), cut.Bytes)
	require.Equal(t, &film{}, cut.Saver)

	m.err = errors.New("boom")
	_, err = a.Pin()
	require.ErrorIs(t, err, m.err)
	m.err, m.saver = nil, nil
	_, err = a.Pin()
	require.ErrorContains(t, err, "neither")
	list, ws, _ = entries(3, 5, 5)
	require.NoError(t, a.Apply(list, ws), "it goes on after errors")
}

func TestRestore(t *testing.T) {
	m := &photographer{saver: &film{}}
	a := NewApplier(m, 0)
	var progress []raft.Index
	a.Progress = func(i raft.Index) { progress = append(progress, i) }
	a.KeepResults(true)
	list, ws, _ := entries(1, 1, 3)
	require.NoError(t, a.Apply(list, ws))
	require.NoError(t, a.Restore(photoAt(raft.LogID{Term: 4, Index: 10})))
	list, ws, _ = entries(5, 11, 11)
	require.NoError(t, a.Apply(list, ws))
	require.Equal(t, []string{"1", "2", "3", "restore 10", "conf 2 voters [a]", "11"}, m.events)
	require.Equal(t, []raft.Index{1, 2, 3, 10, 11}, progress)
	cut, err := a.Pin()
	require.NoError(t, err)
	require.Equal(t, raft.Index(2), cut.Configuration.Index)

	answer := func(term raft.Term, i raft.Index) *told {
		w := &told{}
		a.Answer(raft.LogID{Term: term, Index: i}, w)
		require.Equal(t, 1, w.calls)
		return w
	}
	require.Equal(t, 11, answer(5, 11).value)
	for i := raft.Index(4); i < 10; i++ {
		require.Equal(t, raft.Unknown, raft.OutcomeOf(answer(1, i).err), "entry %d", i)
	}
	require.Equal(t, raft.Committed, raft.OutcomeOf(answer(4, 10).err))
	require.Equal(t, raft.Committed, raft.OutcomeOf(answer(1, 3).err))
	require.Equal(t, raft.NotAppended, raft.OutcomeOf(answer(2, 3).err))
	require.Equal(t, raft.NotAppended, raft.OutcomeOf(answer(3, 10).err))

	err = a.Restore(photoAt(raft.LogID{Term: 5, Index: 11}))
	require.ErrorContains(t, err, "to restore after entry 11")
	require.Equal(t, err, a.Restore(photoAt(raft.LogID{Term: 5, Index: 12})), "the failure is final")
	_, err = a.Pin()
	require.ErrorIs(t, err, raft.ErrFailed)
}

func TestRestoreFails(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("boom") },
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			a := NewApplier(&photographer{restore: fail}, 0)
			require.ErrorContains(t, a.Restore(photoAt(raft.LogID{Term: 1, Index: 10})), "boom")
			list, ws, all := entries(1, 11, 11)
			require.ErrorContains(t, a.Apply(list, ws), "boom")
			require.Error(t, all[0].err)
			require.Zero(t, a.Applied())
		})
	}
}

func TestLoopRestoresInTurn(t *testing.T) {
	gate := make(chan struct{})
	m := &photographer{recorder: recorder{fail: func(e raft.Entry) {
		if e.Index == 1 {
			<-gate
		}
	}}}
	l := StartLoop(NewApplier(m, 0), func() {}, func(error) {})
	w := make(waiting, 10)
	var done []raft.Index
	give := func(lo, hi, restore raft.Index) {
		list, ws, _ := entries(1, lo, hi)
		for i := range ws {
			ws[i] = w
		}
		l.Give(&Work{Entries: list, Waiters: ws, Restore: &Restoration{
			Reader: photoAt(raft.LogID{Term: 1, Index: restore}),
			Done:   func() { done = append(done, restore) },
		}})
	}
	give(1, 1, 10)
	give(11, 12, 20)
	give(21, 20, 30)
	close(gate)
	for _, want := range []int{1, 11, 12} {
		require.Equal(t, want, (<-w).value)
	}
	list, _, _ := entries(1, 31, 31)
	l.Give(&Work{Entries: list, Waiters: []Waiter{w}})
	require.Equal(t, 31, (<-w).value)
	pinned := make(chan raft.LogID, 1)
	m.saver = &film{}
	l.Pin(func(c Cut, err error) {
		require.NoError(t, err)
		pinned <- c.Last
	})
	require.Equal(t, raft.LogID{Term: 1, Index: 31}, <-pinned)
	l.Stop(raft.ErrStopped)
	<-l.Ended()
	require.Equal(t, []raft.Index{10, 20, 30}, done)
	require.Equal(t, []string{"1", "restore 10", "conf 2 voters [a]", "11", "12", "restore 20",
		"conf 2 voters [a]", "restore 30", "conf 2 voters [a]", "31"}, m.events)
}

// TestLoopGivesUpReaders ends the loop in several ways, with snapshots and entries left.
func TestLoopGivesUpReaders(t *testing.T) {
	for name, end := range map[string]func(){
		"stop": func() {}, "panic": func() { panic("boom") }, "goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			gate, entered := make(chan struct{}), make(chan struct{})
			m := &photographer{restore: func() error { close(entered); <-gate; end(); return nil }}
			l := StartLoop(NewApplier(m, 0), func() {}, func(error) {})
			w := make(waiting, 10)
			closed := make(chan raft.Index, 10)
			for i := raft.Index(10); i <= 30; i += 10 {
				list, _, _ := entries(1, i+1, i+1)
				l.Give(&Work{Restore: &Restoration{Reader: photoAt(raft.LogID{Term: 1, Index: i}),
					Done: func() { closed <- i }}})
				l.Give(&Work{Entries: list, Waiters: []Waiter{w}})
			}
			<-entered
			left, _ := l.Stop(raft.ErrStopped)
			close(gate)
			<-l.Ended()
			require.Len(t, left, 3, "those who wait are for whoever stops it")
			require.Empty(t, w)
			for _, want := range []raft.Index{10, 20, 30} {
				require.Equal(t, want, <-closed)
			}
			require.Empty(t, closed)
			require.Equal(t, "restore 10", m.events[0])
			require.NotContains(t, m.events, "restore 20")
		})
	}
}
