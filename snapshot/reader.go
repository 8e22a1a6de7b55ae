package snapshot

import (
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// reader is the [Reader] of a [Files].
type reader struct {
	store  *Files
	k      *kept
	stream *fileReader
	over   bool
}

// Open opens a snapshot for reading.
func (f *Files) Open(last raft.LogID) (Reader, error) {
	k, err := f.use(last)
	if err != nil {
		return nil, err
	}
	r := &reader{store: f, k: k}
	if r.stream, err = r.openFile(0); err != nil {
		f.release(k)
		return nil, err
	}
	return r, nil
}

func (r *reader) Meta() raft.SnapshotMeta { return r.k.manifest.meta() }

func (r *reader) Files() []string {
	names := make([]string, 0, len(r.k.manifest.files)-1)
	for _, e := range r.k.manifest.files[1:] {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names
}

func (r *reader) OpenFile(name string) (io.ReadCloser, error) {
	for i := range r.k.manifest.files {
		if i > 0 && r.k.manifest.files[i].Name == name {
			return r.openFile(i)
		}
	}
	return nil, fmt.Errorf("snapshot %v: file %q: %w", r.k.last, name, fs.ErrNotExist)
}

func (r *reader) openFile(i int) (*fileReader, error) {
	in, err := r.store.open(r.k, i)
	if err != nil {
		return nil, r.store.checked(r.k, err)
	}
	return &fileReader{store: r.store, k: r.k, in: in}, nil
}

func (r *reader) Read(p []byte) (int, error) { return r.stream.Read(p) }

func (r *reader) Close() error {
	if r.over {
		return nil
	}
	r.over = true
	err := r.stream.Close()
	r.store.release(r.k)
	return err
}

// fileReader reads one file from its beginning. A chunk is checked before any of it is handed out.
type fileReader struct {
	store *Files
	k     *kept
	in    *input
	next  int    // chunk
	buf   []byte // of one chunk
	rest  []byte // of buf, not handed out yet
	err   error
}

func (r *fileReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, r.err
	}
	if len(r.rest) == 0 {
		if r.err == nil && r.next == r.in.chunks() {
			r.err = io.EOF
		}
		if r.err != nil {
			return 0, r.err
		}
		if r.buf, r.err = r.in.read(r.next, r.buf); r.err != nil {
			return 0, r.store.checked(r.k, r.err)
		}
		r.rest = r.buf
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *fileReader) Close() error { return failed("close "+r.in.path, r.in.file.Close()) }
