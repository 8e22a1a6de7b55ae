package witness

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// jointFirst is one part of I17 (§6): the set of voters changes through a joint configuration, and
// that one names exactly the old voters.
func (h *History) jointFirst(s *step, before, next *raft.Configuration) {
	const name = "I17 joint rules"
	switch {
	case before.Joint():
		h.Check(!next.Joint() && equal(next, settled(before)), name, "m%d: %v is left for %v",
			s.m.Index, before, next)
	case next.Joint():
		h.Check(slices.Equal(next.Outgoing, before.Voters), name, "m%d: %v is followed by %v",
			s.m.Index, before, next)
	default:
		h.Check(before.SameVoters(next), name, "m%d: %v is followed by %v, without a joint one",
			s.m.Index, before, next)
	}
}

// elected is the second part: who leads has the votes of a quorum of the configuration by which it
// campaigned: of both majorities while joint, and none of a learner. A vote counts as given once
// the voter has told anybody.
func (h *History) elected(s *step) {
	if !s.becomesLeader() {
		return
	}
	term, first := s.after.Term, h.leaders[s.after.Term].first
	h.Check(first > 0, "I17 joint rules", "m%d leads term %d and appends nothing", s.m.Index, term)
	c := s.m.Vol.inForce(first - 1)
	h.Check(Quorum(c, func(id raft.PeerID) bool {
		v := h.member(id)
		return v != nil && v.ballot.told[term] == s.m.ID || id == s.m.ID
	}), "I17 joint rules", "m%d leads term %d without a quorum of %v", s.m.Index, term, c)
	h.overlaps(s.m, c, term, "is elected")
}

func (h *History) member(id raft.PeerID) *Member {
	for _, m := range h.members {
		if m.ID == id {
			return m
		}
	}
	return nil
}
