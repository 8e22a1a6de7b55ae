package witness

import "github.com/jraft-go/jraft/internal/core"

// electionSafety is I1 (§5.2): in every term at most one member leads, once, and never again
// after a restart. It also starts and extends the record of each leader's log, which other
// checkers compare with.
func (h *History) electionSafety(s *step) {
	if s.after.Role != core.Leader {
		return
	}
	l := h.leaders[s.after.Term]
	if l == nil {
		l = &leadership{m: s.m, life: s.m.Life}
		h.leaders[s.after.Term] = l
		h.Elections++
	} else {
		h.Check(l.m == s.m && l.life == s.m.Life, "I1 election safety",
			"m%d leads term %d, which m%d led", s.m.Index, s.after.Term, l.m.Index)
		h.Check(s.leads(), "I1 election safety", "m%d leads term %d again", s.m.Index, s.after.Term)
	}
	for len(l.chains) < len(s.m.Vol.log) {
		l.chains = append(l.chains, s.m.Vol.log[len(l.chains)].chain)
	}
}
