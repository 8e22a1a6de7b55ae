package witness

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// proof is up to where the leader of a term has shown a member that their logs agree.
type proof struct {
	term raft.Term
	upTo raft.Index
}

// followerCommit is I10 (§5.3, Figure 2): a follower's commit index never passes what the leader
// proved to it by the entries that it sent, or by a snapshot.
func (h *History) followerCommit(s *step) {
	allowed := s.m.proved.upTo
	if s.m.proved.term != s.after.Term {
		s.m.proved = proof{term: s.after.Term}
	}
	if r := s.out.Restore; r != nil { // its leader's log has all that a snapshot covers (§5.4)
		allowed = max(allowed, r.Last.Index)
	}
	for _, msg := range s.heard {
		b, ok := msg.Body.(*raft.AppendEntries)
		l := h.leaders[msg.Term]
		if !ok || l == nil {
			continue
		}
		i := b.Prev.Index + raft.Index(len(b.Entries))
		if s.m.Vol.Last() < i || s.m.Vol.chain(i) != l.chain(i) {
			continue
		}
		allowed = max(allowed, i)
		if msg.Term == s.after.Term {
			s.m.proved.upTo = max(s.m.proved.upTo, i)
		}
	}
	if s.was.Role == core.Leader || s.after.Role == core.Leader ||
		s.after.Committed == s.before.Committed {
		return
	}
	h.Check(s.after.Committed <= allowed, "I10 follower commit is verified",
		"m%d commits %d, its leader proved only %d", s.m.Index, s.after.Committed, allowed)
}
