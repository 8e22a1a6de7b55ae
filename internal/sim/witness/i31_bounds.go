package witness

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// bounds is I31: what is under way stays within its limits.
func (h *History) bounds(s *step) {
	o, a := &h.limits, &s.after
	largest := CommandHead + h.valueBytes + 1024
	h.Check(a.PendingReads <= o.MaxPendingReads, "I31 bounds",
		"m%d: %d reads are pending, allowed are %d",
		s.m.Index, a.PendingReads, o.MaxPendingReads)
	h.Check(a.PendingBytes >= 0 && a.PendingBytes <= o.MaxPendingBytes+int64(largest), "I31 bounds",
		"m%d: %d bytes are pending, allowed are %d", s.m.Index, a.PendingBytes, o.MaxPendingBytes)
	for i := range a.Peers {
		p := &a.Peers[i]
		h.Check(p.Messages <= o.Replication.WindowMessages &&
			p.Bytes <= o.Replication.WindowBytes+largest, "I31 bounds",
			"m%d: %d messages with %d bytes are under way to %s", s.m.Index, p.Messages, p.Bytes, p.ID)
	}
}

// batchBounds: a message carries no more bytes of entries than one may, unless a single entry is
// larger.
func (h *History) batchBounds(m *Member, msg *raft.Message) {
	b, ok := msg.Body.(*raft.AppendEntries)
	if !ok || len(b.Entries) < 2 {
		return
	}
	bytes := 0
	for i := range b.Entries {
		bytes += b.Entries[i].FrameBytes()
	}
	h.Check(bytes <= h.limits.Replication.BatchBytes, "I31 bounds",
		"m%d sends %d bytes of entries in one message", m.Index, bytes)
}

// Bytes returns the size of the entries that a member's log has left.
func (h *History) Bytes(m *Member) (sum int) {
	for _, x := range m.Dur.log[m.Dur.base:] {
		sum += x.bytes
	}
	return sum
}

// quiescent is the other half of I31, at the end: every count of what is under way is back to
// zero, and the core owes nobody an answer (I21).
func (h *History) quiescent(group []*Member) {
	for _, m := range group {
		a := &m.Status
		h.Check(a.PendingReads == 0 && a.PendingBytes == 0, "I31 bounds",
			"m%d: %d reads and %d bytes are pending, nothing is under way", m.Index, a.PendingReads,
			a.PendingBytes)
		for i := range a.Peers {
			h.Check(a.Peers[i].Messages == 0 && a.Peers[i].Bytes == 0, "I31 bounds",
				"m%d: %d messages with %d bytes are under way to %s, all are answered", m.Index,
				a.Peers[i].Messages,
				a.Peers[i].Bytes, a.Peers[i].ID)
		}
	}
	for _, o := range h.ops {
		h.Check(o.Fate != Open && (o.Fate != Placed || !slices.Contains(group, o.Member)),
			"I21 one outcome", "m%d owes an answer for %d", o.Member.Index, o.Serial)
	}
}
