package witness

// stateOrder is I13: first <= snapshot + 1, snapshot and applied <= committed <= last, durable <=
// last, and what counts as durable is on the disk: in the log, or in a snapshot.
func (h *History) stateOrder(s *step) {
	a := &s.after
	snap := a.Snapshot.Last.Index
	h.Check(a.First <= snap+1 && snap <= a.Committed && a.Applied <= a.Committed &&
		a.Committed <= a.Last.Index &&
		a.Durable <= a.Last.Index, "I13 state order",
		"m%d: snapshot %d first %d applied %d committed %d durable %d last %d",
		s.m.Index, snap, a.First, a.Applied, a.Committed, a.Durable, a.Last.Index)
	log := s.m.Vol.chain(a.Durable)
	h.Check(h.durableChain(s.m, a.Durable) == log || s.m.Dur.chain(a.Durable) == log,
		"I13 state order", "m%d takes %d for durable, its disk does not hold that", s.m.Index, a.Durable)
	h.Check(a.First == s.m.Vol.base+1, "I13 state order", "m%d: first %d, it compacted up to %d",
		s.m.Index, a.First, s.m.Vol.base)
	h.Check(s.out.Committed == a.Committed, "I13 state order", "m%d: two commit indexes", s.m.Index)
}
