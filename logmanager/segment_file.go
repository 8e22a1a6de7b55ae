package logmanager

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// segment is one file of the log.
type segment struct {
	number uint64
	salt   uint32 // of its batches' heads, see batch
	name   string // the path
	size   int64
	filled int64 // up to here zeros were written before it was published; the rest was allocated only
	file   vfs.File

	// These two belong to Segments.retired.
	readers int
	closed  bool
}

// readAt fills p from offset at, or says where the file can't be read.
func (s *segment) readAt(p []byte, at int64) error {
	n, err := s.file.ReadAt(p, at)
	if n == len(p) {
		return nil // an io.EOF that comes with all the bytes is none of our concern
	}
	if errors.Is(err, io.EOF) {
		return corrupt(s.name, at+int64(n), "the file ends here")
	}
	return fmt.Errorf("log store: read %s at offset %d: %w", s.name, at+int64(n), err)
}

const (
	segmentPrefix = "log-"
	segmentSuffix = ".seg"
	spareSuffix   = ".new"
	retiredSuffix = ".old"
	lockName      = "LOCK"
)

func segmentName(number uint64) string { return fmt.Sprintf("%s%08d", segmentPrefix, number) }

// parseSegmentName returns the number in the name of a segment; false: it is some other file.
func parseSegmentName(name, suffix string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found {
		return 0, false
	}
	if _, err := fmt.Sscanf(digits, segmentPrefix+"%d", &number); err != nil {
		return 0, false
	}
	return number, number > 0 && segmentName(number) == digits
}

// segmentMaker makes segments: head and zeros, synced, under a temporary name; then publishes them.
//
// Invariant: a file named log-N.seg has a durable head, and zeros, whose space is taken, in the
// places that no batch was written to.
type segmentMaker struct {
	files       vfs.FS
	dir         string
	who         identity
	salt        uint64 // see SegmentOptions
	first, most int64  // sizes
	next        uint64 // the number of the next segment
	size        int64  // its size
	zeros       []byte // what to fill with
}

// fillBytes is how much of a spare is filled and synced at once: a write beside it never waits for
// more.
const fillBytes = 512 << 10

// make writes the next segment under its temporary name; it has room for atLeast bytes in all.
func (m *segmentMaker) make(atLeast int64) (*segment, error) {
	s := &segment{number: m.next, size: max(m.size, atLeast), filled: segmentHead}
	s.salt = segmentSalt(m.salt, s.number)
	s.name = path.Join(m.dir, segmentName(m.next)+spareSuffix)
	file, err := m.files.Create(s.name)
	if err != nil {
		return nil, storageError("create "+s.name, err)
	}
	s.file = file
	err = file.Allocate(s.size)
	if err == nil {
		_, err = file.WriteAt(encodeSegmentHead(s, m.who), 0)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, storageError("prepare "+s.name, errors.Join(err, m.discard(s)))
	}
	return s, nil
}

// fill writes zeros over the next piece of a segment that is not published; false: all is filled.
// Where a file system has taken space without writing to it, the first write there costs a change
// of the file system's own structures with the next sync, which this takes off the log's writes.
func (m *segmentMaker) fill(s *segment) (more bool, err error) {
	n := min(s.size-s.filled, fillBytes-s.filled%fillBytes)
	if n == 0 {
		return false, nil
	}
	if m.zeros == nil {
		m.zeros = make([]byte, fillBytes)
	}
	if _, err = s.file.WriteAt(m.zeros[:n], s.filled); err == nil {
		err = s.file.SyncData()
	}
	if err != nil {
		return false, storageError("fill "+s.name, err)
	}
	s.filled += n
	return true, nil
}

// removeSegments removes the files of a run of closed segments that ends before the segment that
// the stream is to begin with. To begin with any one between would not do, so the last one gets a
// name that tells this, durably and first of all, and goes last. It may be called again after an
// error.
func removeSegments(files vfs.FS, dir string, list []*segment) error {
	end := list[len(list)-1]
	if name := path.Join(dir, segmentName(end.number)+retiredSuffix); end.name != name {
		if err := files.Rename(end.name, name); err != nil {
			return storageError("rename "+end.name, err)
		}
		end.name = name
	}
	if err := files.SyncDir(dir); err != nil {
		return storageError("sync "+dir, err)
	}
	for i, s := range list {
		if i > 0 && s == end {
			if err := files.SyncDir(dir); err != nil {
				return storageError("sync "+dir, err)
			}
		}
		if err := files.Remove(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storageError("remove "+s.name, err)
		}
	}
	return storageError("sync "+dir, files.SyncDir(dir))
}

// discard removes a segment that was not published.
func (m *segmentMaker) discard(s *segment) error {
	return errors.Join(s.file.Close(), m.files.Remove(s.name))
}

// publish gives a segment its final name, durably.
func (m *segmentMaker) publish(s *segment) error {
	name := path.Join(m.dir, segmentName(s.number)+segmentSuffix)
	if err := m.files.Rename(s.name, name); err != nil {
		return storageError("rename "+s.name, err)
	}
	s.name = name
	if err := m.files.SyncDir(m.dir); err != nil {
		return storageError("sync "+m.dir, err)
	}
	m.follow(s)
	return nil
}

// follow sets number and size of the segment that comes after s.
func (m *segmentMaker) follow(s *segment) {
	m.next = s.number + 1
	m.size = min(max(2*s.size, m.first), m.most)
}

// storageError wraps an error of the file system, if there is one, with what was being done. A full
// disk is raft.ErrDiskFull.
func storageError(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, vfs.ErrNoSpace) {
		return fmt.Errorf("log store: %s: %w: %w", what, raft.ErrDiskFull, err)
	}
	return fmt.Errorf("log store: %s: %w", what, err)
}
