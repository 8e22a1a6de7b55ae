package sim

import "github.com/jraft-go/jraft/raft"

// logMatching is I5 (§5.3): two entries with the same term and index are the same, and so is everything before them.
// The chain of an entry stands for all of that.
func (h *history) logMatching(s *step) {
	for i := range s.out.Write.Entries {
		id := s.out.Write.Entries[i].ID()
		chain := s.m.vol.chain(id.Index)
		if known, ok := h.chains[id]; ok {
			h.c.check(known == chain, "I5 log matching", "m%d: entry %v or one before it differs", s.m.index, id)
		} else {
			h.c.check(s.after.Role.String() == "leader" || s.was.Role.String() == "leader" || !s.alone,
				"I5 log matching", "m%d: entry %v has no leader as its origin", s.m.index, id)
			h.chains[id] = chain
		}
	}
	h.c.check(s.m.vol.last() == s.after.Last.Index && s.m.vol.hard == raft.HardState{
		Term: s.after.Term, Vote: s.after.Vote}, "I5 log matching",
		"m%d: its status says %v and %v, what it wrote ends at %d with %v", s.m.index, s.after.Last,
		s.after.Situation, s.m.vol.last(), s.m.vol.hard)
}
