package snapshot

import (
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// staged is the [Staged] of a [Files]: the stream as it came, in one file. It is read from there,
// so that a large backup is on disk once.
type staged struct {
	reader // once it is verified; its snapshot is in no list
	dir    string
	file   vfs.File
	size   int64
}

// stream says that all files of a snapshot are one after the other in one file.
type stream struct {
	path   string
	starts []int64 // of each
}

// Stage begins to put an exported snapshot together.
func (f *Files) Stage() (Staged, error) {
	dir, err := f.fresh(fmt.Sprintf("%sstaged-%d", newPrefix, f.countStaged()))
	if err != nil {
		return nil, err
	}
	s := &staged{reader: reader{store: f}, dir: dir}
	if s.file, err = f.files.Create(s.path()); err != nil {
		return nil, failed("stage", errors.Join(err, removeTree(f.files, dir)))
	}
	return s, nil
}

func (f *Files) countStaged() int {
	defer f.guard.hold()()
	f.staged++
	return f.staged
}

func (s *staged) path() string { return path.Join(s.dir, contentName(0)) }

func (s *staged) Write(p []byte) (int, error) {
	n, err := s.file.WriteAt(p, s.size)
	s.size += int64(n)
	return n, failed("stage", err)
}

func (s *staged) ReadAt(p []byte, at int64) (int, error) { return s.file.ReadAt(p, at) }

// Verify reads all of it.
func (s *staged) Verify() error {
	in := io.NewSectionReader(s, 0, s.size)
	m, err := readExportHead(in)
	if err != nil {
		return err
	}
	if err := s.store.ours(m); err != nil {
		return err
	}
	at, _ := in.Seek(0, io.SeekCurrent)
	k := &kept{last: m.last, manifest: m, users: 1, stream: &stream{path: s.path()}}
	for i := range m.files {
		k.stream.starts = append(k.stream.starts, at)
		at += m.files[i].Size
	}
	if err := s.store.contents(k, func([]byte) error { return nil }); err != nil {
		return err
	}
	if err := readExportEnd(io.NewSectionReader(s, at, max(s.size-at, 0)), m); err != nil {
		return err
	}
	if end := at + exportEndBytes; s.size != end {
		return fmt.Errorf("snapshot: %w: the exported snapshot ends at offset %d, %d bytes follow",
			raft.ErrCorrupt, end, s.size-end)
	}
	s.k = k
	s.reader.stream, err = s.openFile(0)
	return err
}

func (s *staged) Close() error {
	err := s.file.Close()
	if s.reader.stream != nil {
		err = errors.Join(err, s.reader.stream.Close())
	}
	return failed("remove what was staged", errors.Join(err, removeTree(s.store.files, s.dir)))
}
