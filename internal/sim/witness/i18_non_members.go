package witness

import (
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// departed is a peer that a leader has removed, and may go on writing to for a while.
type departed struct {
	id       raft.PeerID
	since    time.Duration // when that was seen to be committed; 0: not yet
	released bool          // it had its time
}

// nonMembers is I18 (§6, thesis §4.2): who is no voter by its own configuration, or must not lead,
// does not campaign, unless by one before it may, and that that one is replaced is not known to be
// committed, or a voter that may lead has asked it, with less of the log; a leader writes only to
// members, to those that are catching up to become voters, and for an election timeout to those
// that it has removed.
func (h *History) nonMembers(s *step) {
	const name = "I18 non-members"
	fit := func(c *raft.Configuration) bool {
		p, _ := c.Peer(s.m.ID)
		return c.IsVoter(s.m.ID) && (p.Priority != raft.NeverLeader || s.m.holds == s.m.Life)
	}
	s.holdsUp()
	now := s.m.Configuration()
	mayLead := fit(s.by) || fit(now)
	for now.Index > s.before.Committed && !mayLead {
		now = s.m.Vol.inForce(now.Index - 1)
		mayLead = fit(now)
	}
	campaigns := s.after.Role == core.Candidate || s.after.Role == core.PreCandidate
	campaigns = campaigns && s.was.Role != s.after.Role // a snapshot may tell one that already does
	h.Check(mayLead || !campaigns, name, "m%d is %v by %v", s.m.Index, s.after.Role, s.by)
	s.depart()
	for i := range s.out.Messages {
		msg := &s.out.Messages[i]
		switch msg.Body.(type) {
		case *raft.RequestVote:
			h.Check(mayLead && (s.by.IsVoter(msg.To) || s.m.Configuration().IsVoter(msg.To)), name,
				"m%d asks %s for a vote by %v", s.m.Index, msg.To, s.by)
		case *raft.AppendEntries, *raft.Heartbeat, *raft.InstallSnapshot, *raft.TimeoutNow:
			h.Check(s.mayWrite(msg.To), name, "m%d sends %T to %s, which is not, will not and was not "+
				"lately a member of %v", s.m.Index, msg.Body, msg.To, s.m.Configuration())
		}
	}
	h.release(s)
}

// holdsUp notes whether the member keeps another voter, one that may lead, from being elected.
func (s *step) holdsUp() {
	for _, msg := range s.heard {
		p, _ := s.by.Peer(msg.From)
		ask, ok := msg.Body.(*raft.RequestVote)
		if ok && ask.Pre && ask.Last.Less(s.before.Last) && p.Priority != raft.NeverLeader {
			s.m.holds = s.m.Life
		}
	}
}

// mayWrite reports whether a leader has a reason to write to a peer.
func (s *step) mayWrite(to raft.PeerID) bool {
	for _, c := range []*raft.Configuration{
		s.by, s.m.Configuration(), s.before.Changing, s.after.Changing,
	} {
		if c != nil {
			if _, ok := c.Peer(to); ok {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.m.departed, func(d departed) bool {
		return d.id == to && !d.released
	}) || slices.Contains(s.m.asked(), to)
}

// asked are the peers that changes not answered yet speak of.
func (m *Member) asked() (ids []raft.PeerID) {
	for _, r := range m.open {
		for _, p := range r.Target.Voters {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// depart keeps the list of those that were removed.
func (s *step) depart() {
	if !s.leads() {
		return
	}
	now := s.m.Configuration()
	for _, p := range s.by.Members() {
		if _, stays := now.Peer(p.ID); !stays {
			s.m.departed = append(s.m.departed, departed{id: p.ID})
		}
	}
}

// release lets go of those that were removed, in the first step after their time; steps that find a
// configuration not committed don't count.
func (h *History) release(s *step) {
	if !s.leads() {
		s.m.departed = nil
	}
	if !s.leads() || max(s.by.Index, s.m.Configuration().Index) > s.before.Committed {
		return
	}
	for i := range s.m.departed {
		d := &s.m.departed[i]
		if d.since == 0 {
			d.since = h.Now
		}
		d.released = h.Now-d.since > 2*h.limits.ElectionTimeout
	}
}
