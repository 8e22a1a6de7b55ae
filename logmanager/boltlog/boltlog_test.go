package boltlog_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/logmanager/boltlog"
	"github.com/jraft-go/jraft/raft"
)

// TestCompactDeletesByAndBy: a compaction of more than one write may delete takes effect at once;
// the writes after it delete the rest.
func TestCompactDeletesByAndBy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	o := boltlog.Options{Cluster: "c", Peer: "p"}
	s, err := boltlog.Open(path, o)
	require.NoError(t, err)
	const last = 25_000
	var entries []raft.Entry
	for i := raft.Index(1); i <= last; i++ {
		e, _ := raft.MakeEntry(nil, 1, i, raft.EntryCommand, nil)
		entries = append(entries, e)
	}
	hard := &raft.HardState{Term: 1}
	for _, w := range []logmanager.Write{
		{Group: "g", HardState: hard, Entries: entries}, {Group: "g", Compact: last},
	} {
		require.NoError(t, s.Write([]logmanager.Write{w}))
	}
	for range 4 {
		stored, err := s.Load("g")
		require.NoError(t, err)
		id := raft.LogID{Term: 1, Index: last}
		require.Equal(t, logmanager.Stored{HardState: *hard, Base: id, Last: id}, stored)
		_, err = s.Read("g", 1, last, 100, nil)
		require.ErrorIs(t, err, raft.ErrCompacted)
		require.NoError(t, s.Close())
		s, err = boltlog.Open(path, o)
		require.NoError(t, err)
		require.NoError(t, s.Write([]logmanager.Write{{Group: "g", HardState: hard}}))
	}
	e, _ := raft.MakeEntry(nil, 1, last+1, raft.EntryCommand, nil)
	require.NoError(t, s.Write([]logmanager.Write{{Group: "g", Entries: []raft.Entry{e}}}))
	require.Error(t, s.Write([]logmanager.Write{{Group: "g", Reset: raft.LogID{Term: 1, Index: 3}}}))
	require.NoError(t, s.Close())
}
