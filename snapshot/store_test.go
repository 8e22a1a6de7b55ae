package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

const chunk = snapshot.ChunkBytes

func mem(seed uint64) *vfs.Mem { return vfs.NewMem(rand.New(rand.NewPCG(seed, 0))) }

func options() snapshot.Options {
	return snapshot.Options{Cluster: "c", Group: "orders", Peer: "peer-1"}
}

func open(t testing.TB, files vfs.FS, dir string) *snapshot.Files {
	t.Helper()
	s, err := snapshot.Open(files, dir, options())
	require.NoError(t, err)
	return s
}

func at(index int) raft.LogID { return raft.LogID{Term: 7, Index: raft.Index(index)} }

func configuration() raft.Configuration {
	return raft.Configuration{Index: 1, Voters: []raft.Peer{
		{ID: "peer-1", Addr: "h1:1"}, {ID: "peer-2", Addr: "h2:1"}}}
}

// noise is n bytes that depend on seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < n; i += 8 {
		v := rng.Uint64()
		for j := i; j < min(n, i+8); j++ {
			b[j] = byte(v >> (8 * (j - i)))
		}
	}
	return b
}

// state is what a test puts into a snapshot; the file with the empty name is the stream.
type state map[string][]byte

func put(files vfs.FS, name string, data []byte) error {
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// save writes a snapshot, with its files from a directory "user".
func save(files vfs.FS, s *snapshot.Files, last raft.LogID, st state) (raft.SnapshotMeta, error) {
	w, err := s.Create(last, configuration())
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	defer w.Abort()
	if err := files.MkdirAll("user"); err != nil {
		return raft.SnapshotMeta{}, err
	}
	if _, err := w.Write(st[""]); err != nil {
		return raft.SnapshotMeta{}, err
	}
	for _, name := range sortedNames(st) {
		from := fmt.Sprintf("user/%d-%x", last.Index, name)
		if err := files.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return raft.SnapshotMeta{}, err // a life before left it
		}
		if err := put(files, from, st[name]); err != nil {
			return raft.SnapshotMeta{}, err
		}
		if err := w.AddFile(name, from); err != nil {
			return raft.SnapshotMeta{}, err
		}
		if err := files.Remove(from); err != nil {
			return raft.SnapshotMeta{}, err
		}
	}
	return w.Commit()
}

func sortedNames(st state) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(st)),
		func(name string) bool { return name == "" })
}

func mustSave(t testing.TB, files vfs.FS, s *snapshot.Files, last raft.LogID,
	st state) raft.SnapshotMeta {
	t.Helper()
	meta, err := save(files, s, last, st)
	require.NoError(t, err)
	return meta
}

// load reads a snapshot back.
func load(s *snapshot.Files, last raft.LogID) (state, error) {
	r, err := s.Open(last)
	if err != nil {
		return nil, err
	}
	st := state{}
	st[""], err = io.ReadAll(r)
	for _, name := range r.Files() {
		f, e := r.OpenFile(name)
		if e != nil {
			return nil, errors.Join(err, e, r.Close())
		}
		st[name], e = io.ReadAll(f)
		err = errors.Join(err, e, f.Close())
	}
	return st, errors.Join(err, r.Close())
}

func requireState(t testing.TB, want state, s *snapshot.Files, last raft.LogID) {
	t.Helper()
	got, err := load(s, last)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for name := range want {
		require.True(t, bytes.Equal(want[name], got[name]), "file %q", name)
	}
}

// list returns the names in dir, but for the lock, which only real file systems show.
func list(t testing.TB, files vfs.FS, dir string) []string {
	t.Helper()
	names, err := files.List(dir)
	require.NoError(t, err)
	return slices.DeleteFunc(names, func(name string) bool { return name == "LOCK" })
}

func TestSaveAndLoad(t *testing.T) {
	for _, where := range []string{"mem", "os"} {
		t.Run(where, func(t *testing.T) {
			var files vfs.FS = mem(1)
			dir := "s"
			if where == "os" {
				t.Chdir(t.TempDir())
				files = vfs.OS()
				dir = "s"
			}
			s := open(t, files, dir)
			_, ok := s.Newest()
			require.False(t, ok)
			st := state{"": []byte("the stream"), "a/b.sst": noise(1, 3000), "empty": {},
				"z": noise(2, chunk+5)}
			meta := mustSave(t, files, s, at(12), st)
			require.Equal(t, raft.SnapshotMeta{Last: at(12), Configuration: configuration(),
				Bytes: 10 + 3000 + chunk + 5, Files: 3}, meta)
			for range 2 {
				newest, ok := s.Newest()
				require.True(t, ok)
				require.Equal(t, meta, newest)
				require.Equal(t, []raft.SnapshotMeta{meta}, s.All())
				requireState(t, st, s, at(12))
				require.NoError(t, s.Verify(at(12)))
				require.Empty(t, s.Problems())
				require.NoError(t, s.Close())
				s = open(t, files, dir)
			}
			r, err := s.Open(at(12))
			require.NoError(t, err)
			require.Equal(t, []string{"a/b.sst", "empty", "z"}, r.Files())
			require.Equal(t, meta, r.Meta())
			_, err = r.OpenFile("none")
			require.ErrorIs(t, err, fs.ErrNotExist)
			_, err = r.OpenFile("")
			require.ErrorIs(t, err, fs.ErrNotExist, "the stream is no file")
			require.NoError(t, r.Close())
			require.NoError(t, r.Close())
			_, err = s.Open(at(13))
			require.ErrorIs(t, err, snapshot.ErrGone)
			require.Equal(t, []string{snapshot.KeptName(at(12))}, list(t, files, dir))
			require.NoError(t, s.Close())
		})
	}
}

// TestOpenDir: the store of the operating system's files, a file by hard link, another by copy.
func TestOpenDir(t *testing.T) {
	dir := t.TempDir()
	s, err := snapshot.OpenDir(filepath.ToSlash(dir), options())
	require.NoError(t, err)
	_, err = snapshot.OpenDir(filepath.ToSlash(dir), options())
	require.ErrorIs(t, err, vfs.ErrLocked)
	w, err := s.Create(at(1), configuration())
	require.NoError(t, err)
	from := filepath.ToSlash(filepath.Join(t.TempDir(), "x"))
	require.NoError(t, put(vfs.OS(), from, []byte("xyz")))
	require.NoError(t, w.AddFile("x", from))
	_, err = s.Create(at(2), configuration())
	require.ErrorIs(t, err, raft.ErrBusy)
	_, err = w.Commit()
	require.NoError(t, err)
	requireState(t, state{"": {}, "x": []byte("xyz")}, s, at(1))
	require.NoError(t, s.Close())
}

// unlinking is a file system without hard links.
type unlinking struct{ vfs.FS }

func (unlinking) Link(string, string) error { return errors.ErrUnsupported }

func TestSizes(t *testing.T) {
	sizes := []int{0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk}
	for _, link := range []bool{true, false} {
		var files vfs.FS = mem(1)
		if !link {
			files = unlinking{files}
		}
		from, to := open(t, files, "from"), open(t, files, "to")
		for i, n := range sizes {
			st := state{"": noise(1, n), "f": noise(2, n)}
			meta := mustSave(t, files, from, at(i+1), st)
			requireState(t, st, from, at(i+1))
			fetch(t, from, to, meta, nil)
			requireState(t, st, to, at(i+1))
			var stream bytes.Buffer
			require.NoError(t, from.Export(&stream, at(i+1)))
			third := open(t, files, fmt.Sprintf("third-%d", i))
			_, err := third.Import(&stream)
			require.NoError(t, err)
			requireState(t, st, third, at(i+1))
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	files := mem(1)
	s := open(t, files, "s")
	_, err := s.Create(raft.LogID{}, configuration())
	require.Error(t, err)
	_, err = s.Create(at(1), raft.Configuration{})
	require.Error(t, err)
	for _, name := range badNames {
		w, err := s.Create(at(1), configuration())
		require.NoError(t, err)
		require.NoError(t, put(files, "x", nil))
		require.NoError(t, w.AddFile("fine", "x"))
		require.Error(t, w.AddFile(name, "x"))
		_, err = w.Write([]byte("x"))
		require.Error(t, err, "after an error it takes no more")
		_, err = w.Commit()
		require.Error(t, err)
		w.Abort()
		require.NoError(t, files.Remove("x"))
	}
	w, err := s.Create(at(1), configuration())
	require.NoError(t, err)
	require.ErrorIs(t, w.AddFile("f", "none"), fs.ErrNotExist)
	w.Abort()
	w, err = s.Create(at(1), configuration())
	require.NoError(t, err)
	require.NoError(t, put(files, "x", nil))
	require.NoError(t, w.AddFile("f", "x"))
	require.ErrorIs(t, w.AddFile("f", "x"), fs.ErrExist)
	w.Abort()
	require.Empty(t, list(t, files, "s"))
	mustSave(t, files, s, at(1), state{})
	_, err = s.Create(at(1), configuration())
	require.ErrorIs(t, err, fs.ErrExist)
}

var badNames = []string{"", ".", "..", "../x", "a/../../x", "/etc/passwd", "a/", "a//b", "./a",
	"a/./b", `..\x`, `a\b`, "c:x", "a\x00b", "a\nb", "x\x7f", "\xff", ".. ", "a/... /b", "dot.",
	strings.Repeat("a", 256)}

// appended is a file system where somebody appends to a file while it is read.
type appended struct{ vfs.FS }

func (a appended) OpenRead(name string) (vfs.File, error) {
	f, err := a.FS.Open(name)
	return appendedFile{f}, err
}

type appendedFile struct{ vfs.File }

func (f appendedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	_, e := f.File.WriteAt([]byte("more"), off+int64(n))
	return n, errors.Join(err, e)
}

// TestFileGrows: a linked file that is still appended to is refused while it can be told.
func TestFileGrows(t *testing.T) {
	files := mem(1)
	s := open(t, appended{files}, "s")
	w, err := s.Create(at(1), configuration())
	require.NoError(t, err)
	require.NoError(t, put(files, "x", []byte("xyz")))
	require.ErrorContains(t, w.AddFile("x", "x"), "it grew from 3 to 7 bytes")
	_, err = w.Commit()
	require.Error(t, err)
	require.Empty(t, list(t, files, "s"))
}

// TestFileGrowsLater: what is appended to a linked file after the save is no part of the snapshot,
// and does no harm to it.
func TestFileGrowsLater(t *testing.T) {
	files := mem(1)
	s := open(t, files, "s")
	w, err := s.Create(at(1), configuration())
	require.NoError(t, err)
	require.NoError(t, put(files, "x", []byte("xyz")))
	require.NoError(t, w.AddFile("x", "x"))
	meta, err := w.Commit()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	f, err := files.Open("x")
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("more"), 3)
	require.NoError(t, errors.Join(err, f.Close()))

	s = open(t, files, "s")
	require.NoError(t, s.Verify(meta.Last))
	r, err := s.Open(meta.Last)
	require.NoError(t, err)
	x, err := r.OpenFile("x")
	require.NoError(t, err)
	got, err := io.ReadAll(x)
	require.NoError(t, errors.Join(err, x.Close(), r.Close()))
	require.Equal(t, "xyz", string(got))
}

func TestValidName(t *testing.T) {
	for _, name := range badNames {
		require.Error(t, snapshot.ValidName(name), "%q", name)
	}
	for _, name := range []string{"a", "000123.sst", "dir/file", "..a", "a..b", ".hidden", "ü", "a b",
		strings.Repeat("a", 255)} {
		require.NoError(t, snapshot.ValidName(name), "%q", name)
	}
}

func TestCollect(t *testing.T) {
	files := mem(1)
	s := open(t, files, "s")
	st := state{"": []byte("x"), "f": []byte("y")}
	var metas []raft.SnapshotMeta
	for i := 1; i <= 4; i++ {
		metas = append(metas, mustSave(t, files, s, at(i), st))
	}
	last := func() (indexes []int) {
		for _, meta := range s.All() {
			indexes = append(indexes, int(meta.Last.Index))
		}
		return indexes
	}
	require.Equal(t, []int{4, 3, 2, 1}, last())
	r, err := s.Open(at(1))
	require.NoError(t, err)
	to := open(t, files, "to")
	in, err := to.Receive(metas[1])
	require.NoError(t, err)
	request, ok := in.Next()
	require.True(t, ok)
	_, err = s.Serve(5*time.Second, request, nil)
	require.NoError(t, err)
	require.NoError(t, s.Collect(6*time.Second))
	require.Equal(t, []int{4, 3, 2, 1}, last(), "one is read, one was asked for")
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "x", string(b))
	f, err := r.OpenFile("f")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, r.Close())
	require.NoError(t, s.Collect(64*time.Second))
	require.Equal(t, []int{4, 3, 2}, last())
	require.NoError(t, s.Collect(65*time.Second))
	require.Equal(t, []int{4, 3}, last())
	require.Equal(t, []string{snapshot.KeptName(at(3)), snapshot.KeptName(at(4))}, list(t, files, "s"))
	reply, err := s.Serve(66*time.Second, request, nil)
	require.NoError(t, err)
	require.ErrorIs(t, in.Got(request, reply), snapshot.ErrGone)
	require.ErrorIs(t, in.Err(), snapshot.ErrGone)
	_, ok = in.Next()
	require.False(t, ok)
	require.NoError(t, in.Close())
}

// TestUnreadable: a sector that can't be read is damage, in a manifest as in a file, when the store
// is opened, when the snapshot is read, and when another member asks for it.
func TestUnreadable(t *testing.T) {
	lost := errors.New("input/output error")
	two := func() (*vfs.Mem, *snapshot.Files, raft.SnapshotMeta) {
		files := mem(1)
		s := open(t, files, "s")
		mustSave(t, files, s, at(4), state{"": noise(1, 100)})
		return files, s, mustSave(t, files, s, at(5), state{"": noise(1, 100)})
	}
	older := func(s *snapshot.Files) {
		t.Helper()
		require.Len(t, s.All(), 1)
	}
	files, s, _ := two()
	require.NoError(t, s.Close())
	files.Fail(vfs.OpRead, 2, lost) // after the size: the manifest of one
	s = open(t, files, "s")
	require.Len(t, s.Problems(), 1)
	require.ErrorIs(t, s.Problems()[0], lost)
	older(s)

	files, s, _ = two()
	files.Fail(vfs.OpRead, 1, lost)
	_, err := load(s, at(5))
	require.ErrorIs(t, err, raft.ErrCorrupt)
	require.ErrorIs(t, err, lost)
	older(s)

	files, s, meta := two()
	in, err := open(t, files, "to").Receive(meta)
	require.NoError(t, err)
	for range 2 { // the manifest is in memory
		files.Mend()
		files.Fail(vfs.OpRead, 1, lost)
		request, ok := in.Next()
		require.True(t, ok)
		reply, err := s.Serve(0, request, nil)
		require.NoError(t, err)
		files.Mend()
		_ = in.Got(request, reply)
	}
	require.ErrorIs(t, in.Err(), snapshot.ErrGone)
	older(s)
}

// TestCollectGoesOn: what an error has left is removed by the next call, at whatever step it was.
func TestCollectGoesOn(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpRename, vfs.OpSyncDir, vfs.OpRemove, vfs.OpList} {
		for n := 1; n <= 3; n++ {
			files := mem(1)
			s := open(t, files, "s")
			for i := 1; i <= 5; i++ {
				mustSave(t, files, s, at(i), state{"": []byte("x")})
			}
			files.Fail(op, n, fs.ErrPermission)
			require.ErrorIs(t, s.Collect(0), fs.ErrPermission, "%v %d", op, n)
			require.NoError(t, s.Collect(0))
			require.Equal(t, []string{snapshot.KeptName(at(4)), snapshot.KeptName(at(5))},
				list(t, files, "s"), "%v %d", op, n)
			require.Len(t, s.All(), 2)
		}
	}
}

// TestDamageFallsBack: a damaged snapshot is reported, and the next older one is used.
func TestDamageFallsBack(t *testing.T) {
	for _, what := range []string{"manifest", "missing", "short", "content"} {
		files := mem(1)
		s := open(t, files, "s")
		st := state{"": []byte("stream"), "f": []byte("file")}
		mustSave(t, files, s, at(1), st)
		mustSave(t, files, s, at(2), st)
		require.NoError(t, s.Close())
		f := path.Join("s", snapshot.KeptName(at(2)), snapshot.ContentName(1))
		switch what {
		case "manifest":
			require.NoError(t, files.FlipBit(path.Join("s", snapshot.KeptName(at(2)), "manifest"), 40, 1))
		case "missing":
			require.NoError(t, files.Remove(f))
		case "short":
			file, err := files.Open(f)
			require.NoError(t, err)
			require.NoError(t, file.Truncate(3))
		case "content":
			require.NoError(t, files.FlipBit(f, 2, 5))
		}
		s = open(t, files, "s")
		if what == "content" {
			require.Empty(t, s.Problems())
			err := s.Verify(at(2))
			require.ErrorIs(t, err, raft.ErrCorrupt)
			require.ErrorContains(t, err, f+" at offset 0")
		} else {
			require.Len(t, s.Problems(), 1)
		}
		newest, ok := s.Newest()
		require.True(t, ok)
		require.Equal(t, at(1), newest.Last)
		requireState(t, st, s, at(1))
		// The same snapshot can come again, and damaged ones go with the old.
		mustSave(t, files, s, at(2), st)
		requireState(t, st, s, at(2))
		require.NoError(t, s.Collect(0))
		require.Len(t, s.All(), 2)
		mustSave(t, files, s, at(3), st)
		require.NoError(t, s.Collect(0))
		require.Equal(t, []string{snapshot.KeptName(at(2)), snapshot.KeptName(at(3))},
			list(t, files, "s"))
	}
}

func TestOpenRefuses(t *testing.T) {
	files := mem(1)
	s := open(t, files, "s")
	mustSave(t, files, s, at(1), state{"": []byte("x")})
	_, err := snapshot.Open(files, "s", options())
	require.ErrorIs(t, err, vfs.ErrLocked)
	require.NoError(t, s.Close())
	for _, o := range []snapshot.Options{{Cluster: "d", Group: "orders", Peer: "p"},
		{Cluster: "c", Group: "g", Peer: "p"}} {
		_, err := snapshot.Open(files, "s", o)
		require.ErrorIs(t, err, raft.ErrWrongCluster)
	}
	for _, o := range []snapshot.Options{{}, {Group: "g"}, {Peer: "p"},
		{Cluster: " ", Group: "g", Peer: "p"},
		{Group: "g", Peer: "p", Keep: -1}} {
		_, err := snapshot.Open(files, "t", o)
		require.Error(t, err)
	}
	require.NoError(t, open(t, files, "s").Close())
}

// TestBitFlips: no single flipped bit, anywhere in a snapshot, is ever read as if it were right.
func TestBitFlips(t *testing.T) {
	files := mem(1)
	s := open(t, files, "s")
	st := state{"": []byte("the stream"), "f": noise(1, 40)}
	mustSave(t, files, s, at(1), st)
	require.NoError(t, s.Close())
	dir := path.Join("s", snapshot.KeptName(at(1)))
	for _, name := range list(t, files, dir) {
		name = path.Join(dir, name)
		f, err := files.Open(name)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		for bit := range size * 8 {
			require.NoError(t, files.FlipBit(name, bit/8, uint(bit%8)))
			s, err := snapshot.Open(files, "s", options())
			if err == nil {
				if _, ok := s.Newest(); ok {
					_, err := load(s, at(1))
					require.ErrorIs(t, err, raft.ErrCorrupt, "%s bit %d", name, bit)
					_, ok = s.Newest()
					require.False(t, ok)
				}
				require.NoError(t, s.Close())
			} else {
				require.ErrorContains(t, err, "format version", "%s bit %d", name, bit)
			}
			require.NoError(t, files.FlipBit(name, bit/8, uint(bit%8)))
		}
	}
	requireState(t, st, open(t, files, "s"), at(1))
}
