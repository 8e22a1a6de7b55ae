package core

import (
	"fmt"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// resetSkip is the number of terms among which that of a reset is drawn. If the lost members live
// all the same they have gone on to the next terms, and an entry with the term and index of one of
// theirs would pass for it (§5.3, Log Matching): the logs would differ, and nobody would notice.
const resetSkip = 1 << 20

// ResetPeers makes voters the members, without asking anybody: for a group that has lost its quorum
// for good. What was committed and is not in this member's log is lost, so it is to be done on the
// survivor with the longest log, and the others must hold data, too: a member that was never added
// has no vote. It corresponds to com.alipay.sofa.jraft.core.NodeImpl.resetPeers, but goes through
// the log: the entry and the term are such as a leader of a later term would have written, so that
// the other survivors follow. The new configuration is on disk when a member of it leads.
//
// It is refused with [raft.ErrQuorumAlive] while a leader is heard, and with
// [raft.ErrBadConfiguration] unless this member is one of the voters and may lead, because it is
// the one to do so.
func (c *Core) ResetPeers(now time.Duration, voters []raft.Peer) error {
	c.advance(now)
	if c.heardLately() {
		return fmt.Errorf("%w: the leader is %s", raft.ErrQuorumAlive, c.leader)
	}
	next := raft.Configuration{Voters: voters, Origin: c.configuration().Origin}
	if err := next.Validate(); err != nil {
		return fmt.Errorf("%w: %w", raft.ErrBadConfiguration, err)
	}
	if p, voter := peerOf(next.Voters, c.o.ID); !voter || p.Priority == raft.NeverLeader {
		return fmt.Errorf("%w: %s, on which the peers are reset, is not among those that may lead",
			raft.ErrBadConfiguration, c.o.ID)
	}
	invariant.Check(c.role != Leader, "a leader changes the peers in the regular way")
	c.forsake(true)
	c.loseTerm()
	c.stopPull() // of what the old members have; it would replace what follows
	skip := raft.Term(1 + c.rand.Uint64N(resetSkip))
	c.tail.SetHardState(raft.HardState{Term: c.term() + skip, Vote: c.o.ID})
	c.termSeq = c.tail.Seq()
	c.verified = c.box.Commit()
	c.situate(Follower, "", nil)
	data := raft.EncodeConfiguration(next)
	e, _ := raft.MakeEntry(nil, c.term(), c.tail.Last().Index+1, raft.EntryConfiguration, data)
	err := c.tail.Append(e)
	invariant.Check(err == nil, "a valid configuration is well formed", uint64(e.Index))
	invariant.Check(c.configuration().Index == e.Index, "what was appended is in force",
		uint64(e.Index))
	invariant.Check(c.tail.Last().Term == c.term() && c.electable(), "who is reset can lead",
		uint64(c.term()))
	c.removed, c.missed = false, 0
	c.electionAt = c.now
	return nil
}
