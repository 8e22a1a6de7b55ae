package vfs

import (
	"os"
	"syscall"
)

func syncData(f *os.File) error { return call(f, "fdatasync", syscall.Fdatasync) }

func allocate(f *os.File, size int64) error {
	return call(f, "fallocate", func(fd int) error { return syscall.Fallocate(fd, 0, 0, size) })
}

// call makes a system call on a file until it was not interrupted by a signal.
func call(f *os.File, name string, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = do(int(fd)); failed != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError(name, failed)
}
