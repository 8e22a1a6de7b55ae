package witness

// leaderAppendOnly is I4 (§5.3): while a member leads a term its log is only extended. Every
// write, of any member, must follow the log without a gap.
func (h *History) leaderAppendOnly(s *step) {
	w := &s.out.Write
	if s.leads() {
		h.Check(w.Truncate == 0, "I4 leader append-only", "m%d truncates from %d while it leads term %d",
			s.m.Index, w.Truncate, s.after.Term)
	}
	next := s.m.Vol.Last() + 1
	if w.Reset.Index > 0 {
		h.Check(!s.leads() && w.Truncate == 0, "I4 leader append-only",
			"m%d resets its log to %v, leading term %d", s.m.Index, w.Reset, s.after.Term)
		next = w.Reset.Index + 1
	}
	if w.Truncate > 0 {
		h.Check(w.Truncate < next, "I4 leader append-only", "m%d truncates from %d, last is %d",
			s.m.Index, w.Truncate, next-1)
		next = w.Truncate
	}
	for i := range w.Entries {
		h.Check(w.Entries[i].Index == next, "I4 leader append-only", "m%d writes entry %d after %d",
			s.m.Index, w.Entries[i].Index, next-1)
		next++
	}
	if w.Seq == 0 {
		h.Check(w.HardState == nil && w.Truncate == 0 && len(w.Entries) == 0 &&
			w.Reset.Index == 0 && w.Compact == 0, "I4 leader append-only",
			"m%d: a write without a number", s.m.Index)
	}
}
