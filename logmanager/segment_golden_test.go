package logmanager_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

var update = flag.Bool("update", false, "write the golden files, if there are none")

// goldenCalls are the writes that the golden store was made of.
func goldenCalls() (calls [][]logmanager.Write) {
	configuration, _ := raft.MakeEntry(nil, 0, 1, raft.EntryConfiguration, []byte("a configuration"))
	noop, _ := raft.MakeEntry(nil, 3, 2, raft.EntryNoop, nil)
	calls = append(calls,
		[]logmanager.Write{{Group: "orders", Entries: []raft.Entry{configuration}}},
		[]logmanager.Write{{Group: "orders", HardState: hard(3, "peer-2"), Entries: []raft.Entry{noop}}},
		[]logmanager.Write{
			{Group: "orders", Entries: []raft.Entry{entry(3, 3, "three"), entry(3, 4, "four")}},
			{Group: "users", HardState: hard(1, "")},
		},
		[]logmanager.Write{{Group: "orders", HardState: hard(5, ""), Truncate: 4,
			Entries: []raft.Entry{entry(5, 4, "another four")}}},
		[]logmanager.Write{{Group: "users",
			Entries: []raft.Entry{entry(1, 1, string(make([]byte, 1500)))}}},
	)
	return calls
}

// goldenResetCalls are those of the golden store with resets, whose first segment is gone.
func goldenResetCalls() (calls [][]logmanager.Write) {
	long := string(make([]byte, 700))
	calls = append(calls, []logmanager.Write{
		{Group: "orders", HardState: hard(2, "peer-2")}, {Group: "users", HardState: hard(1, "")},
	})
	for i := raft.Index(1); i <= 4; i++ {
		calls = append(calls, []logmanager.Write{
			{Group: "orders", Entries: []raft.Entry{entry(2, i, long)}},
			{Group: "users", Entries: []raft.Entry{entry(1, i, "small")}},
		})
	}
	return append(calls,
		[]logmanager.Write{{Group: "users", Compact: 3}},
		[]logmanager.Write{{Group: "orders", HardState: hard(7, ""),
			Reset: raft.LogID{Term: 6, Index: 1000}, Entries: []raft.Entry{entry(7, 1001, "after it")}}},
	)
}

// TestGolden opens files that version 1 of the format wrote, once and for all: the first two before
// there was a salt.
func TestGolden(t *testing.T) {
	t.Run("v1", func(t *testing.T) { openGolden(t, "v1", goldenCalls(), 5) })
	t.Run("v1-reset", func(t *testing.T) { openGolden(t, "v1-reset", goldenResetCalls(), 1002) })
	t.Run("v1-salt", func(t *testing.T) { openGolden(t, "v1-salt", goldenCalls(), 5) })
}

func openGolden(t *testing.T, name string, calls [][]logmanager.Write, next raft.Index) {
	dir := filepath.Join("testdata", name)
	if *update {
		writeGolden(t, dir, calls)
	}
	files := vfs.NewMem(source(1))
	require.NoError(t, files.MkdirAll("log"))
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name.Name()))
		require.NoError(t, err)
		f, err := files.Create("log/" + name.Name())
		require.NoError(t, err)
		_, err = f.WriteAt(data, 0)
		require.NoError(t, err)
	}
	m := newModel()
	for _, batch := range calls {
		m.apply(batch...)
	}
	s := openMem(t, files)
	diff, err := m.differs(s, "orders", "users")
	require.NoError(t, err)
	require.Empty(t, diff)
	stored, err := s.Load("orders")
	require.NoError(t, err)
	require.Equal(t, next, stored.Last.Index+1)
	more := logmanager.Write{Group: "orders",
		Entries: []raft.Entry{entry(stored.HardState.Term, next, "more")}}
	require.NoError(t, s.Write([]logmanager.Write{more}))
	require.NoError(t, s.Close())
}

func writeGolden(t *testing.T, dir string, calls [][]logmanager.Write) {
	if _, err := os.Stat(dir); err == nil {
		return // golden files are never written again: make a directory for a new version
	}
	s, err := logmanager.OpenSegments(vfs.OS(), dir, options())
	require.NoError(t, err)
	for _, batch := range calls {
		require.NoError(t, s.Write(batch))
		require.NoError(t, s.Prepare())
	}
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
	spares, err := filepath.Glob(filepath.Join(dir, "*.new"))
	require.NoError(t, err)
	for _, name := range spares {
		require.NoError(t, os.Remove(name))
	}
}
