package witness

import "github.com/jraft-go/jraft/raft"

// Read is the online half of I20: a read returns a value that is at least as new as any that an
// operation finished before it began has shown. The other half, porcupine on whole histories, is
// in the tests.
func (h *History) Read(o *Op, value uint64, written raft.Index) {
	o.Value = value
	h.Check(written >= o.Floor, "I20 linearizable",
		"read %d of key %d at m%d sees a write at %d, not that at %d",
		o.Serial, o.Key, o.Member.Index, written, o.Floor)
	h.floor[o.Key] = max(h.floor[o.Key], written)
	h.Reads++
}
