package logmanager_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// TestReadersBesideWriter runs readers beside a writer that truncates, and the preparation of
// segments beside both, on real files.
func TestReadersBesideWriter(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := options()
	o.MaxSegmentBytes = 64 << 10
	s, err := logmanager.StartSegments(vfs.OS(), t.TempDir(), o)
	require.NoError(t, err)
	const entries = 600
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for next := raft.Index(1); next < entries; {
				stored, err := s.Load("g")
				if err != nil || stored.Last.Index == 0 {
					continue
				}
				got, err := s.Read("g", min(next, stored.Last.Index), stored.Last.Index, 5000, nil)
				if err != nil || len(got) == 0 && stored.Last.Index >= next {
					// The last entries may have been truncated since; nothing else may be missing.
					if err != nil {
						t.Errorf("read: %v", err)
						return
					}
					continue
				}
				next = got[len(got)-1].Index + 1
			}
		})
	}
	require.NoError(t, s.Write([]logmanager.Write{{Group: "g", HardState: hard(2, "p")}}))
	for i := raft.Index(1); i <= entries; i++ {
		w := logmanager.Write{Group: "g", Entries: []raft.Entry{entry(2, i, strings.Repeat("x", int(i)))}}
		if i%50 == 0 { // the last three, and again
			w.Truncate = i - 3
			w.Entries = nil
			for j := i - 3; j <= i; j++ {
				w.Entries = append(w.Entries, entry(2, j, "again"))
			}
		}
		require.NoError(t, s.Write([]logmanager.Write{w}))
	}
	readers.Wait()
	require.NoError(t, s.Close())
}
