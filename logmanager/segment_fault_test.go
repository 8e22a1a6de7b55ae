package logmanager_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

func openMem(t *testing.T, files vfs.FS) *logmanager.Segments {
	s, err := logmanager.OpenSegments(files, "log", options())
	require.NoError(t, err)
	return s
}

// put writes a call that holds one entry of each group, with a hard state at first.
func put(
	t *testing.T, s *logmanager.Segments, index raft.Index, data string, groups ...raft.GroupID,
) {
	var batch []logmanager.Write
	for _, id := range groups {
		w := logmanager.Write{Group: id, Entries: []raft.Entry{entry(2, index, data)}}
		if index == 1 {
			w.HardState = hard(2, "p2")
		}
		batch = append(batch, w)
	}
	require.NoError(t, s.Write(batch))
}

func lastIndex(t *testing.T, s *logmanager.Segments, id raft.GroupID) raft.Index {
	stored, err := s.Load(id)
	require.NoError(t, err)
	return stored.Last.Index
}

// TestOneSyncPerWrite counts: a vote, a batch of entries, and a call with work of several groups
// cost one write and one sync each, and nothing else.
func TestOneSyncPerWrite(t *testing.T) {
	files := vfs.NewMem(source(1))
	o := options()
	o.FirstSegmentBytes = 64 << 10
	o.MaxSegmentBytes = 64 << 10
	s, err := logmanager.OpenSegments(files, "log", o)
	require.NoError(t, err)
	require.NoError(t, s.Prepare())
	var many []raft.Entry
	for i := raft.Index(2); i < 40; i++ {
		many = append(many, entry(2, i, strings.Repeat("x", 100)))
	}
	for _, batch := range [][]logmanager.Write{
		{{Group: "a", HardState: hard(2, "p1")}},
		{{Group: "a", Entries: []raft.Entry{entry(2, 1, "one")}}},
		{{Group: "a", Entries: many}},
		{
			{Group: "a", HardState: hard(3, ""), Truncate: 10},
			{Group: "b", HardState: hard(1, "")},
			{Group: "c", HardState: hard(1, "")},
		},
		{
			{Group: "b", Entries: []raft.Entry{entry(1, 1, "x")}},
			{Group: "b", Entries: []raft.Entry{entry(1, 2, "y")}},
		},
	} {
		changes, writes, syncs := files.Changes(), files.Count(vfs.OpWrite), files.Count(vfs.OpSyncData)
		require.NoError(t, s.Write(batch))
		require.Equal(t, writes+1, files.Count(vfs.OpWrite))
		require.Equal(t, syncs+1, files.Count(vfs.OpSyncData))
		require.Equal(t, changes+2, files.Changes(), "and no other change")
	}
	changes := files.Changes()
	require.NoError(t, s.Write([]logmanager.Write{{Seq: 5, Group: "a"}}))
	require.Equal(t, changes, files.Changes(), "nothing to write")

	// A write that begins a segment that was prepared: rename, sync of the directory, write, sync.
	// The old segment needs none: every call before has synced it.
	stored, err := s.Load("a")
	require.NoError(t, err)
	put1 := entry(3, stored.Last.Index+1, strings.Repeat("x", 60<<10))
	require.NoError(t, s.Write([]logmanager.Write{{Group: "a", Entries: []raft.Entry{put1}}}))
	require.Equal(t, changes+4, files.Changes())
	require.NoError(t, s.Close())
}

func TestWriteErrorIsFinal(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSyncData} {
		files := vfs.NewMem(source(1))
		s := openMem(t, files)
		put(t, s, 1, "one", "g")
		files.Fail(op, 1, broken)
		w := []logmanager.Write{{Group: "g", Entries: []raft.Entry{entry(2, 2, "two")}}}
		err := s.Write(w)
		require.ErrorIs(t, err, broken)
		changes := files.Changes()
		require.Equal(t, err, s.Write(w))
		require.Equal(t, raft.Index(1), lastIndex(t, s, "g"), "only what is durable shows")
		require.NoError(t, s.Close())
		require.Equal(t, changes, files.Changes(), "a failed store is not touched")
	}
}

// TestFailedSyncIsNotTrusted: the kernel may forget what a failed sync had to write and still show
// it. What the next opening finds must be made durable anew before anyone builds on it.
func TestFailedSyncIsNotTrusted(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	put(t, s, 1, "one", "g")
	files.Fail(vfs.OpSyncData, 1, errors.New("lost"))
	two := logmanager.Write{Group: "g", Entries: []raft.Entry{entry(2, 2, "two")}}
	require.Error(t, s.Write([]logmanager.Write{two}))
	files.Kill()
	s = openMem(t, files)
	found := lastIndex(t, s, "g")
	require.Equal(t, raft.Index(2), found)
	files.Crash(vfs.KeepNone)
	require.Equal(t, found, lastIndex(t, openMem(t, files), "g"))
}

func TestDiskFull(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	put(t, s, 1, "one", "g")
	files.SetSpace(1000)
	require.ErrorIs(t, s.Prepare(), raft.ErrDiskFull)
	files.SetSpace(5000)
	put(t, s, 2, "a failed preparation harms nothing", "g")
	index := raft.Index(2)
	var err error
	for err == nil {
		index++
		more := []raft.Entry{entry(2, index, strings.Repeat("x", 300))}
		err = s.Write([]logmanager.Write{{Group: "g", Entries: more}})
	}
	require.ErrorIs(t, err, raft.ErrDiskFull)
	require.NoError(t, s.Close())
	files.SetSpace(-1)
	s = openMem(t, files)
	require.Equal(t, index-1, lastIndex(t, s, "g"))
	put(t, s, index, "goes on", "g")
	require.NoError(t, s.Close())
}

func TestOwner(t *testing.T) {
	files := vfs.NewMem(source(1))
	require.NoError(t, openMem(t, files).Close())
	o := options()
	o.Peer = "p2"
	_, err := logmanager.OpenSegments(files, "log", o)
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	require.ErrorContains(t, err, `"p1"`)
	require.ErrorContains(t, err, `"p2"`)
	o = options()
	o.Cluster = "other"
	_, err = logmanager.OpenSegments(files, "log", o)
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	require.ErrorContains(t, err, `"c"`)
	require.ErrorContains(t, err, `"other"`)
	require.NoError(t, openMem(t, files).Close(), "the lock was released")
}

func TestSecondHolder(t *testing.T) {
	for _, c := range []struct {
		files vfs.FS
		dir   string
	}{{vfs.NewMem(source(1)), "log"}, {vfs.OS(), filepath.Join(t.TempDir(), "a", "b")}} {
		s, err := logmanager.OpenSegments(c.files, c.dir, options())
		require.NoError(t, err)
		_, err = logmanager.OpenSegments(c.files, c.dir, options())
		require.ErrorIs(t, err, vfs.ErrLocked)
		require.ErrorContains(t, err, "a test")
		require.NoError(t, s.Close())
		s, err = logmanager.OpenSegments(c.files, c.dir, options())
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, change := range []func(*logmanager.SegmentOptions){
		func(o *logmanager.SegmentOptions) { o.Peer = "" },
		func(o *logmanager.SegmentOptions) { o.Cluster = "a b" },
		func(o *logmanager.SegmentOptions) { o.FirstSegmentBytes = 100 },
		func(o *logmanager.SegmentOptions) { o.MaxSegmentBytes = o.FirstSegmentBytes - 1 },
	} {
		o := options()
		change(&o)
		_, err := logmanager.OpenSegments(vfs.NewMem(source(1)), "log", o)
		require.Error(t, err)
	}
}

// filled returns a file system with a store of several segments that was not closed.
func filled(t *testing.T) *vfs.Mem {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	for i := raft.Index(1); i <= 30; i++ {
		put(t, s, i, strings.Repeat("x", 200), "a", "b")
	}
	files.Crash(vfs.KeepNone)
	return files
}

// TestMissingSegment: a gap is damage. What is missing before the first segment may have been
// compacted: the log then begins where it says.
func TestMissingSegment(t *testing.T) {
	for number := 2; number <= 3; number++ {
		files := filled(t)
		name := fmt.Sprintf("log/log-%08d.seg", number)
		require.NoError(t, files.Remove(name))
		_, err := logmanager.OpenSegments(files, "log", options())
		require.ErrorIs(t, err, raft.ErrCorrupt)
		require.ErrorContains(t, err, name)
	}
}

func TestMissingFirstSegments(t *testing.T) {
	files := filled(t)
	before := raft.Index(0)
	names, err := files.List("log")
	require.NoError(t, err)
	segments := slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
	require.Greater(t, len(segments), 3)
	for _, name := range segments[:len(segments)-1] {
		require.NoError(t, files.Remove("log/"+name))
		s := openMem(t, files)
		for _, id := range []raft.GroupID{"a", "b"} {
			stored, err := s.Load(id)
			require.NoError(t, err)
			require.Equal(t, raft.LogID{Term: 2, Index: 30}, stored.Last)
			require.Equal(t, hard(2, "p2"), &stored.HardState)
			require.Greater(t, stored.Base.Index, before)
			got, err := s.Read(id, stored.Base.Index+1, 30, 1<<30, nil)
			require.NoError(t, err)
			require.Len(t, got, int(30-stored.Base.Index))
		}
		stored, err := s.Load("b")
		require.NoError(t, err)
		before = stored.Base.Index - 1 // of group a, maybe
		files.Kill()
	}
}

func TestNewerVersion(t *testing.T) {
	files := filled(t)
	f, err := files.Open("log/log-00000002.seg")
	require.NoError(t, err)
	head := make([]byte, 16)
	_, err = f.ReadAt(head, 0)
	require.NoError(t, err)
	binary.LittleEndian.PutUint32(head[8:], 7)
	binary.LittleEndian.PutUint32(head[12:], raft.Checksum(head[:12]))
	_, err = f.WriteAt(head, 0)
	require.NoError(t, err)
	_, err = logmanager.OpenSegments(files, "log", options())
	require.ErrorContains(t, err,
		"log-00000002.seg has format version 7, this program reads version 1:")
	require.NotErrorIs(t, err, raft.ErrCorrupt)
}

func TestResizedSegment(t *testing.T) {
	for _, size := range []int64{0, 100, 512, 1500, 100000} {
		files := filled(t)
		f, err := files.Open("log/log-00000002.seg")
		require.NoError(t, err)
		require.NoError(t, f.Truncate(size))
		_, err = logmanager.OpenSegments(files, "log", options())
		require.ErrorIs(t, err, raft.ErrCorrupt)
		require.ErrorContains(t, err, "log-00000002.seg")
	}
}

// TestLargeEntry: what is larger than a segment gets a segment of its own size.
func TestLargeEntry(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	put(t, s, 1, "small", "g")
	require.NoError(t, s.Prepare())
	put(t, s, 2, strings.Repeat("L", 300<<10), "g")
	put(t, s, 3, "small again", "g")
	for range 2 {
		got, err := s.Read("g", 1, 3, 1<<30, nil)
		require.NoError(t, err)
		require.Len(t, got, 3)
		require.Len(t, got[1].Data, 300<<10)
		require.NoError(t, s.Close())
		s = openMem(t, files)
	}
	require.NoError(t, s.Close())
}

// TestEveryBitFlip flips a bit in each byte of a store that was not closed, and demands that it is
// noticed, or changes nothing, or takes away the last append and nothing else. After a clean close
// it may not even do that.
func TestEveryBitFlip(t *testing.T) {
	for _, closed := range []bool{false, true} {
		files := vfs.NewMem(source(1))
		s := openMem(t, files)
		m := newModel()
		rng := source(3)
		var cut []*model // what may be there when the last append is damaged
		for range 8 {
			batch := randomCall(rng, m)
			before, changes := m.clone(), files.Changes()
			m.apply(batch...)
			require.NoError(t, s.Write(batch))
			if files.Changes() == changes {
				continue // nothing to write: the last append is an earlier one
			}
			cut = []*model{before}
			for _, step := range steps(batch) {
				cut = append(cut, cut[len(cut)-1].clone())
				cut[len(cut)-1].apply(step)
			}
		}
		if closed {
			require.NoError(t, s.Close())
			cut = nil
		}
		files.Crash(vfs.KeepNone)
		outcomes := flipAll(t, files, m, cut)
		require.Greater(t, outcomes["refused"], 500)
		require.Greater(t, outcomes["nothing changed"], 50, "zeros at the end")
		if !closed {
			require.Greater(t, outcomes["last append cut"], 10)
		}
	}
}

func flipAll(t *testing.T, files *vfs.Mem, m *model, cut []*model) map[string]int {
	outcomes := map[string]int{}
	names, err := files.List("log")
	require.NoError(t, err)
	for _, name := range names {
		f, err := files.Open("log/" + name)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		for at := range size {
			zero := make([]byte, 1)
			_, err := f.ReadAt(zero, at)
			require.NoError(t, err)
			if zero[0] == 0 && at%8 != 3 {
				continue // mostly the end of the file, where one byte is as another
			}
			c := files.Clone()
			require.NoError(t, c.FlipBit("log/"+name, at, uint(at%8)))
			s, err := logmanager.OpenSegments(c, "log", options())
			if err != nil {
				require.ErrorIs(t, err, raft.ErrCorrupt)
				require.ErrorContains(t, err, "log/log-")
				outcomes["refused"]++
				continue
			}
			if diff, err := m.differs(s, testGroups...); err == nil && diff == "" {
				outcomes["nothing changed"]++
				continue
			}
			require.True(t, slices.ContainsFunc(cut, func(m *model) bool {
				diff, err := m.differs(s, testGroups...)
				return err == nil && diff == ""
			}), "%s, byte %d", name, at)
			outcomes["last append cut"]++
		}
	}
	return outcomes
}

// TestFlipWhileOpen damages what a reader reads, each byte of the first entries.
func TestFlipWhileOpen(t *testing.T) {
	files := filled(t)
	s := openMem(t, files)
	want, err := s.Read("b", 1, 30, 1<<20, nil)
	require.NoError(t, err)
	require.Len(t, want, 30)
	refused := 0
	for at := int64(512); at < 2048; at++ {
		require.NoError(t, files.FlipBit("log/log-00000001.seg", at, uint(at%8)))
		got, err := s.Read("b", 1, 30, 1<<20, nil)
		if err != nil {
			require.ErrorIs(t, err, raft.ErrCorrupt)
			require.ErrorContains(t, err, "log-00000001.seg")
			refused++
		} else {
			require.True(t, slices.EqualFunc(got, want, same), "byte %d", at)
		}
		require.NoError(t, files.FlipBit("log/log-00000001.seg", at, uint(at%8)))
	}
	require.Greater(t, refused, 600)
}

// TestLeftoverIsNotContinued: of a call with two batches only the second one reached the disk.
// After the next opening another batch of the same size takes the first one's place; the left-over
// would follow it exactly, and must not.
func TestLeftoverIsNotContinued(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	put(t, s, 1, "1", "a", "b")
	f, err := files.Open("log/log-00000001.seg")
	require.NoError(t, err)
	before := make([]byte, 2048)
	_, err = f.ReadAt(before, 0)
	require.NoError(t, err)
	put(t, s, 2, "unlucky", "a", "b")
	end := 2048
	for before[end-1] == 0 {
		end--
	}
	end = (end + 7) &^ 7
	lost := make([]byte, 48+32) // head and one record
	_, err = f.WriteAt(lost, int64(end))
	require.NoError(t, err)
	files.Crash(vfs.KeepAll)

	s = openMem(t, files)
	require.Equal(t, raft.Index(1), lastIndex(t, s, "a"))
	require.Equal(t, raft.Index(1), lastIndex(t, s, "b"))
	put(t, s, 2, "luckier", "a")
	files.Crash(vfs.KeepNone)
	s = openMem(t, files)
	require.Equal(t, raft.Index(2), lastIndex(t, s, "a"))
	require.Equal(t, raft.Index(1), lastIndex(t, s, "b"))
	require.NoError(t, s.Close())
}

// TestSparesAreRemoved: what a preparation left behind, complete or not, does not survive an
// opening.
func TestSparesAreRemoved(t *testing.T) {
	files := filled(t)
	before, err := files.List("log")
	require.NoError(t, err)
	f, err := files.Create("log/log-00000077.new")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	s := openMem(t, files)
	require.NoError(t, s.Prepare())
	require.NoError(t, s.Prepare())
	files.Crash(vfs.KeepAll)
	require.NoError(t, openMem(t, files).Close())
	after, err := files.List("log")
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// TestSealedIsSound: once a segment has a successor, even one without a batch, no damage to it
// passes for an interrupted append.
func TestSealedIsSound(t *testing.T) {
	files := vfs.NewMem(source(1))
	s := openMem(t, files)
	put(t, s, 1, strings.Repeat("x", 1200), "g")
	// The head of segment 2 is written, and its first batches are not.
	files.Fail(vfs.OpWrite, 2, errors.New("broken"))
	big := entry(2, 2, strings.Repeat("y", 1200))
	require.Error(t, s.Write([]logmanager.Write{{Group: "g", Entries: []raft.Entry{big}}}))
	files.Crash(vfs.KeepNone)
	for at := int64(0); at < 1700; at++ {
		c := files.Clone()
		require.NoError(t, c.FlipBit("log/log-00000001.seg", at, uint(at%8)))
		_, err := logmanager.OpenSegments(c, "log", options())
		require.ErrorIs(t, err, raft.ErrCorrupt, "byte %d", at)
	}
	s = openMem(t, files)
	put(t, s, 2, "goes on in the empty segment", "g")
	require.NoError(t, s.Close())
	names, err := files.List("log")
	require.NoError(t, err)
	require.Equal(t, []string{"log-00000001.seg", "log-00000002.seg"}, names)
}
