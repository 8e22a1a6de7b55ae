package logmanager_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// FuzzOpenSegments puts arbitrary bytes behind the head of a segment, and mends the checksums of
// the first batches so that the scanner gets beyond them: opening never panics, and what it accepts
// can be read, written to and opened again.
//
// Run it with -fuzzminimizetime 1x. Otherwise the engine spends up to a minute on each input of new
// coverage to make it smaller byte by byte, and shows 0 execs/s meanwhile, because it counts those
// only afterwards.
func FuzzOpenSegments(f *testing.F) {
	golden, err := filepath.Glob("testdata/v1*/*.seg")
	require.NoError(f, err)
	for _, name := range golden {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		data = data[512:min(len(data), 2048)]
		f.Add(data, byte(0))
		f.Add(data, byte(9))
	}
	f.Add([]byte{}, byte(0))
	f.Fuzz(func(t *testing.T, data []byte, mend byte) {
		files := vfs.NewMem(source(1))
		o := options()
		o.Salt = 0 // the checksums are those of the golden files
		s, err := logmanager.OpenSegments(files, "log", o)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		file, err := files.Open("log/log-00000001.seg")
		require.NoError(t, err)
		if len(data) > 1536 {
			return // leave room behind; and only what matters is to be in the corpus
		}
		data = bytes.Clone(data) // what the engine gives is not to be changed
		logmanager.Mend(data, int(mend%16))
		if len(data) > 0 {
			_, err = file.WriteAt(data, 512)
			require.NoError(t, err)
		}
		s, err = logmanager.OpenSegments(files, "log", options())
		if err != nil {
			require.ErrorIs(t, err, raft.ErrCorrupt)
			return
		}
		for _, id := range []raft.GroupID{"orders", "users"} {
			stored, err := s.Load(id)
			require.NoError(t, err)
			if stored.Last == stored.Base {
				continue
			}
			_, err = s.Read(id, stored.Base.Index+1, stored.Last.Index, 1<<20, nil)
			require.NoError(t, err)
			require.NoError(t, s.Write([]logmanager.Write{{
				Group: id, HardState: hard(stored.HardState.Term, "next"), Truncate: stored.Last.Index,
			}}))
		}
		files.Crash(vfs.KeepNone)
		require.NoError(t, openMem(t, files).Close())
	})
}
