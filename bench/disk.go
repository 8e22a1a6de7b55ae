package main

import (
	"errors"
	"io"

	"github.com/jraft-go/jraft/internal/vfs"
)

// disk is where a member of ideal keeps what it is sent.
type disk interface {
	open(name string) error
	// write returns once p is durable.
	write(p []byte) error
	syncs() uint64
	close() error
}

const (
	ringBytes  = 64 << 20
	ringUnit   = 512
	frameLimit = ringBytes / 2
)

// ring is a file of zeros that is overwritten from the beginning whenever its end is reached.
type ring struct{ grown }

func (r *ring) open(name string) error {
	r.files = &countingFS{FS: vfs.OS()}
	var err error
	r.file, err = makeZeros(r.files, name, ringBytes)
	return err
}

func (r *ring) write(p []byte) error {
	if len(p) > frameLimit {
		return io.ErrShortWrite
	}
	if r.at+int64(len(p)) > ringBytes {
		r.at = 0
	}
	err := r.grown.write(p)
	r.at = (r.at + ringUnit - 1) / ringUnit * ringUnit
	return err
}

// grown is a file that is appended to.
type grown struct {
	files *countingFS
	file  vfs.File
	at    int64
}

func (g *grown) open(name string) error {
	g.files = &countingFS{FS: vfs.OS()}
	var err error
	g.file, err = g.files.Create(name)
	return err
}

func (g *grown) write(p []byte) error {
	if _, err := g.file.WriteAt(p, g.at); err != nil {
		return err
	}
	g.at += int64(len(p))
	return g.file.SyncData()
}

func (g *grown) syncs() uint64 { return g.files.syncs.Load() }
func (g *grown) close() error  { return g.file.Close() }

// makeZeros makes a file of zeros on disk: to overwrite them later changes no metadata.
func makeZeros(files vfs.FS, name string, size int64) (vfs.File, error) {
	f, err := files.Create(name)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size && err == nil; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros, at)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
