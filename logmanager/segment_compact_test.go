package logmanager_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

func compact(t *testing.T, s logmanager.Store, id raft.GroupID, to raft.Index) {
	require.NoError(t, s.Write([]logmanager.Write{{Group: id, Compact: to}}))
}

func segmentFiles(t *testing.T, files vfs.FS) []string {
	names, err := files.List("log")
	require.NoError(t, err)
	return slices.DeleteFunc(names, func(n string) bool {
		return n == "LOCK" || strings.HasSuffix(n, ".new")
	})
}

// TestCompactFreesSegments: whole segments go, from the front; the one that is written to stays,
// the base after an opening is where the first one left begins, and the log goes on.
func TestCompactFreesSegments(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	for i := raft.Index(1); i <= 40; i++ {
		put(t, s, i, strings.Repeat("x", 500), "g")
	}
	before := segmentFiles(t, files)
	writes, syncs := files.Count(vfs.OpWrite), files.Count(vfs.OpSyncData)
	compact(t, s, "g", 20)
	require.Equal(t, writes, files.Count(vfs.OpWrite), "a compaction alone costs nothing")
	require.Equal(t, syncs, files.Count(vfs.OpSyncData))
	require.Equal(t, before, segmentFiles(t, files), "nothing is removed by a write")
	_, err := s.Read("g", 20, 40, 100, nil)
	require.ErrorIs(t, err, raft.ErrCompacted)

	require.NoError(t, s.Prepare())
	left := segmentFiles(t, files)
	require.Less(t, len(left), len(before)*2/3)
	require.Equal(t, before[len(before)-len(left):], left)
	stored, err := s.Load("g")
	require.NoError(t, err)
	require.Equal(t, raft.LogID{Term: 2, Index: 20}, stored.Base)
	require.Equal(t, []logmanager.Run{{First: 21, Term: 2}}, stored.Runs)

	files.Crash(vfs.KeepNone)
	s = openMem(t, files)
	stored, err = s.Load("g")
	require.NoError(t, err)
	require.LessOrEqual(t, stored.Base.Index, raft.Index(20))
	require.Greater(t, stored.Base.Index, raft.Index(10))
	require.Equal(t, stored.Base.Index+1, stored.Runs[0].First)
	compact(t, s, "g", 40)
	require.NoError(t, s.Prepare())
	require.Equal(t, left[len(left)-1:], segmentFiles(t, files), "the one that is written to")
	put(t, s, 41, "goes on", "g")
	require.NoError(t, s.Close())
	s = openMem(t, files)
	require.Equal(t, raft.Index(41), lastIndex(t, s, "g"))
	require.NoError(t, s.Close())
}

// TestResetFreesSegments: what a reset gave up need not be compacted.
func TestResetFreesSegments(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	for i := raft.Index(1); i <= 40; i++ {
		put(t, s, i, strings.Repeat("x", 500), "g")
	}
	id := raft.LogID{Term: 2, Index: 1000}
	require.NoError(t, s.Write([]logmanager.Write{{Group: "g", Reset: id}}))
	require.NoError(t, s.Prepare())
	require.Len(t, segmentFiles(t, files), 1)
	for range 2 {
		stored, err := s.Load("g")
		require.NoError(t, err)
		require.Equal(t, logmanager.Stored{HardState: *hard(2, "p2"), Base: id, Last: id}, stored)
		files.Crash(vfs.KeepNone)
		s = openMem(t, files)
	}
	put(t, s, 1001, "goes on", "g")
	require.NoError(t, s.Close())
}

// TestGroupKeepsSegments: a segment stays while one group of many needs it, and goes when that one
// compacts, whoever compacted before.
func TestGroupKeepsSegments(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	ids := []raft.GroupID{"a", "b", "c", "d", "e"}
	for i := raft.Index(1); i <= 30; i++ {
		put(t, s, i, strings.Repeat("x", 200), ids...)
	}
	before := segmentFiles(t, files)
	slow := ids[2]
	for _, id := range ids {
		if id != slow {
			compact(t, s, id, 30)
		}
	}
	require.NoError(t, s.Prepare())
	require.Equal(t, before, segmentFiles(t, files))
	compact(t, s, slow, 15)
	require.NoError(t, s.Prepare())
	half := segmentFiles(t, files)
	require.Less(t, len(half), len(before)*2/3)
	got, err := s.Read(slow, 16, 30, 1<<30, nil)
	require.NoError(t, err)
	require.Len(t, got, 15)
	compact(t, s, slow, 30)
	require.NoError(t, s.Prepare())
	require.Len(t, segmentFiles(t, files), 1)
	require.NoError(t, s.Close())
}

// TestRemovalIsTriedAgain: an error at any step of a removal loses nothing, and the next Prepare
// completes it, also after an opening.
func TestRemovalIsTriedAgain(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []vfs.Op{vfs.OpRename, vfs.OpSyncDir, vfs.OpRemove} {
		for n := 1; ; n++ {
			for _, reopen := range []bool{false, true} {
				files := filled(t)
				s := openMem(t, files)
				require.NoError(t, s.Prepare())
				compact(t, s, "a", 30)
				compact(t, s, "b", 29)
				files.Fail(op, n, broken)
				if err := s.Prepare(); err == nil {
					require.Greater(t, n, 1)
					require.NoError(t, s.Close())
					goto next
				} else {
					require.ErrorIs(t, err, broken)
				}
				put(t, s, 31, "goes on", "a", "b")
				if reopen {
					files.Kill()
					s = openMem(t, files)
					compact(t, s, "a", 30) // nothing had to remember it
					compact(t, s, "b", 29)
				}
				require.NoError(t, s.Prepare())
				require.LessOrEqual(t, len(segmentFiles(t, files)), 2)
				got, err := s.Read("b", 30, 31, 1000, nil)
				require.NoError(t, err)
				require.Len(t, got, 2)
				require.NoError(t, s.Close())
			}
		}
	next:
	}
}

// watchedFS calls a function before each read of a file.
type watchedFS struct {
	vfs.FS
	reading func()
}

type watchedFile struct {
	vfs.File
	fs *watchedFS
}

func (w *watchedFS) Create(name string) (vfs.File, error) {
	f, err := w.FS.Create(name)
	return watchedFile{f, w}, err
}

func (w *watchedFS) Open(name string) (vfs.File, error) {
	f, err := w.FS.Open(name)
	return watchedFile{f, w}, err
}

func (f watchedFile) ReadAt(p []byte, at int64) (int, error) {
	if do := f.fs.reading; do != nil {
		f.fs.reading = nil
		do()
	}
	return f.File.ReadAt(p, at)
}

// TestCompactWhileRead: a read under way keeps the files that it reads; they go when it is done.
func TestCompactWhileRead(t *testing.T) {
	files := &watchedFS{FS: vfs.NewMem(source(1))}
	s := openMem(t, files)
	for i := raft.Index(1); i <= 20; i++ {
		put(t, s, i, strings.Repeat("x", 500), "g")
	}
	before := segmentFiles(t, files)
	files.reading = func() {
		compact(t, s, "g", 20)
		require.NoError(t, s.Prepare())
		require.Equal(t, before, segmentFiles(t, files), "one of them is being read")
	}
	got, err := s.Read("g", 1, 3, 1<<20, nil)
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.NoError(t, s.Prepare())
	require.Len(t, segmentFiles(t, files), 1)

	for i := raft.Index(21); i <= 40; i++ {
		put(t, s, i, strings.Repeat("x", 500), "g")
	}
	files.reading = func() {
		compact(t, s, "g", 40)
		files.reading = func() { require.NoError(t, s.Prepare()) }
	}
	got, err = s.Read("g", 21, 40, 1<<20, nil)
	require.NoError(t, err)
	require.Len(t, got, 20)
	require.NoError(t, s.Close())
}

// TestReadersBesideCompaction runs readers, a writer that compacts, and the goroutine that removes
// files, on real files: a reader gets what it asked for or raft.ErrCompacted, and in the end the
// disk space is back.
func TestReadersBesideCompaction(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	o := options()
	o.MaxSegmentBytes = 16 << 10
	s, err := logmanager.StartSegments(vfs.OS(), dir, o)
	require.NoError(t, err)
	const entries = 500
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				stored, err := s.Load("g")
				if err != nil || stored.Base.Index == entries {
					return
				}
				lo := stored.Base.Index + 1
				got, err := s.Read("g", lo, stored.Last.Index, 20_000, nil)
				if err != nil && !errors.Is(err, raft.ErrCompacted) {
					t.Errorf("read: %v", err)
					return
				}
				if err == nil && stored.Last.Index >= lo && (len(got) == 0 || got[0].Index != lo) {
					t.Errorf("read %d entries from %d", len(got), lo)
					return
				}
			}
		})
	}
	put(t, s, 1, "one", "g")
	for i := raft.Index(2); i <= entries; i++ {
		put(t, s, i, strings.Repeat("x", 1000), "g")
		if i%40 == 0 {
			compact(t, s, "g", i-20)
		}
	}
	compact(t, s, "g", entries)
	readers.Wait()
	var names []string
	require.Eventually(t, func() bool {
		names, err = filepath.Glob(filepath.Join(dir, "*.*"))
		return err == nil && len(names) == 2 // the segment that is written to, and a spare
	}, 10*time.Second, time.Millisecond, "%v", names)
	bytes := int64(0)
	for _, name := range names {
		info, err := os.Stat(name)
		require.NoError(t, err)
		bytes += info.Size()
	}
	require.LessOrEqual(t, bytes, 2*o.MaxSegmentBytes, "of %d KiB written", entries)
	require.NoError(t, s.Close())
}

// TestAppendCostIsFlat: an append and a read cost the same after much was written and compacted as
// at first. Nothing grows with what was deleted.
func TestAppendCostIsFlat(t *testing.T) {
	files := vfs.NewMem(source(1))
	o := options()
	o.MaxSegmentBytes = 256 << 10
	s, err := logmanager.OpenSegments(files, "log", o)
	require.NoError(t, err)
	next := raft.Index(1)
	put(t, s, next, "first", "g")
	append1 := func() {
		next++
		put(t, s, next, "one more", "g")
	}
	cost := func() (allocs float64, changes, segments int) {
		was := files.Changes()
		allocs = testing.AllocsPerRun(100, append1)
		return allocs, int(files.Changes() - was), len(segmentFiles(t, files))
	}
	allocs, changes, _ := cost()
	for range 200 {
		var more []raft.Entry
		for range 100 {
			next++
			more = append(more, entry(2, next, strings.Repeat("x", 200)))
		}
		w := logmanager.Write{Group: "g", Entries: more, Compact: next - 100}
		require.NoError(t, s.Write([]logmanager.Write{w}))
		require.NoError(t, s.Prepare())
	}
	later, laterChanges, segments := cost()
	require.InDelta(t, allocs, later, 1)
	require.InDelta(t, changes, laterChanges, 20, "a segment begun, at most")
	require.LessOrEqual(t, segments, 2)
	reads := files.Count(vfs.OpRead)
	_, err = s.Read("g", next-100, next, 1, nil)
	require.NoError(t, err)
	require.LessOrEqual(t, files.Count(vfs.OpRead)-reads, uint64(2))
	require.NoError(t, s.Close())
}

// TestFirstSegmentLeftIsSound: once segments before it are gone, a segment without a sound
// beginning is damage, never an empty log.
func TestFirstSegmentLeftIsSound(t *testing.T) {
	files := filled(t)
	s := openMem(t, files)
	compact(t, s, "a", 30)
	compact(t, s, "b", 30)
	require.NoError(t, s.Prepare())
	left := segmentFiles(t, files)
	require.Len(t, left, 1)
	files.Crash(vfs.KeepNone)
	for at := int64(0); at < 680; at++ { // the segment's head and the states of two groups
		c := files.Clone()
		require.NoError(t, c.FlipBit("log/"+left[0], at, uint(at%8)))
		_, err := logmanager.OpenSegments(c, "log", options())
		require.ErrorIs(t, err, raft.ErrCorrupt, "byte %d", at)
	}
	// The segment that a removal has made room for is not there.
	require.NoError(t, files.Rename("log/"+left[0], "log/"+strings.Replace(left[0], "seg", "old", 1)))
	_, err := logmanager.OpenSegments(files, "log", options())
	require.ErrorIs(t, err, raft.ErrCorrupt)
}

// TestFreshSegmentIsNoBeginning: a segment that got its name and no batch yet can't be the first.
func TestFreshSegmentIsNoBeginning(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	put(t, s, 1, strings.Repeat("x", 1200), "g")
	require.NoError(t, s.Prepare())
	files.Fail(vfs.OpWrite, 1, errors.New("broken"))
	big := entry(2, 2, strings.Repeat("y", 1200))
	require.Error(t, s.Write([]logmanager.Write{{Group: "g", Entries: []raft.Entry{big}}}))
	files.Crash(vfs.KeepNone)
	s = openMem(t, files)
	require.Len(t, segmentFiles(t, files), 2)
	compact(t, s, "g", 1)
	require.NoError(t, s.Prepare())
	files.Crash(vfs.KeepNone)
	s = openMem(t, files)
	require.Equal(t, raft.Index(1), lastIndex(t, s, "g"))
	put(t, s, 2, "goes on", "g")
	compact(t, s, "g", 2)
	require.NoError(t, s.Prepare())
	require.Len(t, segmentFiles(t, files), 1)
	require.NoError(t, s.Close())
}
