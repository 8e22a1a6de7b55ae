package logmanager_test

import (
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// TestReleasedEntriesAreFreed: small entries make the array long; large ones that pass through it
// afterwards must not stay in memory for as long as there are free places in it.
func TestReleasedEntriesAreFreed(t *testing.T) {
	const cache, large = 64 << 10, 1 << 10
	tail, err := logmanager.NewTail(logmanager.Stored{HardState: raft.HardState{Term: 1}},
		raft.SnapshotMeta{}, cache)
	require.NoError(t, err)
	pass := func(bytes int) weak.Pointer[byte] {
		data := make([]byte, bytes)
		e, _ := raft.MakeEntry(nil, 1, tail.Last().Index+1, raft.EntryCommand, data)
		require.NoError(t, tail.Append(e))
		var w logmanager.Write
		require.True(t, tail.TakeWrite(&w))
		tail.Written(w.Seq)
		tail.Release(tail.Last().Index)
		return weak.Make(&e.Frame()[0])
	}
	for range 10_000 {
		pass(8)
	}
	// Looked at all the way: the array is replaced at some point, and what it held is free after that.
	var all []weak.Pointer[byte]
	for n := range 2000 {
		all = append(all, pass(large))
		if n%100 != 0 {
			continue
		}
		runtime.GC()
		alive := 0
		for _, p := range all {
			if p.Value() != nil {
				alive++
			}
		}
		require.Positive(t, alive, "the cache")
		require.LessOrEqual(t, alive*large, 2*cache+large, "bytes in memory after %d entries", n+1)
	}
	require.LessOrEqual(t, tail.CachedBytes(), cache)
}
