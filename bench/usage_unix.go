//go:build unix

package main

import "syscall"

func processTimes() (cpuNanos, switches uint64) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0
	}
	return uint64(r.Utime.Nano() + r.Stime.Nano()), uint64(r.Nvcsw + r.Nivcsw)
}
