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

// TestGolden opens files that version 1 of the format wrote, once and for all.
func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	if *update {
		writeGolden(t, dir)
	}
	files := vfs.NewMem(source(1))
	require.NoError(t, files.MkdirAll("log"))
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 2)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name.Name()))
		require.NoError(t, err)
		f, err := files.Create("log/" + name.Name())
		require.NoError(t, err)
		_, err = f.WriteAt(data, 0)
		require.NoError(t, err)
	}
	m := newModel()
	for _, batch := range goldenCalls() {
		m.apply(batch...)
	}
	s := openMem(t, files)
	diff, err := m.differs(s, "orders", "users")
	require.NoError(t, err)
	require.Empty(t, diff)
	more := logmanager.Write{Group: "orders", Entries: []raft.Entry{entry(5, 5, "more")}}
	require.NoError(t, s.Write([]logmanager.Write{more}))
	require.NoError(t, s.Close())
}

func writeGolden(t *testing.T, dir string) {
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist,
		"golden files are never written again: make a directory for a new version")
	s, err := logmanager.OpenSegments(vfs.OS(), dir, options())
	require.NoError(t, err)
	for _, batch := range goldenCalls() {
		require.NoError(t, s.Write(batch))
	}
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
}
