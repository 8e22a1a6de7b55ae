package witness

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// commits runs the checkers on a commit index that rose or fell.
func (h *History) commits(s *step) {
	i := s.out.Committed
	h.Check(i >= s.before.Committed, "I8 committed is for ever",
		"m%d: its commit index falls from %d to %d",
		s.m.Index, s.before.Committed, i)
	if i == s.before.Committed {
		return
	}
	leader := s.after.Role == core.Leader || s.was.Role == core.Leader
	if leader && i > h.Commit() {
		term := s.after.Term
		if s.after.Role != core.Leader {
			term = s.was.Term
		}
		h.commitDurable(s, i, term)
		h.currentTermOnly(s.m, i, term)
		for h.Commit() < i {
			h.extend(s.m, term)
		}
	}
	h.committedForEver(s.m, i)
}

// durableChain is the chain of what a member's disk holds up to i, 0 if it does not reach that far.
// What a durable snapshot covers is held, whatever the log says: a restart resets it.
func (h *History) durableChain(m *Member, i raft.Index) uint64 {
	if i > 0 && i <= m.snap {
		return h.committed[i-1].chain
	}
	return m.Dur.chain(i)
}

// commitDurable is I6 (§5.3, thesis §10.2.1): when a leader commits an entry, a quorum of the disks
// holds it. If the leader has appended another configuration in this step, because the one before
// was committed in it, either may have decided: that one then up to there at least.
func (h *History) commitDurable(s *step, i raft.Index, term raft.Term) {
	held := func(c *raft.Configuration, i raft.Index) bool {
		chain := s.m.Vol.chain(i)
		return Quorum(c, func(id raft.PeerID) bool {
			n := h.member(id)
			return n != nil && h.durableChain(n, i) == chain
		})
	}
	if held(s.by, i) {
		h.overlaps(s.m, s.by, term, "commits")
		return
	}
	now := s.m.Configuration()
	h.Check(now != s.by && s.by.Index <= i && held(now, i) &&
		(s.by.Index <= h.Commit() || held(s.by, s.by.Index)), "I6 commit is durable on a quorum",
		"m%d commits %d, which is not on a quorum of the disks of %v, nor of those of %v", s.m.Index, i,
		s.by, now)
}
