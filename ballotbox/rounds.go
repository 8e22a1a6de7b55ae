package ballotbox

import "github.com/jraft-go/jraft/raft"

// Rounds tells which heartbeat round of a leader a quorum has answered (thesis §6.4). Rounds are
// numbered by the time at which they were sent, in nanoseconds and strictly rising, so the answer
// to "which round" is also the answer to "a quorum followed this leader at what time": the base of
// read confirmation, check-quorum and leases.
type Rounds struct {
	acks []ack
}

type ack struct {
	id    raft.PeerID
	round uint64
}

// Reset forgets all answers: a new leadership begins.
func (r *Rounds) Reset() { r.acks = r.acks[:0] }

// Ack notes that a peer answered a round. Older answers that arrive late change nothing.
func (r *Rounds) Ack(id raft.PeerID, round uint64) {
	for i := range r.acks {
		if r.acks[i].id == id {
			r.acks[i].round = max(r.acks[i].round, round)
			return
		}
	}
	r.acks = append(r.acks, ack{id, round})
}

// Answered returns the latest round that a quorum has answered; self counts as having answered
// round now.
func (r *Rounds) Answered(c *raft.Configuration, self raft.PeerID, now uint64) uint64 {
	return Reached(c, func(id raft.PeerID) uint64 {
		if id == self {
			return now
		}
		for i := range r.acks {
			if r.acks[i].id == id {
				return r.acks[i].round
			}
		}
		return 0
	})
}
