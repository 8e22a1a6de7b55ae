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
			h.Check(l != nil && b.Match <= m.Dur.Last() && m.Dur.chain(b.Match) == l.chain(b.Match),
				"I11 acks tell the truth", "m%d acknowledges %d in term %d, its disk does not hold that",
				m.Index, b.Match, msg.Term)
		}
	case *raft.HeartbeatReply:
		if b.Received > 0 && msg.Term == m.Vol.Hard.Term { // else it was true when it was said
			h.Check(l != nil && b.Received <= m.Vol.Last() && m.Vol.chain(b.Received) == l.chain(b.Received),
				"I11 acks tell the truth", "m%d says it received %d in term %d, it did not", m.Index,
				b.Received, msg.Term)
		}
	}
}
