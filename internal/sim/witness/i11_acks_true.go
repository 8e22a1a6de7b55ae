package witness

import "github.com/jraft-go/jraft/raft"

// acksTrue is I11: a member that tells the leader of a term that its log agrees up to an index
// has, at that moment, exactly the leader's entries up to there on its disk. What it tells in a
// heartbeat answer it has at least been given.
func (h *History) acksTrue(m *Member, msg *raft.Message) {
	l := h.leaders[msg.Term]
	switch b := msg.Body.(type) {
	case *raft.AppendEntriesReply:
		if !b.Reject && b.Match > 0 {
			h.ackTrue(m, l, b.Match, msg.Term)
		}
	case *raft.InstallSnapshotReply:
		if b.Done {
			h.Check(b.Match >= b.Last.Index, "I11 acks tell the truth",
				"m%d has the snapshot at %v, and holds %d", m.Index, b.Last, b.Match)
			h.ackTrue(m, l, b.Match, msg.Term)
		}
	case *raft.HeartbeatReply:
		if b.Received > 0 && msg.Term == m.Vol.Hard.Term { // else it was true when it was said
			h.Check(l != nil && b.Received <= m.Vol.Last() && m.Vol.chain(b.Received) == l.chain(b.Received),
				"I11 acks tell the truth", "m%d says it received %d in term %d, it did not", m.Index,
				b.Received, msg.Term)
		}
		if b.Match > 0 && msg.Term == m.Vol.Hard.Term {
			h.ackTrue(m, l, b.Match, msg.Term)
		}
	}
}

func (h *History) ackTrue(m *Member, l *leadership, match raft.Index, term raft.Term) {
	h.Check(l != nil && h.durableChain(m, match) == l.chain(match) && l.chain(match) != 0,
		"I11 acks tell the truth", "m%d acknowledges %d in term %d, its disk does not hold that",
		m.Index, match, term)
}
