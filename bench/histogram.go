package main

import (
	"math/bits"
	"time"
)

const (
	stepBits = 7 // 128 steps for each doubling: a value is known to 0.4 %
	steps    = 1 << stepBits
	maxShift = 32 // the highest bucket is for everything from 2^39 ns, some nine minutes, on
)

// histogram counts durations. It is for one goroutine; its size is fixed, so that recording does
// not show in the allocations that are being measured.
type histogram struct {
	counts [(maxShift + 1) * steps]uint32
	total  uint64
}

func (h *histogram) record(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
}

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-stepBits-1, 0)
	if shift >= maxShift {
		return (maxShift+1)*steps - 1
	}
	if shift == 0 {
		return int(v) // below 2*steps there is a bucket for each value
	}
	return shift*steps + int(v>>shift)
}

// middle is the value that stands for a bucket.
func middle(bucket int) time.Duration {
	if bucket < 2*steps {
		return time.Duration(bucket)
	}
	shift := bucket/steps - 1
	low := uint64(bucket-shift*steps) << shift
	return time.Duration(low + 1<<(shift-1))
}

func (h *histogram) add(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// percentile returns the smallest value that p per cent of the recorded ones do not exceed; 0 if
// nothing was recorded.
func (h *histogram) percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(p/100*float64(h.total)+0.999999), 1)
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return middle(i)
		}
	}
	return middle(len(h.counts) - 1)
}
