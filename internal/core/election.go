package core

import (
	"errors"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Why leadership ended.
var (
	errHigherTerm  = errors.New("a higher term was seen")
	errNoQuorum    = errors.New("no quorum answered for an election timeout")
	errRemoved     = errors.New("this member is no voter any more")
	errDiskStalled = errors.New("the own disk has not finished a write for five election timeouts")
)

// removedPause is how much longer a member waits between its questions that was told that it is one
// no more. The telling may be old, so it asks on; a pre-vote disturbs nobody.
const removedPause = 10

// awaitElection draws a new time to campaign: between one and two election timeouts from now
// (§5.2).
func (c *Core) awaitElection() {
	timeout := c.o.ElectionTimeout
	if c.removed {
		timeout *= removedPause
	}
	c.electionAt = c.now + timeout + time.Duration(c.rand.Int64N(int64(timeout)))
	invariant.Check(c.electionAt > c.now, "every member has a next moment to act", uint64(c.now))
}

// electionDue is called when no leader was heard for long enough.
func (c *Core) electionDue() {
	invariant.Check(c.role != Leader, "a leader does not campaign", uint64(c.term()))
	if c.electable() && c.tail.Seq() > c.tail.WrittenSeq() {
		// A candidacy starts with a write, so a member whose disk is busy can't win one now. Asking
		// again and again would cancel the very candidacy that the disk holds up.
		c.electionAt = c.now + c.o.HeartbeatInterval
		return
	}
	if !c.electable() || c.defers() {
		c.forsake(false)
		c.situate(Follower, "", nil)
		c.awaitElection()
		return
	}
	c.askPreVotes()
}

// askPreVotes asks whether a candidacy would succeed, without raising the term (thesis §9.6): a
// member that was cut off can't disturb the others when it comes back.
func (c *Core) askPreVotes() {
	c.situate(PreCandidate, "", nil)
	c.awaitElection()
	c.requestPreVotes()
}

func (c *Core) requestPreVotes() {
	invariant.Check(c.role == PreCandidate || c.role == Follower && c.suspect.broken,
		"pre-votes are asked for without a leader, or in doubt about it", uint64(c.role))
	invariant.Check(c.electable(), "only a voter that may lead asks for votes", uint64(c.term()))
	c.ballot.Reset()
	addr, _ := c.Address(c.o.ID)
	c.eachVoter(func(id raft.PeerID) {
		c.sendTerm(id, c.term()+1, &raft.RequestVote{Pre: true, Last: c.tail.Last(), Addr: addr})
	})
	c.recordVote(c.o.ID, true)
}

// campaign starts a candidacy (§5.2). The request, and the own vote, count once the new term and
// the vote are durable; because all writes are one ordered stream, so is then the log that the
// request boasts of.
func (c *Core) campaign(transfer bool) {
	invariant.Check(c.role == PreCandidate && c.electable(), "a candidacy follows a pre-vote",
		uint64(c.role))
	c.forsake(true)
	c.loseTerm()
	c.tail.SetHardState(raft.HardState{Term: c.term() + 1, Vote: c.o.ID})
	c.verified, c.removed = c.box.Commit(), false
	c.situate(Candidate, "", nil)
	c.awaitElection()
	c.ballot.Reset()
	c.selfVote = c.tail.Seq()
	c.termSeq = c.selfVote
	invariant.Check(c.selfVote > c.tail.WrittenSeq(), "a new term is not durable yet",
		uint64(c.term()))
	addr, _ := c.Address(c.o.ID)
	c.eachVoter(func(id raft.PeerID) {
		c.promise(id, &raft.RequestVote{Transfer: transfer, Last: c.tail.Last(), Addr: addr})
	})
}

func (c *Core) eachVoter(f func(raft.PeerID)) {
	conf := c.configuration()
	for _, p := range conf.Members() {
		if p.ID != c.o.ID && conf.IsVoter(p.ID) {
			f(p.ID)
		}
	}
}

// recordVote counts one answer of the round under way. A snapshot that arrives meanwhile can bring
// a configuration in which this member may not lead.
func (c *Core) recordVote(id raft.PeerID, granted bool) {
	c.ballot.Record(id, granted)
	if !c.electable() || !c.ballot.Won(c.configuration()) {
		return
	}
	switch c.role {
	case Follower:
		c.situate(PreCandidate, "", nil)
		c.campaign(false)
	case PreCandidate:
		c.campaign(false)
	case Candidate:
		if c.selfVote == 0 {
			c.lead()
		}
	}
}

// onRequestVote answers a candidate (§5.2, §5.4.1) or one that thinks of becoming one.
//
// A member without a configuration was never added, or has lost its disk and with it what it
// promised: it has no vote. The leader, or whoever is elected without it, sends it the log.
func (c *Core) onRequestVote(m *raft.Message, b *raft.RequestVote) {
	if c.configuration().Index == 0 {
		return
	}
	c.meetCandidate(m.From, b)
	if b.Pre {
		// A pure question: nothing here changes whatever the answer is.
		granted := m.Term > c.term() && !c.hearsLeader() && !c.outdated(b.Last)
		switch {
		case granted:
			c.heldUpAt = 0
			c.giveWay(m.From)
		case b.Last.Less(c.tail.Last()):
			c.holdsUp(m.From)
		}
		c.send(m.From, &raft.RequestVoteReply{
			Pre: true, Granted: granted, Removed: c.hasRemoved(m.From, b.Last), Asked: m.Term,
		})
		return
	}
	if m.Term > c.term() {
		if c.hearsLeader() && !b.Transfer {
			// While the leader is heard nobody can depose it (thesis §4.2.3), nor raise the term.
			return
		}
		c.follow(m.Term, "", errHigherTerm)
	}
	hard := c.tail.HardState()
	// A vote once given stands: the candidate may ask again because the answer was lost. Not once
	// another has won the term: then it no longer matters.
	given := m.Term == hard.Term && hard.Vote == m.From && (c.leader == "" || c.leader == m.From)
	free := m.Term == hard.Term && hard.Vote == "" && c.leader == ""
	if !given && (!free || c.outdated(b.Last)) {
		c.meetRival()
		c.send(m.From, &raft.RequestVoteReply{Asked: m.Term})
		return
	}
	if hard.Vote == "" {
		c.tail.SetHardState(raft.HardState{Term: m.Term, Vote: m.From})
	}
	invariant.Check(c.role != Leader && (c.leader == "" || c.leader == m.From),
		"nobody votes against a leader of the term", uint64(c.role), uint64(m.Term))
	if c.role == PreCandidate {
		c.situate(Follower, "", nil)
	}
	c.awaitElection()
	c.promise(m.From, &raft.RequestVoteReply{Granted: true, Asked: m.Term})
}

// outdated reports whether a candidate's log is behind this member's (§5.4.1), or behind what a
// leader said was committed. Whoever may lead has that (§5.4). A member that catches up hasn't yet,
// and may have voted in a configuration that it passes: its disk may be a new one, and what the old
// one promised the leader's commit index still tells, until this member is started again.
func (c *Core) outdated(last raft.LogID) bool {
	return last.Less(c.tail.Last()) || last.Term <= c.told.Term && last.Index < c.told.Index
}

// hearsLeader reports whether a leader is alive as far as this member knows: it was heard lately,
// and the stream from it holds.
func (c *Core) hearsLeader() bool { return !c.suspect.broken && c.heardLately() }

// heardLately reports whether this member heard a leader within one election timeout, or leads
// itself (a leader that loses its quorum steps down within that time).
func (c *Core) heardLately() bool {
	return c.role == Leader || (c.leader != "" && c.now-c.heardAt < c.o.ElectionTimeout)
}

// hasRemoved reports whether the peer is in the committed configuration no more, and lacks what is
// committed. So it could not win either (§5.4.1), and nothing that its log says of the membership
// is newer.
func (c *Core) hasRemoved(id raft.PeerID, last raft.LogID) bool {
	conf, commit := c.configuration(), c.box.Commit()
	if _, member := conf.Peer(id); member || conf.Index == 0 || conf.Index > commit {
		return false
	}
	term, ok := c.tail.TermAt(commit)
	invariant.Check(ok, "the log has what was committed last", uint64(commit))
	return last.Less(raft.LogID{Term: term, Index: commit})
}

func (c *Core) onRequestVoteReply(from raft.PeerID, b *raft.RequestVoteReply) {
	if !c.configuration().IsVoter(from) {
		return
	}
	asking := c.role == PreCandidate || c.suspect.asked > 0
	switch {
	case c.role == Candidate && !b.Pre && b.Asked == c.term():
		c.recordVote(from, b.Granted)
	case !asking || !b.Pre || b.Asked != c.term()+1:
	case b.Removed && c.role != PreCandidate:
		// It follows a leader, who would not write to it were it removed: an old answer.
	case b.Removed:
		// It hardly asks any more until it hears from a leader, who only writes to it if it is a member
		// again. It still votes when asked.
		invariant.Check(c.leader == "", "who follows was not removed", uint64(c.term()))
		c.removed = true
		c.situate(Follower, "", nil)
		c.awaitElection()
	case from == c.leader && !b.Granted:
		c.suspect = suspicion{} // the leader itself says that it leads on
	default:
		c.recordVote(from, b.Granted)
	}
}
