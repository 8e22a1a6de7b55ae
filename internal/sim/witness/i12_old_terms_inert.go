package witness

import (
	"slices"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// oldTermInert is I12 (§5.1): a message of an earlier term may be answered, and changes nothing.
// An answer to a pre-vote is no such message: it comes in the voter's own term and names the term
// that was asked about (thesis §9.6).
func (h *History) oldTermInert(s *step) {
	if !s.alone || len(s.heard) != 1 || s.heard[0].Term >= s.before.Term {
		return
	}
	if v, ok := s.heard[0].Body.(*raft.RequestVoteReply); ok && v.Pre {
		return
	}
	a, b := &s.before, &s.after
	same := a.Situation == b.Situation && a.Vote == b.Vote && a.Last == b.Last &&
		a.Committed == b.Committed &&
		s.out.Write.Seq == 0
	for i := range b.Peers { // one that was removed may be let go of, because time has passed
		same = same && slices.ContainsFunc(a.Peers, func(p core.PeerStatus) bool {
			return p.ID == b.Peers[i].ID && p.Match == b.Peers[i].Match
		})
	}
	h.Check(same, "I12 old terms are inert",
		"m%d in term %d: %T of term %d changes it", s.m.Index, a.Term, s.heard[0].Body,
		s.heard[0].Term)
}
