package snapshot_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

var update = flag.Bool("update", false, "write the golden files, if there are none")

func golden() state {
	return state{"": []byte("the stream of the golden snapshot"), "dir/one": noise(1, 1000), "two": {}}
}

// TestGolden opens a snapshot that version 1 of the format wrote, once and for all, imports one
// that it exported, and answers a request of its time as it did.
func TestGolden(t *testing.T) {
	const dir = "testdata/v1"
	name := snapshot.KeptName(at(1234))
	if *update {
		writeGolden(t, dir, name)
	}
	read := func(file string) []byte {
		b, err := os.ReadFile(path.Join(dir, file))
		require.NoError(t, err)
		return b
	}
	files := mem(1)
	require.NoError(t, files.MkdirAll("s/"+name))
	names, err := os.ReadDir(path.Join(dir, name))
	require.NoError(t, err)
	require.Len(t, names, 4)
	for _, file := range names {
		require.NoError(t, put(files, path.Join("s", name, file.Name()),
			read(path.Join(name, file.Name()))))
	}
	s := open(t, files, "s")
	require.Empty(t, s.Problems())
	require.NoError(t, s.Verify(at(1234)))
	requireState(t, golden(), s, at(1234))
	newest, ok := s.Newest()
	require.True(t, ok)
	require.Equal(t, raft.SnapshotMeta{Last: at(1234), Configuration: configuration(),
		Bytes: 1033, Files: 2}, newest)

	request, err := hex.DecodeString(string(read("request.hex")))
	require.NoError(t, err)
	reply, err := s.Serve(0, request, nil)
	require.NoError(t, err)
	require.Equal(t, string(read("reply.hex")), hex.EncodeToString(reply))

	var stream bytes.Buffer
	require.NoError(t, s.Export(&stream, at(1234)))
	require.Equal(t, read("export"), stream.Bytes())
	again := open(t, files, "again")
	_, err = again.Import(&stream)
	require.NoError(t, err)
	requireState(t, golden(), again, at(1234))
}

// TestGoldenOrigin imports what version 1 of the format exported of a group that knows its origin.
func TestGoldenOrigin(t *testing.T) {
	const file = "testdata/v1-origin/export"
	conf := raft.WithOrigin(configuration())
	if *update {
		writeGoldenOrigin(t, file, conf)
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	s := open(t, mem(1), "s")
	meta, err := s.Import(bytes.NewReader(want))
	require.NoError(t, err)
	require.Equal(t, raft.SnapshotMeta{Last: at(1234), Configuration: conf, Bytes: 5}, meta)
	require.NotZero(t, meta.Configuration.Origin)
	var again bytes.Buffer
	require.NoError(t, s.Export(&again, at(1234)))
	require.Equal(t, want, again.Bytes())
}

func writeGoldenOrigin(t *testing.T, file string, conf raft.Configuration) {
	_, err := os.Stat(file)
	require.ErrorIs(t, err, os.ErrNotExist, "golden files are never written again")
	s := open(t, mem(1), "s")
	w, err := s.Create(at(1234), conf)
	require.NoError(t, err)
	_, err = w.Write([]byte("state"))
	require.NoError(t, err)
	_, err = w.Commit()
	require.NoError(t, err)
	var stream bytes.Buffer
	require.NoError(t, s.Export(&stream, at(1234)))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, stream.Bytes(), 0o644))
}

func writeGolden(t *testing.T, dir, name string) {
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist,
		"golden files are never written again: make a directory for a new version")
	files := mem(1)
	s := open(t, files, "s")
	meta := mustSave(t, files, s, at(1234), golden())
	require.NoError(t, os.MkdirAll(path.Join(dir, name), 0o755))
	write := func(file string, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
	}
	for _, file := range list(t, files, path.Join("s", name)) {
		write(path.Join(name, file), content(t, files, path.Join("s", name, file)))
	}
	var stream bytes.Buffer
	require.NoError(t, s.Export(&stream, at(1234)))
	write("export", stream.Bytes())
	in, err := open(t, files, "to").Receive(meta)
	require.NoError(t, err)
	var request, reply []byte
	for range 3 { // the manifest, the stream, the first file
		request, _ = in.Next()
		reply, err = s.Serve(0, request, nil)
		require.NoError(t, err)
		require.NoError(t, in.Got(request, reply))
	}
	write("request.hex", []byte(hex.EncodeToString(request)))
	write("reply.hex", []byte(hex.EncodeToString(reply)))
}

func content(t testing.TB, files vfs.FS, name string) []byte {
	f, err := files.Open(name)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if size > 0 {
		n, _ := f.ReadAt(b, 0)
		require.Equal(t, int(size), n)
	}
	require.NoError(t, f.Close())
	return b
}

// TestImportRefuses: every cut and every flipped bit of an exported snapshot is noticed, and leaves
// nothing behind.
func TestImportRefuses(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	st := state{"": []byte("stream"), "f": []byte("file")}
	mustSave(t, files, from, at(1), st)
	var exported bytes.Buffer
	require.NoError(t, from.Export(&exported, at(1)))
	whole := exported.Bytes()
	for n := range whole {
		_, err := to.Import(bytes.NewReader(whole[:n]))
		require.ErrorIs(t, err, raft.ErrCorrupt, "cut at %d", n)
		bad := bytes.Clone(whole)
		bad[n] ^= 1 << (n % 8)
		_, err = to.Import(bytes.NewReader(bad))
		require.Error(t, err, "byte %d", n)
	}
	require.Empty(t, list(t, files, "to"))
	o := options()
	o.Cluster = "other"
	other, err := snapshot.Open(files, "other", o)
	require.NoError(t, err)
	_, err = other.Import(bytes.NewReader(whole))
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	_, err = to.Import(bytes.NewReader(whole))
	require.NoError(t, err)
	_, err = to.Import(bytes.NewReader(whole))
	require.ErrorIs(t, err, os.ErrExist)
	requireState(t, st, to, at(1))

	require.ErrorIs(t, from.Export(&exported, at(2)), snapshot.ErrGone)
	require.Error(t, from.Export(refusing{}, at(1)))
	require.NoError(t, from.Verify(at(1)), "which is not the snapshot's fault")
	require.NoError(t, files.FlipBit(path.Join("from", snapshot.KeptName(at(1)), "state"), 0, 0))
	require.ErrorIs(t, from.Export(&exported, at(1)), raft.ErrCorrupt)
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, os.ErrClosed }

// TestNewerVersion: a snapshot and an export of a later format are refused by what says so, and
// nothing that is there is touched.
func TestNewerVersion(t *testing.T) {
	files := mem(1)
	s := open(t, files, "s")
	mustSave(t, files, s, at(1), golden())
	var stream bytes.Buffer
	require.NoError(t, s.Export(&stream, at(1)))
	require.NoError(t, s.Close())
	dir := path.Join("s", snapshot.KeptName(at(1)))
	manifest := path.Join(dir, snapshot.ManifestName)
	raw := content(t, files, manifest)
	newer := snapshot.Newer(bytes.Clone(raw))
	require.NoError(t, files.Remove(manifest))
	require.NoError(t, put(files, manifest, newer))
	names, top := list(t, files, dir), list(t, files, "s")
	refused := func(err error, name string) {
		require.ErrorContains(t, err, "format 2, this program reads format 1: run the newer program")
		require.ErrorContains(t, err, name)
		require.NotErrorIs(t, err, raft.ErrCorrupt)
	}
	_, err := snapshot.Open(files, "s", options())
	refused(err, manifest)
	require.Equal(t, top, list(t, files, "s"))
	require.Equal(t, names, list(t, files, dir))
	require.Equal(t, newer, content(t, files, manifest))

	to := open(t, files, "to")
	before := list(t, files, "to")
	head := bytes.Clone(stream.Bytes())
	head[8] = 2
	_, err = to.Import(bytes.NewReader(head))
	refused(err, "import")
	_, err = to.Import(bytes.NewReader(bytes.Replace(stream.Bytes(), raw, newer, 1)))
	refused(err, "import")
	require.Equal(t, before, list(t, files, "to"))
}

// FuzzDecode: nothing that a decoder is given makes it panic or take much memory, and what it takes
// it would write again. The fuzzed bytes get right checksums, so that they get beyond them.
func FuzzDecode(f *testing.F) {
	files := mem(1)
	s := open(f, files, "s")
	meta := mustSave(f, files, s, at(5), golden())
	in, err := open(f, files, "to").Receive(meta)
	require.NoError(f, err)
	for range 2 {
		request, _ := in.Next()
		reply, err := s.Serve(0, request, nil)
		require.NoError(f, err)
		require.NoError(f, in.Got(request, reply))
		f.Add(request)
		f.Add(reply)
	}
	f.Add(content(f, files, path.Join("s", snapshot.KeptName(at(5)), snapshot.ManifestName)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, mend := range []func([]byte){func([]byte) {}, snapshot.MendHead, snapshot.MendManifest} {
			b := bytes.Clone(b)
			mend(b)
			if again, err := snapshot.DecodeRequest(b); err == nil {
				require.Equal(t, b, again)
			}
			if again, err := snapshot.DecodeReply(b); err == nil {
				require.Equal(t, b, again)
			}
			if again, err := snapshot.EncodeAgain(bytes.Clone(b)); err == nil {
				third, err := snapshot.EncodeAgain(bytes.Clone(again))
				require.NoError(t, err)
				require.Equal(t, again, third)
			}
		}
		reply, err := s.Serve(0, b, nil)
		require.True(t, err == nil || reply == nil)
	})
}

// TestHostileManifests: checksums are right, and what they cover is not.
func TestHostileManifests(t *testing.T) {
	good := snapshot.Hostile{}
	_, err := snapshot.DecodeManifest(good.Encode())
	require.NoError(t, err)
	for what, bad := range map[string]snapshot.Hostile{
		"outside":        {Name: "../../etc/passwd"},
		"absolute":       {Name: "/etc/passwd"},
		"backslash":      {Name: `..\..\x`},
		"the stream":     {Name: "-"},
		"twice":          {Twice: true},
		"negative":       {Size: -1},
		"too large":      {Size: 1 << 62},
		"few checksums":  {Size: 3 * chunk},
		"no index":       {NoIndex: true},
		"no files":       {NoFiles: true},
		"no sha":         {NoSHA: true},
		"later members":  {ConfigurationIndex: 2000},
		"trailing bytes": {Trailing: true},
		"last index":     {Last: raft.LogID{Term: 1, Index: math.MaxUint64}},
		"last term":      {Last: raft.LogID{Term: math.MaxUint64, Index: 1}},
	} {
		_, err := snapshot.DecodeManifest(bad.Encode())
		require.ErrorIs(t, err, raft.ErrCorrupt, what)
	}
}

// TestManyFiles: no manifest makes more memory necessary than a small multiple of its size.
func TestManyFiles(t *testing.T) {
	var before, after runtime.MemStats
	raw := snapshot.HostileFiles(1 << 20)
	runtime.ReadMemStats(&before)
	_, err := snapshot.DecodeManifest(raw)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, raft.ErrCorrupt)
	require.ErrorContains(t, err, "files in")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*len(raw)))
}

// TestMemory: a stream of 64 MiB is written, fetched, read, exported and imported with little
// memory: a few chunks on each side.
func TestMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	files := vfs.OS()
	from, to, third := open(t, files, "from"), open(t, files, "to"), open(t, files, "third")
	const size = 64 << 20
	piece := noise(1, 1<<16)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w, err := from.Create(at(1), configuration())
	require.NoError(t, err)
	for range size / len(piece) {
		_, err := w.Write(piece)
		require.NoError(t, err)
	}
	meta, err := w.Commit()
	require.NoError(t, err)
	require.EqualValues(t, size, meta.Bytes)
	require.Len(t, fetch(t, from, to, meta, nil), 64)
	r, err := to.Open(at(1))
	require.NoError(t, err)
	piped, pipe, err := os.Pipe()
	require.NoError(t, err)
	exported := make(chan error, 1)
	go func() { exported <- to.Export(pipe, at(1)) }()
	_, err = third.Import(piped)
	require.NoError(t, err)
	require.NoError(t, <-exported)
	require.NoError(t, pipe.Close())
	require.NoError(t, piped.Close())
	got := make([]byte, len(piece))
	n, err := r.Read(got)
	require.NoError(t, err)
	require.Equal(t, piece[:n], got[:n])
	require.NoError(t, r.Close())
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2), "all that was ever allocated")
}

func BenchmarkSave(b *testing.B) {
	b.Chdir(b.TempDir())
	s := open(b, vfs.OS(), "s")
	data := noise(1, 1<<20)
	const size = 64 << 20
	b.SetBytes(size)
	i := 0
	for b.Loop() {
		i++
		w, err := s.Create(at(i), configuration())
		require.NoError(b, err)
		for range size / len(data) {
			_, err := w.Write(data)
			require.NoError(b, err)
		}
		_, err = w.Commit()
		require.NoError(b, err)
		require.NoError(b, s.Collect(0))
	}
}

func BenchmarkReceive(b *testing.B) {
	b.Chdir(b.TempDir())
	from := open(b, vfs.OS(), "from")
	meta := mustSave(b, vfs.OS(), from, at(1), state{"": noise(1, 64<<20)})
	b.SetBytes(meta.Bytes)
	for b.Loop() {
		require.NoError(b, os.RemoveAll("to"))
		to := open(b, vfs.OS(), "to")
		fetch(b, from, to, meta, nil)
		require.NoError(b, to.Close())
	}
}

func BenchmarkVerify(b *testing.B) {
	b.Chdir(b.TempDir())
	s := open(b, vfs.OS(), "s")
	meta := mustSave(b, vfs.OS(), s, at(1), state{"": noise(1, 64<<20)})
	b.SetBytes(meta.Bytes)
	for b.Loop() {
		require.NoError(b, s.Verify(at(1)))
	}
}
