package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// Options say whose snapshots a store keeps.
type Options struct {
	Cluster string       // may be empty
	Group   raft.GroupID // files of another cluster or group are refused
	Peer    raft.PeerID  // this member; it is written into the snapshots that it takes
	Keep    int          // how many snapshots Collect leaves, default 2
	Logger  *slog.Logger // default: none
}

// Files is the [Store] that a member uses unless told otherwise: a directory of its own for each
// snapshot, in a directory that belongs to one group.
type Files struct {
	files    vfs.FS
	dir      string
	o        Options
	lock     io.Closer
	problems []error // found by Open

	// changes is held by what publishes, removes, or begins a reception; before guard, if both are.
	changes guard
	guard   guard // of all below; never held while anything is read or written
	kept    []*kept
	writing bool // there is a writer
	filling bool // there is a reception
	staged  int  // so often was something staged
}

// kept is a snapshot on disk.
type kept struct {
	last     raft.LogID
	manifest *manifest // nil: it was not readable at Open
	damaged  bool
	path     string // not empty: all its files are in this one, from starts on
	starts   []int64
	users    int           // readers and the like
	asked    time.Duration // when a piece was last asked for; negative: never
}

// Open opens the store in dir, which is made if it is not there, and locks it. What is left of
// writers that did not finish is removed. Damaged snapshots stay where they are and don't count;
// see [Files.Problems]. An error wraps vfs.ErrLocked, raft.ErrWrongCluster, or what the file system
// said.
func Open(files vfs.FS, dir string, o Options) (*Files, error) {
	err := errors.Join(raft.ValidateCluster(o.Cluster), o.Group.Validate(), o.Peer.Validate())
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if o.Keep < 0 {
		return nil, fmt.Errorf("snapshot: Keep is %d, need 1 or more, or 0 for the default", o.Keep)
	}
	if o.Keep == 0 {
		o.Keep = 2
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Files{files: files, dir: dir, o: o}
	if err := files.MkdirAll(dir); err != nil {
		return nil, failed("make "+dir, err)
	}
	f.lock, err = files.Lock(path.Join(dir, lockName), "peer "+string(o.Peer))
	if err != nil {
		return nil, failed("lock", err)
	}
	if err := f.scan(); err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

// scan lists what is there.
func (f *Files) scan() error {
	// A snapshot may have got its name just before the process was killed. It must not be lost after
	// somebody relied on it.
	if err := f.files.SyncDir(f.dir); err != nil {
		return failed("sync "+f.dir, err)
	}
	names, err := f.files.List(f.dir)
	if err != nil {
		return failed("list "+f.dir, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, newPrefix) || strings.HasPrefix(name, oldPrefix) {
			if err := removeTree(f.files, path.Join(f.dir, name)); err != nil {
				return failed("remove "+name, err)
			}
			continue
		}
		last, ok := parseName(keptPrefix, name)
		if !ok || name != keptName(last) {
			continue
		}
		k := &kept{last: last, asked: -1}
		if k.manifest, err = f.load(last); err != nil {
			if !errors.Is(err, raft.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			f.problems = append(f.problems, err)
			f.damage(k, err)
		}
		f.kept = append(f.kept, k)
	}
	slices.SortFunc(f.kept, newestFirst)
	return nil
}

func newestFirst(a, b *kept) int {
	switch {
	case a.last == b.last:
		return 0
	case a.last.Index > b.last.Index || a.last.Index == b.last.Index && b.last.Less(a.last):
		return -1
	}
	return 1
}

// load reads a snapshot's manifest and checks that its files have the right sizes.
func (f *Files) load(last raft.LogID) (*manifest, error) {
	dir := path.Join(f.dir, keptName(last))
	m, err := f.readManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.last != last {
		return nil, corrupt(path.Join(dir, manifestName), 0, "it is the manifest of "+m.last.String())
	}
	if err := f.ours(m); err != nil {
		return nil, err
	}
	for i := range m.files {
		name := path.Join(dir, contentName(i))
		file, err := f.files.OpenRead(name)
		if err != nil {
			return nil, failed("open "+name, err)
		}
		size, err := file.Size()
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, failed("look at "+name, err)
		}
		if size < m.files[i].Size { // what its owner has added to a linked file is nobody's concern
			return nil, corrupt(name, size, fmt.Sprintf("the file ends here, it should have %d bytes",
				m.files[i].Size))
		}
	}
	return m, nil
}

// readManifest reads the manifest in a directory.
func (f *Files) readManifest(dir string) (*manifest, error) {
	name := path.Join(dir, manifestName)
	file, err := f.files.OpenRead(name)
	if err != nil {
		return nil, failed("open "+name, err)
	}
	size, err := file.Size()
	var raw []byte
	if err == nil {
		raw = make([]byte, min(size, maxManifest+1))
		var n int
		if n, err = file.ReadAt(raw, 0); n == len(raw) {
			err = nil
		} else {
			err = unreadable(name, int64(n), err)
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, failed("read "+name, err)
	}
	m, err := decodeManifest(raw)
	if err != nil {
		return nil, failed(name, err)
	}
	return m, nil
}

// ours refuses what belongs to somebody else.
func (f *Files) ours(m *manifest) error {
	if m.cluster != f.o.Cluster || m.group != f.o.Group {
		return fmt.Errorf("snapshot: %w: snapshot %v is of cluster %q, group %q; this is cluster %q, "+
			"group %q", raft.ErrWrongCluster, m.last, m.cluster, m.group, f.o.Cluster, f.o.Group)
	}
	return nil
}

// Problems tells which snapshots Open found damaged. The slice is the caller's.
func (f *Files) Problems() []error { return slices.Clone(f.problems) }

// damage notes that a snapshot can't be used.
func (f *Files) damage(k *kept, err error) {
	defer f.guard.hold()()
	if !k.damaged {
		k.damaged = true
		f.o.Logger.Warn("a snapshot is damaged, an older or later one is used instead",
			"group", f.o.Group, "snapshot", k.last.String(), "error", err)
	}
}

// checked passes the error on of something that read k, and takes k out if it is damaged.
func (f *Files) checked(k *kept, err error) error {
	if errors.Is(err, raft.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		f.damage(k, err)
	}
	return err
}

// find returns the sound snapshot of that name; nil: there is none. The guard is held.
func (f *Files) find(last raft.LogID) *kept {
	for _, k := range f.kept {
		if k.last == last && !k.damaged {
			return k
		}
	}
	return nil
}

// use keeps a snapshot from being removed until release.
func (f *Files) use(last raft.LogID) (*kept, error) {
	defer f.guard.hold()()
	k := f.find(last)
	if k == nil {
		return nil, fmt.Errorf("snapshot %v: %w", last, ErrGone)
	}
	k.users++
	return k, nil
}

func (f *Files) release(k *kept) {
	defer f.guard.hold()()
	invariant.Check(k.users > 0, "a snapshot is released as often as it is used", uint64(k.last.Index))
	k.users--
}

// Newest describes the newest sound snapshot.
func (f *Files) Newest() (raft.SnapshotMeta, bool) {
	defer f.guard.hold()()
	for _, k := range f.kept {
		if !k.damaged {
			return k.manifest.meta(), true
		}
	}
	return raft.SnapshotMeta{}, false
}

// All describes all sound snapshots, the newest first.
func (f *Files) All() (all []raft.SnapshotMeta) {
	defer f.guard.hold()()
	for _, k := range f.kept {
		if !k.damaged {
			all = append(all, k.manifest.meta())
		}
	}
	return all
}

// Verify reads all of a snapshot.
func (f *Files) Verify(last raft.LogID) error {
	k, err := f.use(last)
	if err != nil {
		return err
	}
	defer f.release(k)
	return f.checked(k, f.verify(k))
}

func (f *Files) verify(k *kept) error {
	m, err := f.load(k.last)
	if err != nil {
		return err
	}
	if !bytes.Equal(m.raw, k.manifest.raw) {
		return corrupt(path.Join(f.dir, keptName(k.last), manifestName), 0, "it was exchanged")
	}
	return f.contents(k, func([]byte) error { return nil })
}

// contents calls take with every chunk of every file, checked and in order.
func (f *Files) contents(k *kept, take func(chunk []byte) error) error {
	var buf []byte
	for i := range k.manifest.files {
		in, err := f.open(k, i)
		if err != nil {
			return err
		}
		for c := 0; c < in.chunks() && err == nil; c++ {
			if buf, err = in.read(c, buf); err == nil {
				err = take(buf)
			}
		}
		if err = errors.Join(err, in.file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// open opens file i of a snapshot.
func (f *Files) open(k *kept, i int) (*input, error) {
	name, start := path.Join(f.dir, keptName(k.last), contentName(i)), int64(0)
	if k.path != "" {
		name, start = k.path, k.starts[i]
	}
	in, err := openInput(f.files, name, start, &k.manifest.files[i])
	return in, failed("open "+name, err)
}

// Close gives the store's lock back.
func (f *Files) Close() error { return failed("unlock", f.lock.Close()) }
