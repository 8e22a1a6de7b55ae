package witness

import "github.com/jraft-go/jraft/raft"

// Read is the online half of I20: a read returns a value that is at least as new as any that an
// operation finished before it began has shown. The other half, porcupine on whole histories, is
// in the tests.
//
// A backup that was restored is a write of all keys, at the index of its last piece.
func (h *History) Read(o *Op, got Cell, applied raft.Index) {
	value, written := got.Serial, got.Index
	o.Value = value
	if r := h.restores.before(applied); r != nil && r.Index > written {
		h.Check(got == r.State.Cells[o.Key], "I20 linearizable",
			"read %d of key %d at m%d sees %v, the backup that was restored at %d has %v", o.Serial, o.Key,
			o.Member.Index, got, r.Index, r.State.Cells[o.Key])
		written = r.Index
	}
	h.Check(written >= o.Floor, "I20 linearizable",
		"read %d of key %d at m%d sees a write at %d, not that at %d",
		o.Serial, o.Key, o.Member.Index, written, o.Floor)
	h.floor[o.Key] = max(h.floor[o.Key], written)
	h.Reads++
}
