package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// syncBytes is how much of a file is written before it is synced, so that a large snapshot leaves
// no heap of dirty pages that holds up the log's syncs.
const syncBytes = 1 << 20

// digest sums up the content of a file, chunk by chunk in order.
type digest struct {
	size   int64
	crc    uint32
	sha    hash.Hash
	table  *crc32.Table
	chunks []byte
}

func newDigest() *digest {
	return &digest{sha: sha256.New(), table: crc32.MakeTable(crc32.Castagnoli)}
}

func (d *digest) add(chunk []byte) {
	d.size += int64(len(chunk))
	d.crc = crc32.Update(d.crc, d.table, chunk)
	d.sha.Write(chunk) // a hash never fails
	d.chunks = binary.LittleEndian.AppendUint32(d.chunks, raft.Checksum(chunk))
}

func (d *digest) entry(name string) entry {
	return entry{name, d.size, d.crc, d.sha.Sum(nil), d.chunks}
}

// matches reports whether what was summed up is the file that e describes.
func (d *digest) matches(e *entry) bool {
	return d.size == e.Size && d.crc == e.CRC && bytes.Equal(d.chunks, e.Chunks) &&
		bytes.Equal(d.sha.Sum(nil), e.SHA256)
}

// output writes one file from its beginning, chunk by chunk.
type output struct {
	file  vfs.File
	sum   *digest
	dirty int64
}

func createOutput(files vfs.FS, name string) (*output, error) {
	file, err := files.Create(name)
	if err != nil {
		return nil, err
	}
	return &output{file: file, sum: newDigest()}, nil
}

// add appends a chunk; all but the last one have ChunkBytes.
func (o *output) add(chunk []byte) error {
	if _, err := o.file.WriteAt(chunk, o.sum.size); err != nil {
		return err
	}
	o.sum.add(chunk)
	if o.dirty += int64(len(chunk)); o.dirty >= syncBytes {
		o.dirty = 0
		return o.file.SyncData()
	}
	return nil
}

// finish makes the file durable and closes it.
func (o *output) finish() error { return errors.Join(o.file.Sync(), o.file.Close()) }

// input reads the chunks of one file and checks them.
type input struct {
	file vfs.File
	path string
	*entry
	start int64 // of the content in the file
}

func openInput(files vfs.FS, path string, start int64, e *entry) (*input, error) {
	file, err := files.OpenRead(path)
	if err != nil {
		return nil, err
	}
	return &input{file, path, e, start}, nil
}

// read returns chunk i, in the memory of into where that is large enough.
func (in *input) read(i int, into []byte) ([]byte, error) {
	n := in.chunkSize(i)
	if cap(into) < n {
		into = make([]byte, n)
	}
	into = into[:n]
	at := in.start + int64(i)*ChunkBytes
	if got, err := in.file.ReadAt(into, at); got < n {
		if errors.Is(err, io.EOF) {
			return nil, corrupt(in.path, at+int64(got), "the file ends here")
		}
		return nil, unreadable(in.path, at, err)
	}
	if !in.sound(i, into) {
		return nil, corrupt(in.path, at, fmt.Sprintf("%d bytes from here on have a wrong checksum", n))
	}
	return into, nil
}

// syncName makes the content of a file durable that somebody else wrote.
func syncName(files vfs.FS, name string) error {
	file, err := files.Open(name)
	if err != nil { // a read-only file of the user's, hard-linked
		if file, err = files.OpenRead(name); err != nil {
			return err
		}
	}
	return errors.Join(file.Sync(), file.Close())
}

// writeWhole makes a small file durable.
func writeWhole(files vfs.FS, name string, data []byte) error {
	file, err := files.Create(name)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// removeTree removes a directory of files.
func removeTree(files vfs.FS, dir string) error {
	names, err := files.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := files.Remove(dir + "/" + name); err != nil {
			return err
		}
	}
	return files.Remove(dir)
}

var errVersion = errors.New("unknown format version")

// failed says what could not be done, and makes a full disk recognisable.
func failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, vfs.ErrNoSpace):
		return fmt.Errorf("snapshot: %s: %w: %w", what, raft.ErrDiskFull, err)
	}
	return fmt.Errorf("snapshot: %s: %w", what, err)
}

// unreadable makes a failed read of an open file damage: a disk that has lost a sector returns an
// error for it, and not the wrong bytes.
func unreadable(path string, offset int64, err error) error {
	return fmt.Errorf("snapshot: %w: %s at offset %d: %w", raft.ErrCorrupt, path, offset, err)
}

func corrupt(path string, offset int64, what string) error {
	return fmt.Errorf("snapshot: %w: %s at offset %d: %s", raft.ErrCorrupt, path, offset, what)
}
