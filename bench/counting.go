package main

import (
	"sync/atomic"

	"github.com/jraft-go/jraft/internal/vfs"
)

// countingFS is the operating system's file system, and counts syncs of files.
type countingFS struct {
	vfs.FS
	syncs atomic.Uint64
}

func (c *countingFS) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &countingFile{f, &c.syncs}, nil
}

func (c *countingFS) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &countingFile{f, &c.syncs}, nil
}

type countingFile struct {
	vfs.File
	syncs *atomic.Uint64
}

func (c *countingFile) Sync() error {
	c.syncs.Add(1)
	return c.File.Sync()
}

func (c *countingFile) SyncData() error {
	c.syncs.Add(1)
	return c.File.SyncData()
}
