package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/jraft-go/jraft/raft"
)

// writer is the [Writer] of a [Files].
type writer struct {
	store  *Files
	dir    string
	m      *manifest
	stream *output
	buf    []byte // the chunk being filled
	names  map[string]bool
	err    error
	over   bool
}

// Create begins a snapshot.
func (f *Files) Create(last raft.LogID, c raft.Configuration) (Writer, error) {
	if last.Index == 0 || c.Index > last.Index {
		return nil, fmt.Errorf("snapshot: the last entry is %v, the configuration is of entry %d", last,
			c.Index)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	w, err := f.create(&manifest{cluster: f.o.Cluster, group: f.o.Group, peer: f.o.Peer, last: last,
		configuration: c.Clone(), files: make([]entry, 1)})
	if err != nil {
		return nil, err
	}
	w.stream, err = createOutput(f.files, path.Join(w.dir, contentName(0)))
	if err != nil {
		err = failed("create the stream", err)
		w.fail(err)
		w.Abort()
		return nil, err
	}
	w.names = map[string]bool{}
	return w, nil
}

// create takes the writer's place and makes its directory.
func (f *Files) create(m *manifest) (*writer, error) {
	if k, err := f.use(m.last); err == nil {
		f.release(k)
		return nil, fmt.Errorf("snapshot %v is here already: %w", m.last, fs.ErrExist)
	}
	if err := f.begin(&f.writing, "written"); err != nil {
		return nil, err
	}
	dir, err := f.fresh(newName(m.last))
	if err != nil {
		f.end(&f.writing)
		return nil, err
	}
	return &writer{store: f, dir: dir, m: m}, nil
}

func (w *writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// usable tells why nothing can be added.
func (w *writer) usable() error {
	if w.err == nil && w.over {
		return fmt.Errorf("snapshot: %w: the writer has ended", raft.ErrStopped)
	}
	return w.err
}

// Write appends to the stream.
func (w *writer) Write(p []byte) (n int, err error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		k := min(len(p), ChunkBytes-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		n, p = n+k, p[k:]
		if len(w.buf) == ChunkBytes {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (w *writer) flush() error {
	if len(w.buf) > 0 {
		if err := w.stream.add(w.buf); err != nil {
			return w.fail(failed("write the stream", err))
		}
		w.buf = w.buf[:0]
	}
	return nil
}

// AddFile links or copies a file.
func (w *writer) AddFile(name, from string) error {
	if err := w.usable(); err != nil {
		return err
	}
	if err := ValidName(name); err != nil {
		return w.fail(err)
	}
	if w.names[name] {
		return w.fail(fmt.Errorf("snapshot: file %q was added already: %w", name, fs.ErrExist))
	}
	w.names[name] = true
	to := path.Join(w.dir, contentName(len(w.m.files)))
	linked := w.store.files.Link(from, to) == nil
	if linked {
		from = to
	}
	e, err := w.take(name, from, to, linked)
	if err != nil {
		return w.fail(failed(fmt.Sprintf("add file %q from %s", name, from), err))
	}
	w.m.files = append(w.m.files, e)
	return nil
}

// take sums up a file and makes it durable, copying it unless it is there by a link.
func (w *writer) take(name, from, to string, linked bool) (e entry, err error) {
	in, err := w.store.files.OpenRead(from)
	if err != nil {
		return entry{}, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	size, err := in.Size()
	if err != nil {
		return entry{}, err
	}
	var out *output
	sum := newDigest()
	if !linked {
		if out, err = createOutput(w.store.files, to); err != nil {
			return entry{}, err
		}
		sum = out.sum
		defer func() { err = errors.Join(err, out.finish()) }()
	}
	buf := make([]byte, min(size, ChunkBytes))
	for sum.size < size {
		chunk := buf[:min(ChunkBytes, size-sum.size)]
		if n, err := in.ReadAt(chunk, sum.size); n < len(chunk) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // it became shorter
			}
			return entry{}, err
		}
		if linked {
			sum.add(chunk)
		} else if err := out.add(chunk); err != nil {
			return entry{}, err
		}
	}
	if !linked {
		return sum.entry(name), nil
	}
	if now, err := in.Size(); err != nil || now != size { // at the next start it would be damaged
		return entry{}, errors.Join(err, fmt.Errorf("it grew from %d to %d bytes meanwhile", size, now))
	}
	return sum.entry(name), syncName(w.store.files, to)
}

// Commit publishes the snapshot.
func (w *writer) Commit() (raft.SnapshotMeta, error) {
	if err := w.usable(); err != nil {
		w.Abort()
		return raft.SnapshotMeta{}, err
	}
	if w.flush() == nil {
		stream := w.stream
		w.stream = nil
		if err := stream.finish(); err != nil {
			w.fail(failed("sync the stream", err))
		}
		w.m.files[0] = stream.sum.entry("")
	}
	return w.complete()
}

// complete publishes what is written, when all files are durable.
func (w *writer) complete() (meta raft.SnapshotMeta, err error) {
	defer w.Abort()
	if w.err != nil {
		return meta, w.err
	}
	if w.m.raw == nil {
		if err := w.m.encode(); err != nil {
			return meta, w.fail(err)
		}
	}
	if err := writeWhole(w.store.files, path.Join(w.dir, manifestName), w.m.raw); err != nil {
		return meta, w.fail(failed("write the manifest", err))
	}
	if meta, err = w.store.publish(w.dir, w.m); err != nil {
		return meta, w.fail(err)
	}
	w.end()
	return meta, nil
}

// Abort discards the snapshot, as far as it can; the next opening does the rest.
func (w *writer) Abort() {
	if w.over {
		return
	}
	if w.stream != nil {
		if err := w.stream.file.Close(); err != nil {
			w.store.o.Logger.Debug("can't close the stream of an aborted snapshot", "error", err)
		}
	}
	if err := removeTree(w.store.files, w.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.store.o.Logger.Debug("can't remove an aborted snapshot", "dir", w.dir, "error", err)
	}
	w.end()
}

func (w *writer) end() {
	w.over = true
	w.store.end(&w.store.writing)
}
