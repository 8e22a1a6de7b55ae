package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// arriving is a file of which parts are there.
type arriving struct {
	*entry
	files   vfs.FS
	path    string
	have    []bool // per chunk: it is on disk as it must be
	missing int    // chunks
	sum     *digest
	file    vfs.File // nil: not open
	dirty   int64
}

func newArriving(files vfs.FS, dir string, i int, e *entry) *arriving {
	return &arriving{entry: e, files: files, path: path.Join(dir, contentName(i)),
		have: make([]bool, e.chunks()), missing: e.chunks(), sum: newDigest()}
}

// put writes a sound chunk. The file is complete, checked and durable when no chunk is missing.
func (a *arriving) put(i int, chunk []byte) error {
	if a.file == nil {
		file, err := a.files.Open(a.path)
		if err != nil {
			return failed("open "+a.path, err)
		}
		a.file = file
	}
	if _, err := a.file.WriteAt(chunk, int64(i)*ChunkBytes); err != nil {
		return failed("write "+a.path, err)
	}
	if a.dirty += int64(len(chunk)); a.dirty >= syncBytes {
		a.dirty = 0
		if err := a.file.SyncData(); err != nil {
			return failed("sync "+a.path, err)
		}
	}
	a.have[i] = true
	a.missing--
	if err := a.sumUp(i, chunk); err != nil {
		return err
	}
	if a.missing > 0 {
		return nil
	}
	if err := a.complete(); err != nil {
		return err
	}
	return failed("sync "+a.path, errors.Join(a.file.Sync(), a.close()))
}

// sumUp goes on with the checksums of the whole file as far as its chunks are there without a gap.
// Chunk i is at hand; what came before its turn is read again.
func (a *arriving) sumUp(i int, chunk []byte) error {
	in := input{a.file, a.path, a.entry, 0}
	var buf []byte
	for next := len(a.sum.chunks) / 4; next < len(a.have) && a.have[next]; next++ {
		if next == i {
			a.sum.add(chunk)
			continue
		}
		var err error
		if buf, err = in.read(next, buf); err != nil {
			return err
		}
		a.sum.add(buf)
	}
	return nil
}

// complete checks the file as a whole.
func (a *arriving) complete() error {
	if !a.sum.matches(a.entry) {
		return fmt.Errorf("snapshot: %w: file %q is not what the manifest says, though its chunks are",
			raft.ErrCorrupt, a.Name)
	}
	return nil
}

func (a *arriving) close() error {
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

// recover finds out what is there of a file that was begun earlier, or that was linked from another
// snapshot. If there is none, it is made.
func (a *arriving) recover() error {
	file, err := a.files.OpenRead(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		if file, err = a.files.Create(a.path); err == nil && a.Size == 0 {
			err = errors.Join(file.Sync(), a.complete())
		}
		if file == nil {
			return failed("create "+a.path, err)
		}
		return failed("create "+a.path, errors.Join(err, file.Close()))
	}
	if err != nil {
		return failed("open "+a.path, err)
	}
	size, err := file.Size()
	if err == nil {
		err = a.recoverChunks(&input{file, a.path, a.entry, 0}, size)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return failed("read "+a.path, err)
	}
	switch {
	case a.missing == 0 && size == a.Size:
		return errors.Join(a.complete(), failed("sync "+a.path, syncName(a.files, a.path)))
	case size >= a.Size:
		return a.detach()
	}
	return nil
}

func (a *arriving) recoverChunks(in *input, size int64) error {
	var buf []byte
	gap := false
	for i := range a.have {
		if int64(i)*ChunkBytes+int64(a.chunkSize(i)) > size {
			break
		}
		b, err := in.read(i, buf)
		if errors.Is(err, raft.ErrCorrupt) {
			gap = true
			continue
		}
		if err != nil {
			return err
		}
		buf = b
		a.have[i] = true
		a.missing--
		if !gap {
			a.sum.add(b)
		}
	}
	return nil
}

// detach replaces a file by a copy of its sound chunks. A file of full size may be a hard link to
// one of a published snapshot, which must not be written to.
func (a *arriving) detach() error {
	temporary := path.Join(path.Dir(a.path), copyName)
	in, err := openInput(a.files, a.path, 0, a.entry)
	if err != nil {
		return failed("open "+a.path, err)
	}
	out, err := a.files.Create(temporary)
	if err != nil {
		return failed("create "+temporary, errors.Join(err, in.file.Close()))
	}
	var buf []byte
	written := int64(0)
	for i, have := range a.have {
		if err != nil || !have {
			continue
		}
		if buf, err = in.read(i, buf); err == nil {
			_, err = out.WriteAt(buf, int64(i)*ChunkBytes)
		}
		if written += int64(len(buf)); err == nil && written >= syncBytes {
			written, err = 0, out.SyncData()
		}
	}
	err = errors.Join(err, out.Sync(), out.Close(), in.file.Close())
	if err == nil {
		err = a.files.Rename(temporary, a.path)
	}
	if err == nil && a.missing == 0 { // it was too long
		err = a.complete()
	}
	return failed("copy "+a.path, err)
}

// adopt makes ready for the content: the directory where this snapshot's reception stopped, or a
// new one, with the files that other snapshots here have already.
func (r *reception) adopt(m *manifest) error {
	s := r.store
	defer s.changes.hold()()
	name := receivedName(m.last, m.sum)
	r.m, r.dir = m, path.Join(s.dir, name)
	if old, err := s.readManifest(r.dir); err != nil || !bytes.Equal(old.raw, m.raw) {
		if _, err := s.fresh(name); err != nil {
			return err
		}
		if err := writeWhole(s.files, path.Join(r.dir, manifestName), m.raw); err != nil {
			return failed("write the manifest", err)
		}
		if err := s.files.SyncDir(r.dir); err != nil {
			return failed("sync "+r.dir, err)
		}
	} else if err := r.resume(); err != nil {
		return err
	}
	if err := r.reuse(name); err != nil {
		return err
	}
	for i := range m.files {
		a := newArriving(s.files, r.dir, i, &m.files[i])
		r.files = append(r.files, a)
		if err := a.recover(); err != nil {
			return err
		}
		for c, have := range a.have {
			if have {
				r.bytes += int64(a.chunkSize(c))
			}
		}
		if a.missing > 0 {
			r.undone++
		}
	}
	return s.removeReceived(func(other string, _ raft.LogID) bool { return other != name })
}

// resume makes durable what was only read, maybe, and removes what must not be published: a copy
// that was interrupted.
func (r *reception) resume() error {
	name := path.Join(r.dir, manifestName)
	if err := syncName(r.store.files, name); err != nil {
		return failed("sync "+name, err)
	}
	name = path.Join(r.dir, copyName)
	if err := r.store.files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("remove "+name, err)
	}
	return nil
}

// donor is a place where files with known content are.
type donor struct {
	dir string
	m   *manifest
}

// reuse links, or copies, files that are not there yet from snapshots that are, and from receptions
// that were given up. What they hold is checked afterwards like everything else.
func (r *reception) reuse(name string) error {
	s := r.store
	var donors []donor
	for _, meta := range s.All() {
		if k, err := s.use(meta.Last); err == nil {
			defer s.release(k)
			donors = append(donors, donor{path.Join(s.dir, keptName(k.last)), k.manifest})
		}
	}
	names, err := s.files.List(s.dir)
	if err != nil {
		return failed("list "+s.dir, err)
	}
	for _, other := range names {
		if _, ok := parseName(receivedPrefix, other); ok && other != name {
			dir := path.Join(s.dir, other)
			if m, err := s.readManifest(dir); err == nil {
				donors = append(donors, donor{dir, m})
			}
		}
	}
	there, err := s.files.List(r.dir)
	if err != nil {
		return failed("list "+r.dir, err)
	}
	begun := map[string]bool{}
	for _, n := range there {
		begun[n] = true
	}
	for i := range r.m.files {
		if e := &r.m.files[i]; e.Size > 0 && !begun[contentName(i)] {
			if err := r.reuseFile(donors, i, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reception) reuseFile(donors []donor, i int, e *entry) error {
	to := path.Join(r.dir, contentName(i))
	for _, d := range donors {
		for j := range d.m.files {
			if !d.m.files[j].same(e) {
				continue
			}
			from := path.Join(d.dir, contentName(j))
			in, err := openInput(r.store.files, from, 0, e)
			if err != nil {
				continue
			}
			size, err := in.file.Size()
			if err == nil && size == e.Size && r.store.files.Link(from, to) == nil {
				return failed("close "+from, in.file.Close())
			}
			return failed("copy "+from, copyChunks(r.store.files, in, to))
		}
	}
	return nil
}

// copyChunks copies the sound chunks at the beginning of a file.
func copyChunks(files vfs.FS, in *input, to string) error {
	out, err := createOutput(files, to)
	if err != nil {
		return errors.Join(err, in.file.Close())
	}
	var buf []byte
	for i := 0; i < in.chunks() && err == nil; i++ {
		var b []byte
		if b, err = in.read(i, buf); err == nil {
			buf = b
			err = out.add(b)
		}
	}
	if errors.Is(err, raft.ErrCorrupt) {
		err = nil // the rest will be fetched
	}
	return errors.Join(err, out.finish(), in.file.Close())
}
