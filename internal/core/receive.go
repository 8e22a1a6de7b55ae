package core

import (
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// maxTerm bounds the terms that are believed, far below what can be encoded: one forged message
// must not leave a group without terms to campaign in.
const maxTerm = 1 << 60

// Receive handles one message. Messages may come late, repeatedly and in any order; one that is not
// for this member, or that makes no sense, changes nothing.
func (c *Core) Receive(now time.Duration, m raft.Message) {
	c.advance(now)
	if m.Cluster != c.o.Cluster || m.Group != c.o.Group || m.To != c.o.ID ||
		m.From == c.o.ID || m.From == "" || m.Term > maxTerm || c.foreign(&m) {
		return
	}
	if _, reply := m.Body.(*raft.RequestVoteReply); m.Term == 0 && !reply {
		return // only a voter that has never seen a term has anything to say in term 0
	}
	if vote, ok := m.Body.(*raft.RequestVote); ok {
		c.onRequestVote(&m, vote)
		return
	}
	if m.Term > c.term() {
		c.follow(m.Term, "", errHigherTerm)
	}
	if m.Term < c.term() {
		if reply, ok := m.Body.(*raft.RequestVoteReply); ok && reply.Pre {
			// A voter may well be in an earlier term; Asked tells which round it answers.
			c.onRequestVoteReply(m.From, reply)
			return
		}
		c.answerOldTerm(&m)
		return
	}
	switch b := m.Body.(type) {
	case *raft.AppendEntries:
		c.onAppendEntries(m.From, b)
	case *raft.Heartbeat:
		c.meet(m.From, b.Addr, true)
		c.onHeartbeat(m.From, b)
	case *raft.InstallSnapshot:
		c.onInstallSnapshot(m.From, b)
	case *raft.InstallSnapshotReply:
		c.onInstallSnapshotReply(m.From, b)
	case *raft.TimeoutNow:
		c.onTimeoutNow(m.From)
	case *raft.ReadIndex:
		c.onReadIndex(m.From, b)
	case *raft.Propose:
		c.onPropose(m.From, b)
	case *raft.RequestVoteReply:
		c.onRequestVoteReply(m.From, b)
	case *raft.AppendEntriesReply:
		c.onAppendEntriesReply(m.From, b)
	case *raft.HeartbeatReply:
		c.onHeartbeatReply(m.From, b)
	case *raft.ReadIndexReply:
		c.onReadIndexReply(m.From, b)
	case *raft.ProposeReply:
		c.onProposeReply(m.From, b)
	}
}

// answerOldTerm tells a leader of an earlier term that its time is over (§5.1). Everything else of
// an earlier term is dropped: an answer of then proves nothing now. A forwarded command above all
// is not refused, because it may be a repetition of one that this member took when it led that
// term.
func (c *Core) answerOldTerm(m *raft.Message) {
	switch b := m.Body.(type) {
	case *raft.AppendEntries:
		c.send(m.From, &raft.AppendEntriesReply{Reject: true, Prev: b.Prev.Index})
	case *raft.Heartbeat, *raft.InstallSnapshot:
		c.send(m.From, &raft.HeartbeatReply{})
	}
}

// check asserts what holds between any two inputs.
func (c *Core) check() {
	last, commit := c.tail.Last().Index, c.box.Commit()
	invariant.Check(c.applied <= c.handed && c.handed <= commit, "applied <= handed out <= committed",
		uint64(c.applied), uint64(c.handed), uint64(commit))
	invariant.Check(commit <= last, "everything committed is in the log", uint64(commit), uint64(last))
	invariant.Check(c.tail.Durable() <= last, "everything durable is in the log", uint64(last))
	invariant.Check(c.verified <= last, "everything verified is in the log",
		uint64(c.verified), uint64(last))
	invariant.Check((c.role == Leader) == (c.leader == c.o.ID), "a leader knows that it leads",
		uint64(c.role))
	invariant.Check(c.role == Leader || len(c.pending)+len(c.reads.inRound) == 0,
		"only a leader has commands and reads of its own under way", uint64(c.role))
	invariant.Check(c.leader != "" || len(c.reads.waiting)+len(c.forwards.queue) == 0,
		"nothing waits for a leader that is not known", uint64(c.term()))
	invariant.Check(c.tail.Last().Term <= c.term(), "no entry is of a later term than the member",
		uint64(c.tail.Last().Term), uint64(c.term()))
	invariant.Check(c.role == Leader || c.peers == nil, "only a leader replicates")
	invariant.Check(c.role == Leader || c.change == nil && c.transfer.until == 0 && c.leavers == nil,
		"only a leader changes the membership or hands over", uint64(c.role))
	invariant.Check(c.role == Follower || !c.suspect.broken, "only a follower suspects its leader",
		uint64(c.role))
	invariant.Check(c.selfVote == 0 || c.role == Candidate, "only a candidate waits for its own vote")
	invariant.Check(c.pendingBytes >= 0 && c.applyNow >= 0, "no byte is settled twice")
	invariant.Check(len(c.held) == 0 || len(c.writes) > 0 || c.tail.Seq() > c.tail.WrittenSeq(),
		"a promise is held only while a write is under way", uint64(len(c.held)))
	if c.role == Leader || c.role == Candidate {
		vote := c.tail.HardState().Vote
		invariant.Check(vote == c.o.ID, "a candidate votes for itself (§5.2)", uint64(c.term()))
	}
}
