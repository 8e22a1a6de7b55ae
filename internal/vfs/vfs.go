// Package vfs is the little of a file system that this module needs, so that the same storage code runs on the
// operating system's files and, in tests, on files in memory that crash, tear and fail as real ones do.
package vfs

import (
	"errors"
	"io"
)

// FS is a file system. Names are slash-separated paths. All methods may be called from several goroutines.
//
// Durability is as on POSIX: file content is durable after Sync or SyncData of the file, a name (created, renamed
// or removed) after SyncDir of its directory. Nothing else promises anything, but for MkdirAll.
type FS interface {
	MkdirAll(dir string) error         // the directories that it makes are durable when it returns
	Create(name string) (File, error)  // for reading and writing; fails with fs.ErrExist if the name exists
	Open(name string) (File, error)    // for reading and writing; fails with fs.ErrNotExist
	Rename(from, to string) error      // within one directory; replaces to
	Remove(name string) error          // a file or an empty directory
	List(dir string) ([]string, error) // base names, sorted
	SyncDir(dir string) error
	// Lock takes the lock file name for this process, writes holder into it, and fails with ErrLocked
	// (the error names the holder) while another process or another Lock call has it. Closing releases it.
	Lock(name, holder string) (io.Closer, error)
}

// File is an open file. Reads may run beside a write.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error     // content and size
	SyncData() error // content and what is needed to read it back; times and the like may be left out
}

var (
	// ErrLocked is wrapped by the error of a Lock that another holder has.
	ErrLocked = errors.New("in use")
	// ErrNoSpace is wrapped by the error of anything that failed because the disk or the quota is full.
	ErrNoSpace = errors.New("no space left")
	// ErrCrashed is wrapped by the errors of a [Mem] that has crashed, and of every file opened before that.
	ErrCrashed = errors.New("crashed")
)
