package ballotbox

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// Ballot is the tally of one candidacy (§5.2): who granted and who refused, each voter counted once
// however often its answer arrives.
type Ballot struct {
	granted []raft.PeerID
	refused []raft.PeerID
}

// Reset starts a new candidacy.
func (b *Ballot) Reset() { b.granted, b.refused = b.granted[:0], b.refused[:0] }

// Record notes a voter's answer. The first answer of a voter stands.
func (b *Ballot) Record(id raft.PeerID, granted bool) {
	if slices.Contains(b.granted, id) || slices.Contains(b.refused, id) {
		return
	}
	if granted {
		b.granted = append(b.granted, id)
	} else {
		b.refused = append(b.refused, id)
	}
}

// Won reports whether a quorum granted.
func (b *Ballot) Won(c *raft.Configuration) bool {
	return Agreed(c, func(id raft.PeerID) bool { return slices.Contains(b.granted, id) })
}
