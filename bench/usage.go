package main

import "runtime/metrics"

// usage is what a process has used since it began.
type usage struct {
	CPUNanos uint64 `json:"cpu_nanos"`
	Switches uint64 `json:"switches"` // of threads, voluntary and not
	Allocs   uint64 `json:"allocs"`
	Bytes    uint64 `json:"bytes"` // allocated
	Heap     uint64 `json:"heap"`  // bytes in use now
	Syncs    uint64 `json:"syncs"`
	Ops      uint64 `json:"ops"` // completed by the clients of the load of now
}

// readUsage stops nobody, so it may be called while the system is measured.
func readUsage() (u usage) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/heap/tiny/allocs:objects"},
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	u.Allocs = samples[0].Value.Uint64() + samples[1].Value.Uint64()
	u.Bytes, u.Heap = samples[2].Value.Uint64(), samples[3].Value.Uint64()
	u.CPUNanos, u.Switches = processTimes()
	return u
}

func (u *usage) add(v usage) {
	u.CPUNanos += v.CPUNanos
	u.Switches += v.Switches
	u.Allocs += v.Allocs
	u.Bytes += v.Bytes
	u.Heap += v.Heap
	u.Syncs += v.Syncs
	u.Ops += v.Ops
}

func (u *usage) subtract(v usage) {
	u.CPUNanos -= v.CPUNanos
	u.Switches -= v.Switches
	u.Allocs -= v.Allocs
	u.Bytes -= v.Bytes
	u.Syncs -= v.Syncs
	u.Ops -= v.Ops
}
