package witness

import "github.com/jraft-go/jraft/raft"

// ballots are the votes that a member gave: the candidate by term, as its disk says and as it
// told others.
type ballots struct {
	onDisk map[raft.Term]raft.PeerID // looked up, never ranged over
	told   map[raft.Term]raft.PeerID
	hard   raft.HardState // durable, as of the last look
}

// votesOnce is I2 (§5.2, Figure 2): a member tells at most one candidate in a term that it has
// its vote, across crashes, and only once the vote is durable. A candidate that asks for votes
// has given itself its own.
func (h *History) votesOnce(m *Member, msg *raft.Message) {
	candidate := raft.PeerID("")
	switch b := msg.Body.(type) {
	case *raft.RequestVote:
		if !b.Pre {
			candidate = m.ID
			last := m.Dur.Last()
			h.Check(b.Last.Index <= last && m.Dur.log[b.Last.Index-1].term == b.Last.Term,
				"I2 one vote per term",
				"m%d asks for votes with %v, durable is only %d", m.Index, b.Last, last)
		}
	case *raft.RequestVoteReply:
		if b.Granted && !b.Pre {
			candidate = msg.To
		}
	}
	if candidate == "" {
		return
	}
	told, again := m.ballot.told[msg.Term]
	h.Check(!again || told == candidate, "I2 one vote per term", "m%d voted for %s and %s in term %d",
		m.Index, told, candidate, msg.Term)
	h.Check(m.ballot.onDisk[msg.Term] == candidate, "I2 one vote per term",
		"m%d says it voted for %s in term %d, its disk says %q", m.Index, candidate, msg.Term,
		m.ballot.onDisk[msg.Term])
	m.ballot.told[msg.Term] = candidate
}
