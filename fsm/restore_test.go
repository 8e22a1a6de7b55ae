package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

// tray is a Staged in memory.
type tray struct {
	bytes.Buffer
	verify error // what Verify returns
	spoil  bool  // it reads otherwise than it was written
	closed bool
	fail   error // of Write
}

func (s *tray) Write(p []byte) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	return s.Buffer.Write(p)
}

func (s *tray) ReadAt(p []byte, at int64) (int, error) {
	if s.spoil {
		return 0, io.EOF
	}
	return bytes.NewReader(s.Bytes()).ReadAt(p, at)
}

func (s *tray) Verify() error                          { return s.verify }
func (s *tray) Meta() raft.SnapshotMeta                { return raft.SnapshotMeta{Bytes: 7} }
func (s *tray) Files() []string                        { return nil }
func (s *tray) OpenFile(string) (io.ReadCloser, error) { return nil, errors.New("none") }
func (s *tray) Close() error                           { s.closed = true; return nil }

// restorer is a state machine that keeps what it was restored from.
type restorer struct {
	photographer
	restored []string
}

func (r *restorer) Restore(s SnapshotReader) error {
	if _, ok := s.(photo); ok {
		return nil
	}
	b, err := io.ReadAll(s)
	r.restored = append(r.restored, fmt.Sprintf("%s at %v", b, s.Meta().Last))
	return errors.Join(err, r.err)
}

// log feeds an applier with the pieces of backups.
type log struct {
	t       require.TestingT
	a       *Applier
	m       *restorer
	trays   []*tray
	next    raft.Index
	prepare func(*tray)
}

func newLog(t require.TestingT) *log {
	l := &log{t: t, m: &restorer{photographer: photographer{saver: &film{}}}, prepare: func(*tray) {}}
	l.a = NewApplier(l.m, 0)
	l.a.Stage = func() (Staged, error) {
		l.trays = append(l.trays, &tray{})
		l.prepare(l.trays[len(l.trays)-1])
		return l.trays[len(l.trays)-1], nil
	}
	return l
}

// piece applies piece n of a restore of the text, with one byte in each, and returns the result.
func (l *log) piece(id uint64, n int, text string) any {
	c := raft.RestoreChunk{ID: id, Number: uint32(n), Data: []byte(text[n : n+1])}
	if n == len(text)-1 {
		c.Last, c.Bytes, c.Sum = true, uint64(len(text)), raft.Checksum([]byte(text))
	}
	return l.apply(c)
}

func (l *log) apply(c raft.RestoreChunk) any {
	l.next++
	w := &told{}
	_ = l.a.Apply([]raft.Entry{{Term: 1, Index: l.next, Kind: raft.EntryRestore, Data: c.Encode()}},
		[]Waiter{w})
	require.Equal(l.t, 1, w.calls)
	if w.err != nil {
		return w.err
	}
	return w.value
}

func TestStage(t *testing.T) {
	l := newLog(t)
	require.Nil(t, l.piece(1, 0, "abc"))
	_, err := l.a.Pin()
	var restoring *Restoring
	require.ErrorAs(t, err, &restoring)
	require.Equal(t, Restoring{ID: 1, First: 1, Newest: 1}, *restoring)
	require.ErrorIs(t, err, raft.ErrBusy)
	require.ErrorContains(t, err, "since entry 1")
	require.Nil(t, l.piece(1, 0, "abc"), "again")
	require.Equal(t, ErrRestoreEnded, l.piece(1, 2, "abc"), "ahead")
	require.Nil(t, l.piece(1, 1, "abc"))
	require.Equal(t, ErrRestoreEnded, l.piece(2, 1, "xyz"), "of another")
	require.Empty(t, l.m.restored)
	require.Nil(t, l.piece(1, 2, "abc"))
	require.Equal(t, []string{"abc at 1/6"}, l.m.restored)
	require.Nil(t, l.piece(1, 2, "abc"), "again")
	require.Len(t, l.m.restored, 1)
	require.Equal(t, ErrRestoreEnded, l.piece(1, 1, "abc"), "after the end")
	_, err = l.a.Pin()
	require.NoError(t, err)
	require.True(t, l.trays[0].closed)

	// A member that has started from a snapshot taken since knows nothing of it.
	other := newLog(t)
	require.Equal(t, ErrRestoreEnded, other.piece(1, 2, "abc"), "again, as above: nothing is restored")
	err, _ = other.apply(raft.RestoreChunk{ID: 1, Last: true}).(error)
	require.ErrorIs(t, err, raft.ErrCorrupt, "the first one as the last: it could come again, too")
	require.Empty(t, other.m.restored)
	require.Empty(t, other.trays)
}

func TestStageEnds(t *testing.T) {
	for name, end := range map[string]func(l *log){
		"by another": func(l *log) { require.Nil(t, l.piece(2, 0, "x.")) },
		"on request": func(l *log) { require.Nil(t, l.apply(raft.RestoreChunk{ID: 1, Abandon: true})) },
		"by snapshot": func(l *log) {
			l.next = 99
			require.NoError(t, l.a.Restore(photoAt(raft.LogID{Term: 1, Index: 99})))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			require.Nil(t, l.piece(1, 0, "ab"))
			require.Equal(t, ErrRestoreEnded, l.apply(raft.RestoreChunk{ID: 3, Abandon: true}))
			end(l)
			require.True(t, l.trays[0].closed)
			restored := len(l.m.restored)
			require.Equal(t, ErrRestoreEnded, l.piece(1, 1, "ab"))
			require.Len(t, l.m.restored, restored)
		})
	}
}

// What is wrong with a backup itself is a result, and the member goes on; what is wrong with the
// member fails it.
func TestStageRefuses(t *testing.T) {
	local := errors.New("boom")
	bad := func(err error) func(*tray) { return func(s *tray) { s.verify = err } }
	for name, test := range map[string]struct {
		prepare func(*tray)
		sum     uint32
		is      error
		final   bool
	}{
		"sum":      {sum: 1, is: raft.ErrCorrupt},
		"damaged":  {prepare: bad(fmt.Errorf("it: %w", raft.ErrCorrupt)), is: raft.ErrCorrupt},
		"foreign":  {prepare: bad(raft.ErrWrongCluster), is: raft.ErrWrongCluster},
		"disk":     {prepare: bad(local), is: local, final: true},
		"spoilt":   {prepare: func(s *tray) { s.verify, s.spoil = raft.ErrCorrupt, true }, final: true},
		"no space": {prepare: func(s *tray) { s.fail = local }, is: local, final: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t)
			if test.prepare != nil {
				l.prepare = test.prepare
			}
			first := raft.RestoreChunk{ID: 1, Data: []byte("a")}
			c := raft.RestoreChunk{ID: 1, Number: 1, Last: true, Bytes: 2, Data: []byte("b"),
				Sum: raft.Checksum([]byte("ab")) + test.sum}
			l.apply(first)
			err, _ := l.apply(c).(error)
			require.ErrorIs(t, err, cmpOr(test.is, raft.ErrCorrupt))
			require.Equal(t, test.final, errors.Is(err, raft.ErrFailed), "%v", err)
			require.Empty(t, l.m.restored)
			l.prepare = func(*tray) {}
			if c.Sum = raft.Checksum([]byte("ab")); !test.final {
				require.Nil(t, l.apply(first))
				require.Nil(t, l.apply(c))
				require.Len(t, l.m.restored, 1)
			}
		})
	}
	l := newLog(t)
	l.next++
	w := &told{}
	require.NoError(t, l.a.Apply([]raft.Entry{{Index: 1, Kind: raft.EntryRestore}}, []Waiter{w}))
	require.ErrorIs(t, w.value.(error), raft.ErrCorrupt)
	w = &told{}
	unknown := raft.Entry{Index: 2, Kind: raft.EntryRestore, Data: make([]byte, raft.RestoreHead)}
	unknown.Data[12] = 0x80
	require.ErrorContains(t, newLog(t).a.Apply([]raft.Entry{{Index: 1, Kind: raft.EntryNoop}, unknown},
		[]Waiter{nil, w}), "flags 0x80", "another member may know it")
	l.m.err = local
	require.Nil(t, l.piece(1, 0, "ab"))
	err, _ := l.piece(1, 1, "ab").(error)
	require.ErrorIs(t, err, raft.ErrFailed)
	require.ErrorIs(t, err, local)
	l = newLog(t)
	l.a.Stage = nil
	err, _ = l.piece(1, 0, "ab").(error)
	require.ErrorContains(t, err, "there is no place for it")
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Whatever comes in between and again: as soon as each piece came after the one before it, and
// no other restore began, the whole is restored, and nothing else ever is.
func TestStageAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLog(t)
		texts := map[uint64]string{1: "abcd", 2: "xyz"}
		var want []string
		id, next, done := uint64(0), 0, uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "pieces") {
			of := rapid.SampledFrom([]uint64{1, 1, 1, 2}).Draw(t, "id")
			n := rapid.IntRange(0, len(texts[of])-1).Draw(t, "n")
			if of == id && next < len(texts[of]) && rapid.Bool().Draw(t, "in turn") {
				n = next
			}
			l.piece(of, n, texts[of])
			last := n == len(texts[of])-1
			switch {
			case last && of == done:
			case n == 0 && of != id:
				id, next = of, 1
			case of == id && n == next && last:
				want = append(want, fmt.Sprintf("%s at 1/%d", texts[of], l.next))
				id, done = 0, of
			case of == id && n == next:
				next++
			}
		}
		require.True(t, slices.Equal(want, l.m.restored), "%v, not %v", l.m.restored, want)
	})
}
