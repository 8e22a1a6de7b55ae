package sim

// read is the online half of I20: a read returns a value that is at least as new as any that an operation finished
// before it began has shown. The other half, porcupine on whole histories, is in the tests.
func (h *history) read(o *op, v cell) {
	h.c.check(v.index >= o.floor, "I20 linearizable", "read %d of key %d at m%d sees a write at %d, not that at %d",
		o.serial, o.key, o.m.index, v.index, o.floor)
	h.floor[o.key] = max(h.floor[o.key], v.index)
	h.c.report.Reads++
}
