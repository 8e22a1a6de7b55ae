package sim

import "github.com/jraft-go/jraft/raft"

// bounds is I31: what is under way stays within its limits.
func (h *history) bounds(s *step) {
	o, a := &h.c.swarm.limits, &s.after
	largest := commandHead + h.c.swarm.ValueBytes + 1024
	h.c.check(a.PendingReads <= o.MaxPendingReads, "I31 bounds", "m%d: %d reads are pending, allowed are %d",
		s.m.index, a.PendingReads, o.MaxPendingReads)
	h.c.check(a.PendingBytes >= 0 && a.PendingBytes <= o.MaxPendingBytes+int64(largest), "I31 bounds",
		"m%d: %d bytes are pending, allowed are %d", s.m.index, a.PendingBytes, o.MaxPendingBytes)
	for i := range a.Peers {
		p := &a.Peers[i]
		h.c.check(p.Messages <= o.Replication.WindowMessages &&
			p.Bytes <= o.Replication.WindowBytes+largest, "I31 bounds",
			"m%d: %d messages with %d bytes are under way to %s", s.m.index, p.Messages, p.Bytes, p.ID)
	}
}

// batchBounds: a message carries no more bytes of entries than one may, unless a single entry is larger.
func (h *history) batchBounds(m *member, msg *raft.Message) {
	b, ok := msg.Body.(*raft.AppendEntries)
	if !ok || len(b.Entries) < 2 {
		return
	}
	bytes := 0
	for i := range b.Entries {
		bytes += b.Entries[i].FrameBytes()
	}
	h.c.check(bytes <= h.c.swarm.limits.Replication.BatchBytes, "I31 bounds",
		"m%d sends %d bytes of entries in one message", m.index, bytes)
}

// quiescent is the other half of I31, at the end: every count of what is under way is back to zero, and the core owes
// nobody an answer (I21).
func (h *history) quiescent() {
	for _, m := range h.c.members {
		a := &m.status
		h.c.check(a.PendingReads == 0 && a.PendingBytes == 0, "I31 bounds",
			"m%d: %d reads and %d bytes are pending, nothing is under way", m.index, a.PendingReads, a.PendingBytes)
		for i := range a.Peers {
			h.c.check(a.Peers[i].Messages == 0 && a.Peers[i].Bytes == 0, "I31 bounds",
				"m%d: %d messages with %d bytes are under way to %s, all are answered", m.index, a.Peers[i].Messages,
				a.Peers[i].Bytes, a.Peers[i].ID)
		}
		h.c.check(len(m.open) == 0 && len(m.placed) == 0 && len(m.reads) == 0, "I21 one outcome",
			"m%d owes %d answers, %d placed writes and %d reads are open", m.index, len(m.open), len(m.placed),
			len(m.reads))
	}
}
