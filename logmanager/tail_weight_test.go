package logmanager_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// TestTrailing compares with a plain list of sizes: the tail that is kept is as heavy as was asked
// for, and not much heavier.
func TestTrailing(t *testing.T) {
	const slack = 2*256<<10 + 200<<10 // one step at each end, and an entry
	rapid.Check(t, func(t *rapid.T) {
		tail, err := logmanager.NewTail(logmanager.Stored{HardState: raft.HardState{Term: 1}},
			raft.SnapshotMeta{}, 1<<30)
		require.NoError(t, err)
		sizes := []int{0} // by index
		base := raft.Index(0)
		var w logmanager.Write
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				e, _ := raft.MakeEntry(nil, 1, tail.Last().Index+1, raft.EntryCommand,
					make([]byte, rapid.IntRange(0, 200<<10).Draw(t, "bytes")))
				require.NoError(t, tail.Append(e))
				sizes = append(sizes, e.FrameBytes())
				tail.TakeWrite(&w)
				tail.Written(w.Seq)
			},
			"truncate": func(t *rapid.T) {
				if tail.Last().Index == base {
					return
				}
				i := raft.Index(rapid.Uint64Range(uint64(base)+1, uint64(tail.Last().Index)).Draw(t, "i"))
				tail.Truncate(i)
				sizes = sizes[:i]
				tail.TakeWrite(&w)
				tail.Written(w.Seq)
			},
			"compact": func(t *rapid.T) {
				base = raft.Index(rapid.Uint64Range(uint64(base), uint64(tail.Last().Index)).Draw(t, "to"))
				tail.Compact(base)
				tail.TakeWrite(&w)
			},
			"": func(t *rapid.T) {
				limit := rapid.Int64Range(0, 4<<20).Draw(t, "limit")
				i := raft.Index(rapid.Uint64Range(uint64(base), uint64(tail.Last().Index)).Draw(t, "upto"))
				at := tail.Trailing(i, limit)
				require.LessOrEqual(t, at, i)
				weight := int64(0)
				for k := max(at, base) + 1; k <= i; k++ {
					weight += int64(sizes[k])
				}
				if at > base {
					require.GreaterOrEqual(t, weight+slack, limit, "as much as was asked for is kept")
				}
				require.LessOrEqual(t, weight, limit+slack, "little more is kept")
			},
		})
	})
}
