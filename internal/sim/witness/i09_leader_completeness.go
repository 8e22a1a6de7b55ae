package witness

import "github.com/jraft-go/jraft/raft"

// leaderCompleteness is I9 (§5.4.3) in its exact form: a new leader of a term holds every entry
// that leaders of earlier terms have committed. (Not those of later terms: a late vote can make a
// leader of an old term, which then can't commit anything. That is legal.)
func (h *History) leaderCompleteness(s *step) {
	if !s.becomesLeader() {
		return
	}
	i := h.Commit()
	for i > 0 && h.committed[i-1].by >= s.after.Term {
		i--
	}
	if i > 0 {
		h.Check(h.leaders[s.after.Term].chain(i) == h.committed[i-1].chain, "I9 leader completeness",
			"m%d leads term %d without entry %v", s.m.Index, s.after.Term,
			raft.LogID{Term: h.committed[i-1].term, Index: i})
	}
}
