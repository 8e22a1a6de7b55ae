package witness

// stateOrder is I13: first <= applied + 1, applied <= committed <= last, durable <= last, and
// what counts as durable is on the disk.
func (h *History) stateOrder(s *step) {
	a := &s.after
	h.Check(a.First <= a.Applied+1 && a.Applied <= a.Committed && a.Committed <= a.Last.Index &&
		a.Durable <= a.Last.Index, "I13 state order",
		"m%d: first %d applied %d committed %d durable %d last %d",
		s.m.Index, a.First, a.Applied, a.Committed, a.Durable, a.Last.Index)
	h.Check(s.m.Dur.Last() >= a.Durable && s.m.Dur.chain(a.Durable) == s.m.Vol.chain(a.Durable),
		"I13 state order", "m%d takes %d for durable, its disk does not hold that", s.m.Index, a.Durable)
	h.Check(s.out.Committed == a.Committed, "I13 state order", "m%d: two commit indexes", s.m.Index)
}
