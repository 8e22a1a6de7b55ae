package witness

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// configurations runs the checkers on every configuration that a leader appends.
func (h *History) configurations(s *step) {
	l := h.leaders[s.after.Term]
	if s.after.Role != core.Leader {
		return
	}
	for i := range s.out.Write.Entries {
		e := &s.out.Write.Entries[i]
		if e.Term != s.after.Term {
			continue
		}
		before, next := s.m.Vol.inForce(e.Index-1), s.m.Vol.inForce(e.Index)
		if l.first == 0 {
			l.first = e.Index
			h.Check(next.Index == e.Index && next.SameMembers(before), "I15 effective configuration",
				"m%d begins term %d with %v, in force is %v", s.m.Index, e.Term, next, before)
			continue
		}
		if e.Kind != raft.EntryConfiguration {
			continue
		}
		h.oneChange(s, l, before, next)
		h.Check(Overlap(before, next), "I16 overlap", "m%d: of %v and then %v both may decide",
			s.m.Index, before, next)
		h.jointFirst(s, before, next)
		h.askedFor(s, before, next)
	}
}

// oneChange is I14 (§6; the bug of 2015 in single-server changes): a leader appends a configuration
// only when the one before is committed, and so is an entry of its own term.
func (h *History) oneChange(s *step, l *leadership, before, next *raft.Configuration) {
	h.Check(before.Index <= s.after.Committed, "I14 one change in flight",
		"m%d appends a configuration at %d, that at %d is not committed, %d is", s.m.Index, next.Index,
		before.Index, s.after.Committed)
	h.Check(l.first <= s.after.Committed, "I14 one change in flight",
		"m%d appends a configuration at %d, committed is %d, and its term begins at %d",
		s.m.Index, next.Index, s.after.Committed, l.first)
}
