package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// OS returns the operating system's file system.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := (osFS{}).MkdirAll(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return mapped(err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return pathError("mkdir", dir, fs.ErrExist)
	}
	return mapped(syncDir(above))
}

func (osFS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return open(name, os.O_RDWR) }

func (osFS) OpenRead(name string) (File, error) { return open(name, os.O_RDONLY) }

// Link refuses symbolic links: a second name for one would not hold the content.
func (osFS) Link(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return mapped(err)
	}
	if !info.Mode().IsRegular() {
		return pathError("link", from, fs.ErrInvalid)
	}
	return mapped(os.Link(from, to))
}

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, mapped(err)
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error {
	if filepath.Dir(from) != filepath.Dir(to) {
		return pathError("rename", to, fs.ErrInvalid)
	}
	return mapped(os.Rename(from, to))
}

func (osFS) Remove(name string) error { return mapped(os.Remove(name)) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, mapped(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error { return mapped(syncDir(dir)) }

func (osFS) Lock(name, holder string) (io.Closer, error) {
	f, err := lockFile(name)
	if err != nil {
		if errors.Is(err, ErrLocked) {
			by, _ := os.ReadFile(name) // best effort: the text only makes the message better
			err = fmt.Errorf("%w by %s", ErrLocked, by)
		}
		return nil, pathError("lock", name, mapped(err))
	}
	text := []byte(fmt.Sprintf("pid %d %s", os.Getpid(), holder))
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	if err != nil {
		return nil, errors.Join(mapped(err), f.Close())
	}
	return f, nil
}

// osFile hides the methods of os.File that are not in File, and maps errors.
type osFile struct{ f *os.File }

func (o osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

func (o osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.f.WriteAt(p, off)
	return n, mapped(err)
}

func (o osFile) Close() error { return mapped(o.f.Close()) }

func (o osFile) Size() (int64, error) {
	info, err := o.f.Stat()
	if err != nil {
		return 0, mapped(err)
	}
	return info.Size(), nil
}

func (o osFile) Truncate(size int64) error { return mapped(o.f.Truncate(size)) }

func (o osFile) Allocate(size int64) error {
	old, err := o.Size()
	if err != nil || old >= size {
		return err
	}
	if err = allocate(o.f, size); !errors.Is(err, errors.ErrUnsupported) {
		return mapped(err)
	}
	zeros := make([]byte, min(size-old, 256<<10))
	for at := old; at < size; at += int64(len(zeros)) {
		if _, err := o.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return nil
}

func (o osFile) Sync() error { return mapped(o.f.Sync()) }

func (o osFile) SyncData() error { return mapped(syncData(o.f)) }

// mapped makes a full disk or quota recognisable on every system.
func mapped(err error) error {
	if err != nil && (errors.Is(err, syscall.ENOSPC) || isFull(err)) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
