package keeper

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

func TestThresholdsDiffer(t *testing.T) {
	seen := map[raft.Index]bool{}
	for seed := range uint64(20) {
		var s saver
		s.init(&Options{Seed: seed, Policy: snapshot.Policy{
			Entries: 1000, Bytes: 1 << 20, Every: time.Hour,
		}.WithDefaults()}, 5)
		for range 5 {
			require.InDelta(t, 1000, float64(s.entries), 250)
			require.InDelta(t, 1<<20, float64(s.size), 1<<18)
			require.InDelta(t, time.Hour, float64(s.every), float64(time.Hour/4))
			seen[s.entries] = true
			s.saved(s.since+1, 0)
		}
	}
	require.Greater(t, len(seen), 50, "members take snapshots at different times")
}

// TestNever: the largest threshold is never reached, and not after every entry.
func TestNever(t *testing.T) {
	for seed := range uint64(20) {
		var s saver
		s.init(&Options{Seed: seed, Policy: snapshot.Policy{
			Entries: math.MaxInt, Bytes: math.MaxInt64, Every: math.MaxInt64,
		}.WithDefaults()}, 5)
		require.Greater(t, s.entries, raft.Index(math.MaxInt/4))
		require.Greater(t, s.size, int64(math.MaxInt64/4))
		require.Greater(t, s.every, time.Duration(math.MaxInt64/4))
	}
}

func TestDueIsALevel(t *testing.T) {
	k := &Keeper{}
	k.saver.init(&Options{Policy: snapshot.Policy{Entries: 100, Bytes: -1}.WithDefaults()}, 1000)
	k.Applied(1000+k.saver.entries-1, 0)
	require.Nil(t, k.saver.begin(false))
	k.Applied(1000+k.saver.entries, 0)
	require.Nil(t, k.saver.begin(true), "not so soon after a failure")
	a := k.saver.begin(false)
	require.NotNil(t, a)
	require.True(t, k.Saving())
	require.Equal(t, a, k.saver.join())
	k.saver.finish(a, raft.SnapshotMeta{}, raft.ErrDiskFull)
	require.ErrorIs(t, a.err, raft.ErrDiskFull)
	a = k.saver.begin(false)
	require.NotNil(t, a, "the failure has not made it forgotten")
	k.saver.finish(a, raft.SnapshotMeta{}, nil)
	k.saver.covered(2000)
	require.Nil(t, k.saver.begin(false))
	require.Equal(t, raft.Index(2000), k.saver.newest())
	k.saver.covered(1500) // an older one changes nothing
	require.Equal(t, raft.Index(2000), k.saver.newest())
}

func TestPolicyIsChecked(t *testing.T) {
	for field, p := range map[string]snapshot.Policy{
		"Snapshot.Every":          {Every: -1},
		"Snapshot.Keep":           {Keep: -1},
		"Snapshot.BytesPerSecond": {BytesPerSecond: 32<<10 - 1},
	} {
		p = p.WithDefaults()
		var found []string
		CheckPolicy(p, func(f string, _ any, _ string) { found = append(found, f) })
		require.Equal(t, []string{field}, found)
	}
	p := snapshot.Policy{}.WithDefaults()
	CheckPolicy(p, func(f string, v any, need string) { t.Error(f, v, need) })
	require.Equal(t, 0, snapshot.Policy{TrailingEntries: -1}.WithDefaults().TrailingEntries)
}

// TestDamagedSnapshotIsReplaced: one is due then whatever the policy says, but a failure makes it
// wait like any other, however often followers ask.
func TestDamagedSnapshotIsReplaced(t *testing.T) {
	var s saver
	s.init(&Options{Policy: snapshot.Policy{Entries: -1, Bytes: -1}}, 5)
	require.Nil(t, s.begin(false))
	s.replace()
	s.replace()
	require.Nil(t, s.begin(true), "the last one failed a moment ago")
	a := s.begin(false)
	require.NotNil(t, a)
	s.saved(6, 0)
	s.finish(a, raft.SnapshotMeta{}, nil)
	require.Nil(t, s.begin(false))
}

// TestSpentLimit: what would be refused in the end is refused before the disk is read.
func TestSpentLimit(t *testing.T) {
	s := newServer(snapshot.Policy{})
	require.False(t, s.spent())
	s = newServer(snapshot.Policy{BytesPerSecond: minBytesPerSecond})
	require.False(t, s.spent(), "the first piece is free")
	require.NoError(t, s.throttle(t.Context(), snapshot.MaxReplyBytes))
	require.True(t, s.spent())
}
