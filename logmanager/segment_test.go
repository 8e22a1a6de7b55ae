package logmanager_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func options() logmanager.SegmentOptions {
	return logmanager.SegmentOptions{Cluster: "c", Peer: "p1", FirstSegmentBytes: 2048, MaxSegmentBytes: 4096,
		Holder: "a test"}
}

func entry(term raft.Term, index raft.Index, data string) raft.Entry {
	e, _ := raft.MakeEntry(nil, term, index, raft.EntryCommand, []byte(data))
	return e
}

func TestSmoke(t *testing.T) {
	for _, fs := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"os", vfs.OS(), t.TempDir()}, {"mem", vfs.NewMem(source(1)), "log"}} {
		t.Run(fs.name, func(t *testing.T) {
			s, err := logmanager.OpenSegments(fs.fs, fs.dir, options())
			require.NoError(t, err)
			require.NoError(t, s.Write([]logmanager.Write{{Group: "g", HardState: &raft.HardState{Term: 3, Vote: "p2"}}}))
			for i := raft.Index(1); i <= 100; i++ {
				require.NoError(t, s.Write([]logmanager.Write{{Group: "g", Entries: []raft.Entry{entry(2, i, "hello hello")}}}))
			}
			require.NoError(t, s.Close())
			s, err = logmanager.OpenSegments(fs.fs, fs.dir, options())
			require.NoError(t, err)
			st, err := s.Load("g")
			require.NoError(t, err)
			require.Equal(t, raft.LogID{Term: 2, Index: 100}, st.Last)
			es, err := s.Read("g", 1, 100, 1<<20, nil)
			require.NoError(t, err)
			require.Len(t, es, 100)
			require.NoError(t, s.Close())
		})
	}
}
