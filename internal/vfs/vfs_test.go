package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
)

func mem(seed uint64) *vfs.Mem { return vfs.NewMem(rand.New(rand.NewPCG(seed, 0))) }

func forEach(t *testing.T, test func(t *testing.T, files vfs.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, vfs.OS(), filepath.ToSlash(t.TempDir())) })
	t.Run("mem", func(t *testing.T) {
		m := mem(1)
		require.NoError(t, m.MkdirAll("/some/dir"))
		test(t, m, "/some/dir")
	})
}

func create(t *testing.T, files vfs.FS, name, content string) vfs.File {
	f, err := files.Create(name)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	require.NoError(t, err)
	return f
}

func content(t *testing.T, files vfs.FS, name string) string {
	f, err := files.Open(name)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	require.True(t, err == nil || err == io.EOF, "%v", err)
	require.Equal(t, int(size), n)
	require.NoError(t, f.Close())
	return string(b)
}

func TestFilesReadAndWrite(t *testing.T) {
	forEach(t, func(t *testing.T, files vfs.FS, dir string) {
		f := create(t, files, dir+"/f", "hello")
		_, err := f.WriteAt([]byte("world"), 1500)
		require.NoError(t, err)
		want := "hello" + strings.Repeat("\x00", 1495) + "world"
		require.Equal(t, want, content(t, files, dir+"/f"))

		b := make([]byte, 10)
		n, err := f.ReadAt(b, 1500)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "world", string(b[:n]))
		_, err = f.ReadAt(b, 1505)
		require.Equal(t, io.EOF, err)
		_, err = f.ReadAt(b, 9999)
		require.Equal(t, io.EOF, err)
		n, err = f.ReadAt(b, 1490)
		require.NoError(t, err)
		require.Equal(t, 10, n)

		require.NoError(t, f.Truncate(3))
		require.NoError(t, f.Truncate(6))
		require.Equal(t, "hel\x00\x00\x00", content(t, files, dir+"/f"), "zeros after growing again")
		require.NoError(t, f.Allocate(8))
		require.NoError(t, f.Allocate(5))
		require.Equal(t, "hel\x00\x00\x00\x00\x00", content(t, files, dir+"/f"), "never smaller")
		require.NoError(t, f.Sync())
		require.NoError(t, f.SyncData())
		require.NoError(t, f.Close())
		_, err = f.WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, fs.ErrClosed)
		require.ErrorIs(t, f.Close(), fs.ErrClosed)
	})
}

func TestNames(t *testing.T) {
	forEach(t, func(t *testing.T, files vfs.FS, dir string) {
		require.NoError(t, files.MkdirAll(dir+"/a/b/c"))
		require.NoError(t, files.MkdirAll(dir+"/a/b/c"))
		require.NoError(t, create(t, files, dir+"/a/z", "z").Close())
		require.NoError(t, create(t, files, dir+"/a/m", "m").Close())
		_, err := files.Create(dir + "/a/m")
		require.ErrorIs(t, err, fs.ErrExist)
		_, err = files.Open(dir + "/a/none")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = files.Create(dir + "/none/x")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = files.List(dir + "/none")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.Error(t, files.MkdirAll(dir+"/a/m"), "a file is there")
		require.Error(t, files.MkdirAll(dir+"/a/m/x"), "a file is there")
		names, err := files.List(dir + "/a")
		require.NoError(t, err)
		require.Equal(t, []string{"b", "m", "z"}, names)

		require.NoError(t, files.Rename(dir+"/a/z", dir+"/a/m"), "replaces")
		require.Equal(t, "z", content(t, files, dir+"/a/m"))
		require.Error(t, files.Rename(dir+"/a/m", dir+"/m"), "another directory")
		require.ErrorIs(t, files.Rename(dir+"/a/none", dir+"/a/x"), fs.ErrNotExist)
		require.NoError(t, files.Rename(dir+"/a/b", dir+"/a/d"), "a directory")
		names, err = files.List(dir + "/a/d")
		require.NoError(t, err)
		require.Equal(t, []string{"c"}, names)
		require.Error(t, files.Remove(dir+"/a/d"), "not empty")
		require.NoError(t, files.Remove(dir+"/a/d/c"))
		require.NoError(t, files.Remove(dir+"/a/d"))
		require.ErrorIs(t, files.Remove(dir+"/a/d"), fs.ErrNotExist)
		require.NoError(t, files.SyncDir(dir+"/a"))
		require.Error(t, files.SyncDir(dir+"/none"))
	})
}

func TestLink(t *testing.T) {
	forEach(t, func(t *testing.T, files vfs.FS, dir string) {
		f := create(t, files, dir+"/a", "one")
		require.NoError(t, f.Sync())
		require.NoError(t, files.MkdirAll(dir+"/d"))
		require.NoError(t, files.Link(dir+"/a", dir+"/d/b"))
		require.ErrorIs(t, files.Link(dir+"/a", dir+"/d/b"), fs.ErrExist)
		require.ErrorIs(t, files.Link(dir+"/none", dir+"/c"), fs.ErrNotExist)
		require.Error(t, files.Link(dir+"/d", dir+"/c"), "a directory")
		_, err := f.WriteAt([]byte("two"), 0)
		require.NoError(t, err)
		require.Equal(t, "two", content(t, files, dir+"/d/b"), "the same file")
		require.NoError(t, f.Close())
		require.NoError(t, files.Remove(dir+"/a"))
		require.Equal(t, "two", content(t, files, dir+"/d/b"), "a name keeps it")
		require.NoError(t, files.SyncDir(dir+"/d"))
		r, err := files.OpenRead(dir + "/d/b")
		require.NoError(t, err)
		b := make([]byte, 3)
		_, err = r.ReadAt(b, 0)
		require.True(t, err == nil || err == io.EOF)
		require.NoError(t, r.Close())
		_, err = files.OpenRead(dir + "/a")
		require.ErrorIs(t, err, fs.ErrNotExist)
		if m, ok := files.(*vfs.Mem); ok {
			m.Crash(vfs.KeepNone)
			require.Equal(t, "one", content(t, files, dir+"/d/b"), "content was synced under the other name")
		}
	})
}

// TestRemovedFileStaysOpen: as on POSIX, whoever has a file open keeps it.
func TestRemovedFileStaysOpen(t *testing.T) {
	forEach(t, func(t *testing.T, files vfs.FS, dir string) {
		f := create(t, files, dir+"/f", "hello")
		require.NoError(t, files.Remove(dir+"/f"))
		b := make([]byte, 5)
		_, err := f.ReadAt(b, 0)
		require.True(t, err == nil || err == io.EOF)
		require.Equal(t, "hello", string(b))
		require.NoError(t, f.Close())
	})
}

func TestLock(t *testing.T) {
	forEach(t, func(t *testing.T, files vfs.FS, dir string) {
		l, err := files.Lock(dir+"/LOCK", "peer one")
		require.NoError(t, err)
		_, err = files.Lock(dir+"/LOCK", "peer two")
		require.ErrorIs(t, err, vfs.ErrLocked)
		require.ErrorContains(t, err, "peer one")
		other, err := files.Lock(dir+"/OTHER", "peer two")
		require.NoError(t, err)
		require.NoError(t, other.Close())
		require.NoError(t, l.Close())
		l, err = files.Lock(dir+"/LOCK", "two")
		require.NoError(t, err)
		_, err = files.Lock(dir+"/LOCK", "three")
		require.ErrorContains(t, err, "two")
		require.NotContains(t, err.Error(), "peer one")
		require.NoError(t, l.Close())
	})
}

// TestRandomAgainstBytes compares both file systems with a slice under random writes and
// truncations.
func TestRandomAgainstBytes(t *testing.T) {
	forEach(t, func(t *testing.T, files vfs.FS, dir string) {
		rng := rand.New(rand.NewPCG(5, 0))
		f := create(t, files, dir+"/f", "")
		var want []byte
		for range 500 {
			if rng.IntN(8) == 0 {
				size := rng.IntN(5000)
				require.NoError(t, f.Truncate(int64(size)))
				want = append(want, make([]byte, max(0, size-len(want)))...)[:size]
				continue
			}
			p := make([]byte, 1+rng.IntN(1500))
			if rng.IntN(3) > 0 {
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
			}
			at := rng.IntN(4000)
			_, err := f.WriteAt(p, int64(at))
			require.NoError(t, err)
			want = append(want, make([]byte, max(0, at+len(p)-len(want)))...)
			copy(want[at:], p)
			if rng.IntN(5) == 0 {
				require.NoError(t, f.SyncData())
			}
		}
		require.Equal(t, string(want), content(t, files, dir+"/f"))
		require.NoError(t, f.Sync())
		require.NoError(t, f.Close())
		if m, ok := files.(*vfs.Mem); ok {
			require.NoError(t, m.SyncDir(dir))
			m.Crash(vfs.KeepNone)
			require.Equal(t, string(want), content(t, files, dir+"/f"), "what was synced is durable")
		}
	})
}

func durable(t *testing.T, m *vfs.Mem, name, text string) vfs.File {
	f := create(t, m, name, text)
	require.NoError(t, f.Sync())
	require.NoError(t, m.SyncDir(path.Dir(name)))
	return f
}

func TestCrashKeepsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		keep vfs.Keep
		want string
	}{{vfs.KeepNone, "one"}, {vfs.KeepAll, "two two"}} {
		m := mem(1)
		f := durable(t, m, "f", "one")
		_, err := f.WriteAt([]byte("two two"), 0)
		require.NoError(t, err)
		create(t, m, "new", "x")
		m.Crash(c.keep)
		require.Equal(t, c.want, content(t, m, "f"))
		_, err = m.Open("new")
		require.Equal(t, c.keep == vfs.KeepAll, err == nil)
		_, err = f.WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, vfs.ErrCrashed)
		require.ErrorIs(t, f.Sync(), vfs.ErrCrashed)
		require.NoError(t, f.Close())
	}
}

// TestCrashTearsAndReorders: of a write over four sectors every subset is seen, and nothing else.
func TestCrashTearsAndReorders(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		m := mem(seed)
		f := durable(t, m, "f", strings.Repeat("a", 4*vfs.SectorBytes))
		_, err := f.WriteAt([]byte(strings.Repeat("b", 4*vfs.SectorBytes-200)), 100)
		require.NoError(t, err)
		m.Crash(vfs.KeepSome)
		got := content(t, m, "f")
		var shape strings.Builder
		for i := range 4 {
			s := got[i*vfs.SectorBytes : (i+1)*vfs.SectorBytes]
			old := strings.Repeat("a", len(s))
			if s != old {
				want := strings.Repeat("b", len(s))
				switch i {
				case 0:
					want = old[:100] + want[100:]
				case 3:
					want = want[:len(s)-100] + old[:100]
				}
				require.Equal(t, want, s, "a sector is written wholly or not at all")
			}
			shape.WriteByte(s[200])
		}
		seen[shape.String()] = true
	}
	require.Len(t, seen, 16)
}

// TestCrashKeepsPrefixOfNames: un-synced changes to a directory survive up to some point.
func TestCrashKeepsPrefixOfNames(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(100) {
		m := mem(seed)
		durable(t, m, "a", "a")
		create(t, m, "b", "")
		require.NoError(t, m.Rename("a", "c"))
		require.NoError(t, m.Remove("b"))
		m.Crash(vfs.KeepSome)
		names, err := m.List(".")
		require.NoError(t, err)
		seen[strings.Join(names, " ")] = true
	}
	require.Equal(t, map[string]bool{"a": true, "a b": true, "b c": true, "c": true}, seen)
}

func TestKillKeepsUnsynced(t *testing.T) {
	m := mem(1)
	f := durable(t, m, "f", "one")
	_, err := f.WriteAt([]byte("two"), 0)
	require.NoError(t, err)
	_, err = m.Lock("LOCK", "x")
	require.NoError(t, err)
	m.Kill()
	require.Equal(t, "two", content(t, m, "f"))
	_, err = m.Lock("LOCK", "y")
	require.NoError(t, err, "a lock ends with its holder")
	m.Crash(vfs.KeepNone)
	require.Equal(t, "one", content(t, m, "f"))
}

func TestFaults(t *testing.T) {
	m := mem(1)
	f := durable(t, m, "f", "one")
	broken := errors.New("broken")
	m.Fail(vfs.OpWrite, 2, broken)
	_, err := f.WriteAt([]byte("1"), 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("2"), 0)
	require.ErrorIs(t, err, broken)
	require.Equal(t, "1ne", content(t, m, "f"))

	m.Fail(vfs.OpSync, 1, broken)
	require.ErrorIs(t, f.Sync(), broken)
	require.NoError(t, f.Sync())
	require.Equal(t, "1ne", content(t, m, "f"))
	m.Crash(vfs.KeepAll)
	require.Equal(t, "one", content(t, m, "f"), "what a failed sync forgot no later one writes")

	m.SetSpace(4)
	f = create(t, m, "g", "abc")
	n, err := f.WriteAt([]byte("def"), 3)
	require.ErrorIs(t, err, vfs.ErrNoSpace)
	require.Equal(t, 1, n)
	m.SetSpace(-1)
	_, err = f.WriteAt([]byte("def"), 3)
	require.NoError(t, err)

	require.NoError(t, m.FlipBit("f", 1, 0))
	require.Equal(t, "ooe", content(t, m, "f"))
	require.Error(t, m.FlipBit("f", 3, 0))

	before := m.Changes()
	m.StopAfter(1)
	require.NoError(t, m.SyncDir("."))
	require.ErrorIs(t, m.SyncDir("."), vfs.ErrCrashed)
	_, err = m.List(".")
	require.ErrorIs(t, err, vfs.ErrCrashed, "once stopped nothing works")
	require.Equal(t, before+2, m.Changes())
	m.Crash(vfs.KeepNone)
	require.NoError(t, m.SyncDir("."))
}

// TestDeterministic: equal sources and calls, equal disks after a crash.
func TestDeterministic(t *testing.T) {
	run := func(clone bool) string {
		m := mem(9)
		for _, name := range []string{"x", "y", "z"} {
			f := create(t, m, name, strings.Repeat(name, 5000))
			require.NoError(t, m.SyncDir("."))
			_, err := f.WriteAt([]byte(strings.Repeat("!", 3000)), 700)
			require.NoError(t, err)
		}
		if clone {
			m = m.Clone()
		}
		m.Crash(vfs.KeepSome)
		return content(t, m, "x") + content(t, m, "y") + content(t, m, "z")
	}
	require.Equal(t, run(false), run(false))
	require.Equal(t, run(false), run(true), "and so is a copy")
}

// BenchmarkMemZeroFill is what a simulated member pays for a new segment.
func BenchmarkMemZeroFill(b *testing.B) {
	zeros := make([]byte, 1<<20)
	for b.Loop() {
		f, err := mem(1).Create("f")
		require.NoError(b, err)
		_, err = f.WriteAt(zeros, 0)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
	}
}
