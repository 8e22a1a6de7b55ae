package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
)

// Mem is a file system in memory that can lose power. It keeps what is durable apart from what was
// only written: per file the writes since the last sync, cut into sectors of 512 bytes; per
// directory the names changed since the last SyncDir. [Mem.Crash] decides by its random source
// which of those survive.
//
// It is deterministic: the same calls and the same source give the same content. It may be used
// from several goroutines, which gives the determinism up.
type Mem struct {
	mu    sync.Mutex
	rng   *rand.Rand
	root  *memNode
	life  int // rises at each crash; files of an earlier life are dead
	locks map[string]string

	counts [opKinds]uint64
	faults []fault
	stop   uint64 // the number of changes after which everything fails; 0: none
	space  int64  // bytes that may still be written; negative: no limit
}

// NewMem returns an empty file system whose crashes draw on rng.
func NewMem(rng *rand.Rand) *Mem {
	return &Mem{rng: rng, root: newMemDir(), locks: map[string]string{}, space: -1}
}

// memNode is a file or a directory.
type memNode struct {
	memContent           // of a file
	names      *memNames // of a directory; nil for a file
}

func newMemDir() *memNode { return &memNode{names: &memNames{}} }

// find returns the node at name as a running process sees it.
func (m *Mem) find(name string) (*memNode, error) {
	n := m.root
	for _, part := range split(name) {
		if n.names == nil {
			return nil, pathError("open", name, fs.ErrNotExist)
		}
		if n = n.names.now[part]; n == nil {
			return nil, pathError("open", name, fs.ErrNotExist)
		}
	}
	return n, nil
}

// parent returns the directory that holds name, and name's last part.
func (m *Mem) parent(name string) (*memNames, string, error) {
	d, err := m.find(path.Dir(name))
	if err != nil {
		return nil, "", err
	}
	if d.names == nil || path.Base(name) == "." {
		return nil, "", pathError("open", name, fs.ErrInvalid)
	}
	return d.names, path.Base(name), nil
}

// MkdirAll makes dir and its missing parents; they are durable at once.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpCreate, dir); err != nil {
		return err
	}
	n := m.root
	for _, part := range split(dir) {
		if n.names == nil {
			return pathError("mkdir", dir, fs.ErrExist)
		}
		child := n.names.now[part]
		if child == nil {
			child = newMemDir()
			n.names.add(part, child)
			n.names.sync()
		}
		n = child
	}
	if n.names == nil {
		return pathError("mkdir", dir, fs.ErrExist)
	}
	return nil
}

// Create makes a file that does not exist yet.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpCreate, name); err != nil {
		return nil, err
	}
	d, last, err := m.parent(name)
	if err != nil {
		return nil, err
	}
	if d.now[last] != nil {
		return nil, pathError("create", name, fs.ErrExist)
	}
	n := &memNode{}
	d.add(last, n)
	return &memFile{mem: m, node: n, name: name, life: m.life}, nil
}

// Open opens a file that exists.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpOpen, name); err != nil {
		return nil, err
	}
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if n.names != nil {
		return nil, pathError("open", name, fs.ErrInvalid)
	}
	return &memFile{mem: m, node: n, name: name, life: m.life}, nil
}

// OpenRead is as Open; it does not keep anybody from writing.
func (m *Mem) OpenRead(name string) (File, error) { return m.Open(name) }

// Link gives a file a second name.
func (m *Mem) Link(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpCreate, to); err != nil {
		return err
	}
	n, err := m.find(from)
	if err != nil {
		return err
	}
	d, last, err := m.parent(to)
	if err != nil {
		return err
	}
	if n.names != nil {
		return pathError("link", from, fs.ErrInvalid)
	}
	if d.now[last] != nil {
		return pathError("link", to, fs.ErrExist)
	}
	d.add(last, n)
	return nil
}

// Rename gives a file or directory another name in the same directory.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpRename, from); err != nil {
		return err
	}
	d, a, err := m.parent(from)
	if err != nil {
		return err
	}
	if path.Dir(path.Clean(from)) != path.Dir(path.Clean(to)) {
		return pathError("rename", to, fs.ErrInvalid)
	}
	n := d.now[a]
	if n == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	if old := d.now[path.Base(to)]; old != nil && (old.names != nil || n.names != nil) {
		return pathError("rename", to, fs.ErrExist)
	}
	d.rename(a, path.Base(to), n)
	return nil
}

// Remove removes a file or an empty directory.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpRemove, name); err != nil {
		return err
	}
	d, last, err := m.parent(name)
	if err != nil {
		return err
	}
	n := d.now[last]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if n.names != nil && len(n.names.now) > 0 {
		return pathError("remove", name, fs.ErrInvalid)
	}
	d.remove(last)
	return nil
}

// List returns the names in dir, sorted.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpList, dir); err != nil {
		return nil, err
	}
	n, err := m.find(dir)
	if err != nil {
		return nil, err
	}
	if n.names == nil {
		return nil, pathError("list", dir, fs.ErrInvalid)
	}
	return slices.Sorted(maps.Keys(n.names.now)), nil
}

// SyncDir makes the names in dir durable.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpSyncDir, dir); err != nil {
		return err
	}
	n, err := m.find(dir)
	if err != nil {
		return err
	}
	if n.names == nil {
		return pathError("sync", dir, fs.ErrInvalid)
	}
	n.names.sync()
	return nil
}

// Lock takes the lock name; a crash releases it.
func (m *Mem) Lock(name, holder string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(OpOpen, name); err != nil {
		return nil, err
	}
	name = path.Clean(name)
	if by, held := m.locks[name]; held {
		return nil, pathError("lock", name, fmt.Errorf("%w by %s", ErrLocked, by))
	}
	m.locks[name] = holder
	return &memLock{m, name, m.life}, nil
}

type memLock struct {
	mem  *Mem
	name string
	life int
}

// Close releases the lock, unless a crash has done so before.
func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if l.life == l.mem.life {
		delete(l.mem.locks, l.name)
		l.life = -1
	}
	return nil
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// split returns the parts of a cleaned path; the root has none.
func split(name string) []string {
	var parts []string
	for name = path.Clean(name); name != "." && name != "/"; name = path.Dir(name) {
		parts = append(parts, path.Base(name))
	}
	slices.Reverse(parts)
	return parts
}
