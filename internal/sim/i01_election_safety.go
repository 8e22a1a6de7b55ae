package sim

// electionSafety is I1 (§5.2): in every term at most one member leads, once, and never again after a restart. It
// also starts and extends the record of each leader's log, which other checkers compare with.
func (h *history) electionSafety(s *step) {
	if s.after.Role.String() != "leader" {
		return
	}
	l := h.leaders[s.after.Term]
	if l == nil {
		l = &leadership{m: s.m, life: s.m.life}
		h.leaders[s.after.Term] = l
		h.c.report.Elections++
	} else {
		h.c.check(l.m == s.m && l.life == s.m.life, "I1 election safety",
			"m%d leads term %d, which m%d led", s.m.index, s.after.Term, l.m.index)
		h.c.check(s.leads(), "I1 election safety", "m%d leads term %d again", s.m.index, s.after.Term)
	}
	for len(l.chains) < len(s.m.vol.log) {
		l.chains = append(l.chains, s.m.vol.log[len(l.chains)].chain)
	}
}
