package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// maxWrong is how many wrong replies a reception takes before it gives its source up.
const maxWrong = 8

// reception is the [Reception] of a [Files]. First it asks for the manifest, part by part; then, in
// order, for the chunks that are not there.
type reception struct {
	store  *Files
	meta   raft.SnapshotMeta
	here   bool   // the snapshot is published
	raw    []byte // of the manifest, as far as it has come
	total  int64  // of the manifest in bytes; 0: not known
	m      *manifest
	dir    string
	files  []*arriving
	undone int // files
	bytes  int64

	asked map[piece]bool // with a reply outstanding
	again []piece        // to be asked for again
	file  int            // what to ask for next, unless it is there
	chunk int
	wrong int
	err   error
	// spoiled: something went wrong on disk. What is there can't be trusted, as what a sync failed to
	// write may look well and be lost; nor is it worth its space if the disk is full.
	spoiled bool
	over    bool
}

// Receive begins a reception.
func (f *Files) Receive(meta raft.SnapshotMeta) (Reception, error) {
	if meta.Last.Index == 0 {
		return nil, fmt.Errorf("snapshot: a snapshot without entries can't be fetched")
	}
	defer f.changes.hold()() // Collect looks at receptions' directories as long as there is none
	if err := f.begin(&f.filling, "fetched"); err != nil {
		return nil, err
	}
	r := &reception{store: f, meta: meta, asked: map[piece]bool{}}
	if k, err := f.use(meta.Last); err == nil {
		r.here, r.meta = true, k.manifest.meta()
		f.release(k)
	}
	return r, nil
}

func (r *reception) Next() ([]byte, bool) {
	if r.err != nil || r.here || r.over {
		return nil, false
	}
	p, ok := r.next()
	if !ok {
		return nil, false
	}
	r.asked[p] = true
	return encodeRequest(p, r.store.o.Cluster, r.store.o.Group), true
}

func (r *reception) next() (piece, bool) {
	if r.m == nil {
		n := uint32(len(r.raw) / ChunkBytes)
		return piece{kind: askManifest, last: r.meta.Last, n: n}, len(r.asked) == 0
	}
	for len(r.again) > 0 {
		p := r.again[0]
		if r.again = r.again[1:]; !r.files[p.file].have[p.n] {
			return p, true
		}
	}
	for ; r.file < len(r.files); r.file, r.chunk = r.file+1, 0 {
		for have := r.files[r.file].have; r.chunk < len(have); r.chunk++ {
			if !have[r.chunk] {
				p := piece{askChunk, r.meta.Last, r.m.sum, uint32(r.file), uint32(r.chunk)}
				r.chunk++
				return p, true
			}
		}
	}
	return piece{}, false
}

func (r *reception) Lost(request []byte) {
	if p, _, _, err := decodeRequest(request); err == nil && r.asked[p] {
		r.repeat(p)
	}
}

func (r *reception) repeat(p piece) {
	delete(r.asked, p)
	if p.kind == askChunk {
		r.again = append(r.again, p)
	}
}

func (r *reception) Got(request, answer []byte) error {
	p, _, _, err := decodeRequest(request)
	if err != nil {
		return err
	}
	if r.err != nil || r.over || !r.asked[p] {
		return r.err // nothing waits for it
	}
	a, err := decodeReply(answer)
	switch {
	case err != nil:
		return r.refuse(p, err)
	case a.piece != p:
		return r.refuse(p, fmt.Errorf("snapshot: %w: a reply for another piece", raft.ErrCorrupt))
	case a.gone:
		return r.fail(fmt.Errorf("snapshot %v: %w at its source", r.meta.Last, ErrGone))
	case p.kind == askManifest:
		return r.gotManifest(p, &a)
	}
	f := r.files[p.file]
	if a.total != f.Size || !f.sound(int(p.n), a.data) {
		return r.refuse(p, fmt.Errorf("snapshot: %w: a reply with a wrong chunk %d of file %d",
			raft.ErrCorrupt, p.n, p.file))
	}
	delete(r.asked, p)
	invariant.Check(!f.have[p.n], "a chunk is asked for once at a time", uint64(p.file), uint64(p.n))
	if err := f.put(int(p.n), a.data); err != nil {
		return r.spoil(err)
	}
	r.bytes += int64(len(a.data))
	if f.missing == 0 {
		r.undone--
	}
	return nil
}

// refuse takes a wrong reply for none; too many of them end the reception.
func (r *reception) refuse(p piece, err error) error {
	r.repeat(p)
	if r.wrong++; r.wrong >= maxWrong {
		return r.fail(fmt.Errorf("%w (%d wrong replies are too many)", err, r.wrong))
	}
	return err
}

func (r *reception) fail(err error) error {
	if r.err == nil {
		r.err = err
	}
	return err
}

func (r *reception) spoil(err error) error {
	r.spoiled = true
	return r.fail(err)
}

// gotManifest takes a part of the manifest.
func (r *reception) gotManifest(p piece, a *reply) error {
	left := a.total - int64(len(r.raw))
	if a.total > maxManifest || r.total > 0 && a.total != r.total || left <= 0 ||
		int64(len(a.data)) != min(left, ChunkBytes) {
		return r.refuse(p, fmt.Errorf("snapshot: %w: a wrong part of a manifest", raft.ErrCorrupt))
	}
	delete(r.asked, p)
	r.total = a.total
	r.raw = append(r.raw, a.data...)
	if int64(len(r.raw)) < r.total {
		return nil
	}
	m, err := decodeManifest(r.raw)
	if errors.Is(err, raft.ErrCorrupt) {
		r.raw, r.total = nil, 0
		return r.refuse(p, failed("fetch", err))
	}
	if err == nil {
		err = r.store.ours(m)
	}
	if err == nil {
		err = r.agrees(m)
	}
	if err != nil {
		return r.fail(err)
	}
	if err := r.adopt(m); err != nil {
		return r.spoil(err)
	}
	return nil
}

// agrees refuses a manifest that is not of the snapshot that was named: its source has had to
// replace that one, so it must be asked to name what it has now.
func (r *reception) agrees(m *manifest) error {
	meta := m.meta()
	same := bytes.Equal(raft.EncodeConfiguration(meta.Configuration),
		raft.EncodeConfiguration(r.meta.Configuration))
	if meta.Last == r.meta.Last && meta.Bytes == r.meta.Bytes && meta.Files == r.meta.Files && same &&
		meta.Configuration.Index == r.meta.Configuration.Index {
		return nil
	}
	return fmt.Errorf("snapshot: %w: the manifest is of snapshot %v with %d bytes in %d files, %v "+
		"with %d bytes in %d files was named", ErrGone, meta.Last, meta.Bytes, meta.Files,
		r.meta.Last, r.meta.Bytes, r.meta.Files)
}

func (r *reception) Err() error { return r.err }

func (r *reception) Bytes() int64 {
	if r.here {
		return r.meta.Bytes
	}
	return r.bytes
}

func (r *reception) Total() int64 { return r.meta.Bytes }

func (r *reception) Done() bool {
	return r.here || r.m != nil && r.undone == 0 && r.err == nil
}

// Commit publishes the snapshot. Each file was synced when it was complete.
func (r *reception) Commit() (raft.SnapshotMeta, error) {
	switch {
	case r.here:
		return r.meta, r.Close()
	case r.err != nil:
		return raft.SnapshotMeta{}, r.err
	case r.over || !r.Done():
		return raft.SnapshotMeta{}, fmt.Errorf("snapshot %v is not complete: %d of %d bytes are there",
			r.meta.Last, r.Bytes(), r.Total())
	}
	invariant.Check(r.bytes == r.meta.Bytes, "a complete snapshot has all its bytes",
		uint64(r.bytes), uint64(r.meta.Bytes))
	meta, err := r.store.publish(r.dir, r.m)
	if err != nil {
		return meta, r.spoil(err)
	}
	r.here, r.meta = true, meta
	return meta, r.Close()
}

func (r *reception) Close() error {
	if r.spoiled {
		return r.Abandon()
	}
	return r.close()
}

func (r *reception) close() error {
	if r.over {
		return nil
	}
	r.over = true
	defer r.store.end(&r.store.filling)
	var err error
	for _, f := range r.files {
		err = errors.Join(err, f.close())
	}
	return failed("close files being fetched", err)
}

func (r *reception) Abandon() error {
	if r.over {
		return nil
	}
	defer r.store.changes.hold()()
	err := r.close()
	if r.dir == "" || r.here {
		return err
	}
	gone := removeTree(r.store.files, r.dir)
	if errors.Is(gone, fs.ErrNotExist) { // publishing failed at its last step
		return err
	}
	return errors.Join(err, failed("remove "+r.dir, gone))
}
