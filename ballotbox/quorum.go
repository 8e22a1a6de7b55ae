// Package ballotbox counts to a quorum, and nothing else: replicated indexes to a commit index, the
// votes of one candidacy, the rounds of heartbeats that prove leadership. Everything works for
// simple and for joint configurations alike (§6: while joint, a majority of the old and a majority
// of the new voters must agree). It corresponds to com.alipay.sofa.jraft.core.BallotBox and
// entity.Ballot.
//
// The types have no locks: each is owned by one goroutine.
package ballotbox

import "github.com/jraft-go/jraft/raft"

// Reached returns the highest value that a quorum of the configuration's voters has reached, given
// what each has. It is 0 for a configuration without voters. It allocates nothing for up to 9
// voters.
func Reached[V ~uint64](c *raft.Configuration, value func(raft.PeerID) V) V {
	v := majorityReached(c.Voters, value)
	if c.Joint() {
		v = min(v, majorityReached(c.Outgoing, value))
	}
	return v
}

func majorityReached[V ~uint64](voters []raft.Peer, value func(raft.PeerID) V) V {
	if len(voters) == 0 {
		return 0
	}
	var stack [9]V
	sorted := stack[:0]
	for i := range voters {
		v := value(voters[i].ID)
		at := len(sorted)
		sorted = append(sorted, v)
		for at > 0 && sorted[at-1] < v {
			sorted[at] = sorted[at-1]
			at--
		}
		sorted[at] = v
	}
	// In descending order the value at position n/2 is held by n/2+1 voters: a majority.
	return sorted[len(voters)/2]
}

// Agreed reports whether a quorum of the configuration's voters satisfies has.
func Agreed(c *raft.Configuration, has func(raft.PeerID) bool) bool {
	return Reached(c, func(id raft.PeerID) uint64 {
		if has(id) {
			return 1
		}
		return 0
	}) == 1
}
