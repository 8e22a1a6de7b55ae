package witness

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// logMatching is I5 (§5.3): two entries with the same term and index are the same, and so is
// everything before them. The chain of an entry stands for all of that.
func (h *History) logMatching(s *step) {
	for i := range s.out.Write.Entries {
		e := &s.out.Write.Entries[i]
		id := e.ID()
		chain := s.m.Vol.chain(id.Index)
		if known, ok := h.chains[id]; ok {
			h.Check(known == chain, "I5 log matching", "m%d: entry %v or one before it differs", s.m.Index,
				id)
		} else {
			h.Check(s.after.Role == core.Leader || s.was.Role == core.Leader || !s.alone ||
				h.resets(s.m, e),
				"I5 log matching", "m%d: entry %v has no leader as its origin", s.m.Index, id)
			h.chains[id] = chain
		}
	}
	h.Check(s.m.Vol.Last() == s.after.Last.Index && s.m.Vol.Hard == raft.HardState{
		Term: s.after.Term, Vote: s.after.Vote}, "I5 log matching",
		"m%d: its status says %v and %v, what it wrote ends at %d with %v", s.m.Index, s.after.Last,
		s.after.Situation, s.m.Vol.Last(), s.m.Vol.Hard)
}
