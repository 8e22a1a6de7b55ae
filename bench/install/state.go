package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
)

// bulk is a state machine whose state is large and lies on disk: a count of commands, and a file of
// random bytes that the command grow makes, the same on every member.
type bulk struct {
	dir      string
	commands atomic.Uint64
	restored atomic.Uint64 // the last entry of the snapshot that the state began with
}

const (
	growCommand = "grow" // and the size, 8 bytes
	copyBytes   = 1 << 20
)

func growBy(size int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(growCommand), uint64(size))
}

func (b *bulk) path() string { return filepath.Join(b.dir, "state") }

// Apply counts, and makes the file. Its result is an error, or nil.
func (b *bulk) Apply(e raft.Entry) any {
	b.commands.Add(1)
	if len(e.Data) == len(growCommand)+8 && string(e.Data[:len(growCommand)]) == growCommand {
		size := int64(binary.BigEndian.Uint64(e.Data[len(growCommand):]))
		if err := b.write(io.LimitReader(rand.NewChaCha8([32]byte{}), size)); err != nil {
			return err
		}
	}
	return nil
}

// write replaces the file. A saver that reads the old one goes on with that.
func (b *bulk) write(from io.Reader) error {
	f, err := os.Create(b.path() + ".new")
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, from, make([]byte, copyBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(b.path()+".new", b.path())
}

// Snapshot pins the state: the count, and the file by an open descriptor.
func (b *bulk) Snapshot() (fsm.Saver, error) {
	f, err := os.Open(b.path())
	if err != nil {
		return nil, err
	}
	return &bulkSaver{f, b.commands.Load()}, nil
}

type bulkSaver struct {
	file     *os.File
	commands uint64
}

// Save streams the state, as a state machine does that holds it in memory: nothing is linked.
func (s *bulkSaver) Save(_ context.Context, w fsm.SnapshotWriter) error {
	if err := binary.Write(w, binary.BigEndian, s.commands); err != nil {
		return err
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{s.file},
		make([]byte, copyBytes))
	return err
}

// Release closes the file; it was only read.
func (s *bulkSaver) Release() { _ = s.file.Close() }

// Restore replaces all.
func (b *bulk) Restore(r fsm.SnapshotReader) error {
	var commands uint64
	if err := binary.Read(r, binary.BigEndian, &commands); err != nil {
		return err
	}
	if err := b.write(r); err != nil {
		return err
	}
	b.commands.Store(commands)
	b.restored.Store(uint64(r.Meta().Last.Index))
	return nil
}

// sum sums up the file.
func (b *bulk) sum() (uint32, error) {
	f, err := os.Open(b.path())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err = io.Copy(h, bufio.NewReaderSize(f, copyBytes))
	return h.Sum32(), err
}
