// Package vfs is the little of a file system that this module needs, so that the same storage code
// runs on the operating system's files and, in tests, on files in memory that crash, tear and fail
// as real ones do.
package vfs

import (
	"errors"
	"io"
)

// FS is a file system. Names are slash-separated paths. All methods may be called from several
// goroutines.
//
// Durability is as on POSIX: file content is durable after Sync or SyncData of the file, a name
// (created, renamed or removed) after SyncDir of its directory. Nothing else promises anything, but
// for MkdirAll.
type FS interface {
	// MkdirAll makes dir and its missing parents; what it makes is durable when it returns.
	MkdirAll(dir string) error
	// Create makes a file, for reading and writing; fs.ErrExist if the name exists.
	Create(name string) (File, error)
	// Open opens a file for reading and writing; fs.ErrNotExist.
	Open(name string) (File, error)
	// OpenRead opens a file for reading only: writing to it may fail.
	OpenRead(name string) (File, error)
	// Link gives a regular file a second name (a hard link), which must not exist: fs.ErrExist. It
	// fails where the file system has no such thing, and across file systems.
	Link(from, to string) error
	// Rename gives a file or directory another name in the same directory. A file replaces a file.
	Rename(from, to string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// List returns the base names in dir, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the lock file name for this process, writes holder into it, and fails with
	// ErrLocked (the error names the holder) while another process or another Lock call has it.
	// Closing releases it, and so does the end of the process.
	Lock(name, holder string) (io.Closer, error)
}

// File is an open file. Reads may run beside a write.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the file's size in bytes.
	Size() (int64, error)
	// Truncate sets the size in bytes; what a file gains reads as zeros.
	Truncate(size int64) error
	// Allocate makes a smaller file that large: what is added reads as zeros, and the disk space for
	// it is taken, so that writing there can't fail for want of space. Durable after Sync.
	Allocate(size int64) error
	// Sync makes content and size durable. Its errors are final: what was not written then may
	// never be, whatever a later Sync says.
	Sync() error
	// SyncData is as Sync; times and the like may be left out.
	SyncData() error
}

var (
	// ErrLocked is wrapped by the error of a Lock that another holder has.
	ErrLocked = errors.New("in use")
	// ErrNoSpace is wrapped by the error of anything that failed because the disk or the quota is
	// full.
	ErrNoSpace = errors.New("no space left")
	// ErrCrashed is wrapped by the errors of a [Mem] that has crashed, and of every file opened
	// before that.
	ErrCrashed = errors.New("crashed")
)
