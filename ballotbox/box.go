package ballotbox

import "github.com/jraft-go/jraft/raft"

// Box holds the commit index (§5.3). A leader raises it by counting, a follower by being told.
type Box struct {
	commit raft.Index
	own    raft.Index // first index of the leader's own term; 0 while not leading
}

// Commit returns the commit index: every entry up to it is in the log of every future leader.
func (b *Box) Commit() raft.Index { return b.commit }

// Lead begins counting for a leader whose own term starts at index first.
func (b *Box) Lead(first raft.Index) { b.own = first }

// Retire ends counting.
func (b *Box) Retire() { b.own = 0 }

// OwnTermCommitted reports whether the leader has committed an entry of its own term: only then
// does its commit index cover everything that was ever acknowledged (§8, thesis §6.4).
func (b *Box) OwnTermCommitted() bool { return b.own != 0 && b.commit >= b.own }

// Count raises the commit index to what a quorum holds durably, and reports whether it rose.
// Entries of earlier terms aren't committed by counting (§5.4.2, Figure 8): they follow when an
// entry of the own term is.
func (b *Box) Count(c *raft.Configuration, match func(raft.PeerID) raft.Index) bool {
	if b.own == 0 {
		return false
	}
	held := Reached(c, match)
	if held < b.own || held <= b.commit {
		return false
	}
	b.commit = held
	return true
}

// Learn raises the commit index to what the leader told, and reports whether it rose. The caller
// vouches that the log up to i is the leader's.
func (b *Box) Learn(i raft.Index) bool {
	if i <= b.commit {
		return false
	}
	b.commit = i
	return true
}
