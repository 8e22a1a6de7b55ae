package sim

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// commits runs the checkers on a commit index that rose or fell.
func (h *history) commits(s *step) {
	i := s.out.Committed
	h.c.check(i >= s.before.Committed, "I8 committed is for ever", "m%d: its commit index falls from %d to %d",
		s.m.index, s.before.Committed, i)
	if i == s.before.Committed {
		return
	}
	leader := s.after.Role == core.Leader || s.was.Role == core.Leader
	if leader && i > h.commit() {
		term := s.after.Term
		if s.after.Role != core.Leader {
			term = s.was.Term
		}
		h.commitDurable(s.m, i)
		h.currentTermOnly(s.m, i, term)
		for h.commit() < i {
			h.extend(s.m, term)
		}
	}
	h.committedForEver(s.m, i)
}

// commitDurable is I6 (§5.3, thesis §10.2.1): when a leader commits an entry, a quorum of the disks holds it.
func (h *history) commitDurable(m *member, i raft.Index) {
	holders := 0
	for _, n := range h.c.members {
		if n.dur.last() >= i && n.dur.chain(i) == m.vol.chain(i) {
			holders++
		}
	}
	h.c.check(holders >= h.c.majority(), "I6 commit is durable on a quorum",
		"m%d commits %d, which is on %d disks of %d", m.index, i, holders, len(h.c.members))
}
