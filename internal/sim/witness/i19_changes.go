package witness

import (
	"errors"
	"slices"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

// Request is a membership change, or a transfer of leadership, that somebody asked a member for.
type Request struct {
	ID       uint64
	Member   *Member
	Life     uint64 // of the member
	Transfer bool
	To       raft.PeerID        // of a transfer; empty: the best
	Target   raft.Configuration // of a change: what the member should make of its configuration
	Term     raft.Term          // of the member when it was asked
	Led      bool               // it led then
	Answered bool
	Err      error // in the answer
	appended bool  // a configuration was appended for it
}

// Ask notes a change that a member is asked for now, by the configuration that it has.
func (h *History) Ask(m *Member, now *core.Status, edits []raft.Edit) *Request {
	r := h.begin(m, now)
	if target, err := now.Configuration.Edited(edits); err == nil {
		r.Target = target
		h.targets = append(h.targets, target)
	}
	return r
}

// AskTransfer notes a transfer of leadership that a member is asked for now.
func (h *History) AskTransfer(m *Member, now *core.Status, to raft.PeerID) *Request {
	r := h.begin(m, now)
	r.Transfer, r.To = true, to
	return r
}

func (h *History) begin(m *Member, now *core.Status) *Request {
	r := &Request{Member: m, Life: m.Life, Term: now.Term, Led: now.Role == core.Leader}
	h.requests = append(h.requests, r)
	r.ID = uint64(len(h.requests))
	m.open = slices.DeleteFunc(m.open, func(o *Request) bool { return o.Life != m.Life })
	m.open = append(m.open, r)
	return r
}

// Founded notes the first configuration, which is the first entry of members that others may join:
// no leader has appended it, and nobody asked for it.
func (h *History) Founded(m *Member) {
	h.chains[raft.LogID{Index: 1}] = m.Dur.chain(1)
	h.targets = append(h.targets, m.OnDisk().Clone())
}

// wanted reports whether somebody asked for the configuration.
func (h *History) wanted(c *raft.Configuration) bool {
	return slices.ContainsFunc(h.targets, func(t raft.Configuration) bool { return t.SameMembers(c) })
}

// askedFor is I19: a leader begins a change only for somebody who waits for it.
func (h *History) askedFor(s *step, before, next *raft.Configuration) {
	goal := settled(next)
	h.Check(h.wanted(goal), "I19 changes are asked for", "m%d appends %v, nobody asked for that",
		s.m.Index, next)
	if before.Joint() {
		return
	}
	var waiting, all []*Request
	for _, r := range s.m.open {
		if r.Transfer || r.Life != s.m.Life || !r.Target.SameMembers(goal) {
			continue
		}
		all = append(all, r)
		if !slices.ContainsFunc(s.out.Changes, func(c core.Changed) bool { return c.ID == r.ID }) {
			waiting = append(waiting, r)
		}
	}
	if len(waiting) == 0 {
		waiting = all // it was answered in this very step
	}
	for _, r := range waiting {
		r.appended = true
	}
	h.Check(len(all) > 0, "I19 changes are asked for",
		"m%d appends %v, nobody who asked it for that still waits", s.m.Index, next)
}

// answer finds what is answered, which happens once.
func (h *History) answer(m *Member, id uint64, transfer bool) *Request {
	h.Check(id > 0 && id <= uint64(len(h.requests)), "I21 one outcome", "m%d answers request %d",
		m.Index, id)
	r := h.requests[id-1]
	h.Check(r.Member == m && r.Life == m.Life && !r.Answered && r.Transfer == transfer,
		"I21 one outcome", "m%d answers request %d a second time, or for another", m.Index, id)
	r.Answered = true
	m.open = slices.DeleteFunc(m.open, func(o *Request) bool { return o == r })
	return r
}

// Changed is the other part of I19: what is said of a change is true. Done means that the target is
// committed; an error that is not of unknown outcome, that this leader appended nothing for it.
func (h *History) Changed(m *Member, ch *core.Changed) *Request {
	const name = "I19 changes are answered truly"
	r := h.answer(m, ch.ID, false)
	r.Err = ch.Err
	if ch.Err != nil {
		h.Check(ch.Unknown || !r.appended, name,
			"m%d says that nothing came of change %d (%v), and has appended %v", m.Index, ch.ID, ch.Err,
			&r.Target)
		return r
	}
	i := ch.Configuration.Index
	h.Check(!ch.Unknown && !ch.Configuration.Joint() && ch.Configuration.SameMembers(&r.Target), name,
		"m%d answers change %d to %v with %v", m.Index, ch.ID, &r.Target, &ch.Configuration)
	h.Check(i > 0 && i <= h.Commit() && h.committed[i-1].force.Index == i &&
		equal(h.committed[i-1].force, &ch.Configuration), name,
		"m%d answers change %d with %v of %d, which is not committed there", m.Index, ch.ID,
		&ch.Configuration, i)
	return r
}

// Transferred: whom it names as the new leader leads or led, and an error that says that this
// member still leads, or did not lead when it was asked, says the truth.
func (h *History) Transferred(m *Member, t *core.Transferred) *Request {
	const name = "I19 transfers are answered truly"
	r := h.answer(m, t.ID, true)
	r.Err = t.Err
	s := &m.Status
	leads := h.led(t.To, r.Term, s.Term)
	switch {
	case t.Err == nil:
		h.Check(!t.Unknown && leads && (r.To == "" || r.To == t.To), name,
			"m%d says that %s leads, as %q was asked to; its leader is %q", m.Index, t.To, r.To, s.Leader)
	case errors.Is(t.Err, raft.ErrNotLeader) || errors.Is(t.Err, raft.ErrNoLeader) && !t.Unknown:
		h.Check(!r.Led, name, "m%d led when it was asked, and says %v", m.Index, t.Err)
	case errors.Is(t.Err, raft.ErrCatchUp) && !t.Unknown:
		h.Check(s.Role == core.Leader && s.Term == r.Term, name,
			"m%d in term %d is %v, transfer %d of term %d to %q failed with %v", m.Index, s.Term, s.Role,
			t.ID, r.Term, r.To, t.Err)
	}
	return r
}

// led reports whether the peer has led in one of the terms.
func (h *History) led(id raft.PeerID, from, to raft.Term) bool {
	for term := from; term <= to; term++ {
		if l := h.leaders[term]; l != nil && l.m.ID == id {
			return true
		}
	}
	return false
}

// handsOver: a leader asks a member to campaign only when that one's disk has the leader's whole
// log (thesis §3.10), and takes no commands until that has succeeded or failed.
func (h *History) handsOver(s *step) {
	const name = "I19 transfers go to who has all"
	for i := range s.out.Messages {
		msg := &s.out.Messages[i]
		if _, ok := msg.Body.(*raft.TimeoutNow); !ok || s.after.Role != core.Leader {
			continue
		}
		to, last := h.member(msg.To), s.m.Vol.Last()
		h.Check(to != nil && s.m.Configuration().IsVoter(msg.To), name,
			"m%d hands over to %s, who has no vote", s.m.Index, msg.To)
		h.Check(to.Dur.Hard.Term > msg.Term || h.durableChain(to, last) == s.m.Vol.chain(last), name,
			"m%d hands over to %s, whose disk does not hold all up to %d", s.m.Index, msg.To, last)
	}
	to := s.before.Transferring
	if !s.leads() || to == "" || s.after.Transferring != to {
		return
	}
	for i := range s.out.Write.Entries {
		h.Check(s.out.Write.Entries[i].Kind != raft.EntryCommand, name,
			"m%d takes commands while it hands over to %s", s.m.Index, to)
	}
}

// allAnswered is I19 at the end: nothing that a member owes an answer for is left, the last
// configuration is not joint, and somebody asked for it.
func (h *History) allAnswered(group []*Member) {
	for _, r := range h.requests {
		h.Check(r.Answered || r.Life != r.Member.Life, "I21 one outcome",
			"m%d owes an answer for request %d", r.Member.Index, r.ID)
	}
	for _, m := range group {
		c := m.Configuration()
		h.Check(!c.Joint() && h.wanted(c), "I19 joint state ends", "m%d ends with %v, asked for or not",
			m.Index, c)
	}
}
