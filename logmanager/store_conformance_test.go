package logmanager_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/logmanager/boltlog"
	"github.com/jraft-go/jraft/raft"
)

// opener opens the store that it opened before, or a new one at first.
type opener func() (logmanager.Store, error)

// stores are the implementations that must not be told apart.
var stores = []struct {
	name  string
	fresh func(t *testing.T) opener
}{
	{"segments in memory", func(*testing.T) opener {
		files := vfs.NewMem(source(1))
		return func() (logmanager.Store, error) {
			return logmanager.OpenSegments(files, "log", options())
		}
	}},
	{"segments", func(t *testing.T) opener {
		dir := t.TempDir()
		return func() (logmanager.Store, error) {
			return logmanager.StartSegments(vfs.OS(), dir, options())
		}
	}},
	{"boltlog", func(t *testing.T) opener {
		path := filepath.Join(t.TempDir(), "log.db")
		return func() (logmanager.Store, error) {
			return boltlog.Open(path, boltlog.Options{Cluster: "c", Peer: "p1"})
		}
	}},
}

func forEachStore(t *testing.T, test func(t *testing.T, open opener)) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) { test(t, s.fresh(t)) })
	}
}

func opened(t require.TestingT, open opener) logmanager.Store {
	s, err := open()
	require.NoError(t, err)
	return s
}

func hard(term raft.Term, vote raft.PeerID) *raft.HardState {
	return &raft.HardState{Term: term, Vote: vote}
}

func TestStoreStartsEmpty(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		s := opened(t, open)
		stored, err := s.Load("g")
		require.NoError(t, err)
		require.True(t, stored.Empty())
		got, err := s.Read("g", 1, 5, 100, nil)
		require.NoError(t, err)
		require.Empty(t, got)
		require.NoError(t, s.Close())
	})
}

func TestStoreReadBounds(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		s := opened(t, open)
		var entries []raft.Entry
		for i := raft.Index(1); i <= 60; i++ {
			entries = append(entries, entry(1, i, "0123456789"))
		}
		w := logmanager.Write{Group: "g", HardState: hard(1, ""), Entries: entries}
		require.NoError(t, s.Write([]logmanager.Write{w}))
		size := entries[0].FrameBytes()
		for _, c := range []struct {
			lo, hi   raft.Index
			maxBytes int
			want     int
		}{
			{1, 60, 1 << 20, 60}, {1, 60, 0, 1}, {7, 9, 1 << 20, 3},
			{7, 60, 3 * size, 3}, {7, 60, 3*size - 1, 2},
			{60, 60, 1 << 20, 1}, {59, 100, 1 << 20, 2}, {61, 70, 1 << 20, 0},
		} {
			dst := []raft.Entry{entry(9, 9, "first")}
			got, err := s.Read("g", c.lo, c.hi, c.maxBytes, dst)
			require.NoError(t, err)
			require.Len(t, got, 1+c.want)
			require.Equal(t, raft.Index(9), got[0].Index)
			for i, e := range got[1:] {
				require.Equal(t, c.lo+raft.Index(i), e.Index)
				require.Equal(t, "0123456789", string(e.Data))
			}
		}
		_, err := s.Read("g", 0, 1, 10, nil)
		require.ErrorIs(t, err, raft.ErrCompacted)
		require.NoError(t, s.Close())
	})
}

// TestStoreKeepsNothing checks that the caller may reuse what it passed to Write.
func TestStoreKeepsNothing(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		s := opened(t, open)
		buf := make([]byte, 0, 1000)
		m := newModel()
		for i := raft.Index(1); i <= 20; i++ {
			e, _ := raft.MakeEntry(buf, 1, i, raft.EntryConfiguration, []byte{byte(i), 1, 2})
			w := []logmanager.Write{{Group: "g", HardState: hard(1, "p"), Entries: []raft.Entry{e}}}
			require.NoError(t, s.Write(w))
			kept, _ := raft.MakeEntry(nil, 1, i, raft.EntryConfiguration, []byte{byte(i), 1, 2})
			m.apply(logmanager.Write{Group: "g", HardState: hard(1, "p"), Entries: []raft.Entry{kept}})
		}
		clear(buf[:cap(buf)])
		diff, err := m.differs(s, "g")
		require.NoError(t, err)
		require.Empty(t, diff)
		require.NoError(t, s.Close())
	})
}

func TestStoreAfterClose(t *testing.T) {
	forEachStore(t, func(t *testing.T, open opener) {
		s := opened(t, open)
		require.NoError(t, s.Close())
		err := s.Write([]logmanager.Write{{Group: "g", HardState: hard(1, "p")}})
		require.ErrorIs(t, err, raft.ErrStopped)
		require.NoError(t, s.Close())
	})
}

var testGroups = []raft.GroupID{"a", "bb", "ccc"}

// drawWrite draws a write that a member of a group could ask for.
func drawWrite(t *rapid.T, g *modelGroup, id raft.GroupID) logmanager.Write {
	w := logmanager.Write{Group: id}
	last, first, term := g.last(), g.compact+1, g.hard.Term
	if rapid.IntRange(0, 3).Draw(t, "hard state") == 0 {
		term += raft.Term(rapid.IntRange(0, 2).Draw(t, "term"))
		votes := []raft.PeerID{"", "p1", "another-peer"}
		w.HardState = hard(term, rapid.SampledFrom(votes).Draw(t, "vote"))
	}
	if rapid.IntRange(0, 9).Draw(t, "reset") == 0 {
		w.Reset = raft.LogID{Term: term, Index: drawIndex(t, "after", first, last+20)}
		last, first = w.Reset.Index, w.Reset.Index+1
	}
	if rapid.IntRange(0, 4).Draw(t, "truncate") == 0 {
		w.Truncate = drawIndex(t, "from", first, last+2)
		last = min(last, w.Truncate-1)
	}
	for range rapid.SampledFrom([]int{0, 1, 1, 2, 20}).Draw(t, "entries") {
		last++
		kind := raft.EntryKind(rapid.IntRange(1, 4).Draw(t, "kind"))
		data := make([]byte, rapid.SampledFrom([]int{0, 1, 30, 500, 5000}).Draw(t, "bytes"))
		for i := range data {
			data[i] = byte(int(last) + i)
		}
		e, _ := raft.MakeEntry(nil, term, last, kind, data)
		w.Entries = append(w.Entries, e)
	}
	if last >= first && rapid.IntRange(0, 2).Draw(t, "compact") == 0 {
		w.Compact = drawIndex(t, "up to", first, last)
	}
	return w
}

func drawIndex(t *rapid.T, label string, lo, hi raft.Index) raft.Index {
	return raft.Index(rapid.Uint64Range(uint64(lo), uint64(hi)).Draw(t, label))
}

// TestStoreEqualsModel runs random writes, in calls of several, reads and reopenings against
// slices.
func TestStoreEqualsModel(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) { runModel(rt, s.fresh(t)) })
		})
	}
}

func runModel(t *rapid.T, open opener) {
	m, s := newModel(), opened(t, open)
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		switch rapid.IntRange(0, 6).Draw(t, "step") {
		case 0:
			require.NoError(t, s.Close())
			s = opened(t, open)
		case 1:
			id := rapid.SampledFrom(testGroups).Draw(t, "group")
			g := m.group(id)
			lo := drawIndex(t, "lo", g.compact+1, g.last()+1)
			hi := drawIndex(t, "hi", lo, g.last()+1)
			got, err := s.Read(id, lo, hi, 1<<30, nil)
			require.NoError(t, err)
			require.True(t, slices.EqualFunc(got, g.after(lo - 1)[:min(hi, g.last())+1-lo], same))
		case 2:
			if p, ok := s.(*logmanager.Segments); ok {
				require.NoError(t, p.Prepare())
			}
		default:
			var batch []logmanager.Write
			for range rapid.IntRange(1, 3).Draw(t, "writes") {
				id := rapid.SampledFrom(testGroups).Draw(t, "group")
				batch = append(batch, drawWrite(t, m.group(id), id))
				m.apply(batch[len(batch)-1])
			}
			require.NoError(t, s.Write(batch))
			for _, w := range batch {
				stored, err := s.Load(w.Group)
				require.NoError(t, err)
				require.GreaterOrEqual(t, stored.Base.Index, w.Compact, "gone at once")
			}
		}
		diff, err := m.differs(s, testGroups...)
		require.NoError(t, err)
		require.Empty(t, diff)
	}
	require.NoError(t, s.Close())
	s = opened(t, open)
	diff, err := m.differs(s, testGroups...)
	require.NoError(t, err)
	require.Empty(t, diff)
	require.NoError(t, s.Close())
}
