package sim

// stateOrder is I13: first <= applied + 1, applied <= committed <= last, durable <= last, and what counts as durable
// is on the disk.
func (h *history) stateOrder(s *step) {
	a := &s.after
	h.c.check(a.First <= a.Applied+1 && a.Applied <= a.Committed && a.Committed <= a.Last.Index &&
		a.Durable <= a.Last.Index, "I13 state order", "m%d: first %d applied %d committed %d durable %d last %d",
		s.m.index, a.First, a.Applied, a.Committed, a.Durable, a.Last.Index)
	h.c.check(s.m.dur.last() >= a.Durable && s.m.dur.chain(a.Durable) == s.m.vol.chain(a.Durable),
		"I13 state order", "m%d takes %d for durable, its disk does not hold that", s.m.index, a.Durable)
	h.c.check(s.out.Committed == a.Committed, "I13 state order", "m%d: two commit indexes", s.m.index)
}
