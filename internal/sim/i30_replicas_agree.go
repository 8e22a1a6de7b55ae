package sim

// replicasAgree is I30, at the end: all logs are the same to the last byte, and so are the states made of them.
func (h *history) replicasAgree() {
	first := h.c.members[0]
	for _, m := range h.c.members {
		h.c.check(m.applier.Applied() == h.commit() && m.dur.last() == h.commit() &&
			m.dur.chain(h.commit()) == h.committed[h.commit()-1].chain, "I30 replicas agree",
			"m%d: applied %d and durable %d of %d, or another log", m.index, m.applier.Applied(), m.dur.last(),
			h.commit())
		h.c.check(m.machine.hash == first.machine.hash, "I30 replicas agree", "m%d and m0 have different states",
			m.index)
		stored, err := m.disk.store.Load(group)
		h.c.check(err == nil, "I30 replicas agree", "m%d: load: %v", m.index, err)
		back := m.disk.readBack(&stored)
		h.c.check(back.same(&m.dur), "I30 replicas agree", "m%d: its store holds %v and %d entries up to %v, not the %v and %d "+
			"that it wrote", m.index, back.hard, back.last(), stored.Last, m.dur.hard, m.dur.last())
	}
}
