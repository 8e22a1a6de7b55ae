package core

import (
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// onAppendEntries takes entries from the leader (§5.3, Figure 2 "AppendEntries RPC").
func (c *Core) onAppendEntries(from raft.PeerID, b *raft.AppendEntries) {
	if !c.sane(b) {
		return
	}
	c.heard(from)
	if b.Commit > c.told.Index {
		c.told = raft.LogID{Term: c.term(), Index: b.Commit}
	}
	if b.Prev.Index < c.tail.First()-1 {
		// Everything before the log's first entry is committed, so the leader has the same (§5.4).
		c.send(from, &raft.AppendEntriesReply{
			Match: min(c.box.Commit(), c.durableInTerm()), Prev: b.Prev.Index,
		})
		return
	}
	if term, ok := c.tail.TermAt(b.Prev.Index); !ok || term != b.Prev.Term {
		invariant.Check(b.Prev.Index > c.box.Commit(),
			"a leader has everything that is committed (§5.4)",
			uint64(b.Prev.Index), uint64(c.box.Commit()))
		hint := c.tail.NewestWithin(b.Prev.Index-1, b.Prev.Term)
		c.send(from, &raft.AppendEntriesReply{Reject: true, Prev: b.Prev.Index, Hint: hint})
		return
	}
	if err := c.accept(b.Entries); err != nil {
		return // a configuration that can't be read: not taken, not acknowledged
	}
	proven := b.Prev.Index + raft.Index(len(b.Entries))
	invariant.Check(proven <= c.tail.Last().Index, "what was verified is in the log",
		uint64(proven), uint64(c.tail.Last().Index))
	c.verified = max(c.verified, proven)
	c.learnCommit(min(b.Commit, proven))
	reply := &raft.AppendEntriesReply{Match: proven, Prev: b.Prev.Index}
	if proven <= c.durableInTerm() {
		c.send(from, reply)
	} else {
		c.promise(from, reply)
	}
}

// sane reports whether the entries are as a leader of this term would send them.
func (c *Core) sane(b *raft.AppendEntries) bool {
	prev := b.Prev
	if prev.Index == 0 && prev.Term != 0 {
		return false
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Index != prev.Index+1 || e.Term < prev.Term || e.Term > c.term() {
			return false
		}
		prev = e.ID()
	}
	return prev.Term <= c.term()
}

// accept makes the log agree with entries that follow one on which both agree. Entries that are
// there already stay: the message may be an old one, and what follows it in the log may be
// acknowledged (§5.3).
func (c *Core) accept(entries []raft.Entry) error {
	for len(entries) > 0 {
		e := &entries[0]
		term, ok := c.tail.TermAt(e.Index)
		if !ok {
			break
		}
		if term != e.Term {
			invariant.Check(e.Index > c.box.Commit(), "no committed entry is ever removed",
				uint64(e.Index), uint64(c.box.Commit()))
			invariant.Check(e.Index > c.verified, "no entry of this term's leader is removed",
				uint64(e.Index), uint64(c.verified))
			c.tail.Truncate(e.Index)
			break
		}
		entries = entries[1:]
	}
	return c.tail.Append(entries...)
}

// learnCommit raises a follower's commit index to what the leader told, for entries that are the
// leader's.
func (c *Core) learnCommit(i raft.Index) {
	invariant.Check(i <= c.verified, "a follower commits what it has verified",
		uint64(i), uint64(c.verified))
	invariant.Check(c.role == Follower, "only a follower is told the commit index", uint64(c.role))
	c.box.Learn(i)
	if c.pull.From != "" && c.pull.Meta.Last.Index <= c.box.Commit() {
		c.stopPull() // the log was faster
	}
}

// appendEntries adds entries of the own term to the leader's log, and returns the first one's id.
func (c *Core) appendEntries(kind raft.EntryKind, data [][]byte) raft.LogID {
	invariant.Check(c.role == Leader, "only a leader appends entries of its own", uint64(c.role))
	room := 0
	for _, d := range data {
		room += raft.FrameHead + len(d)
	}
	first := raft.LogID{Term: c.term(), Index: c.tail.Last().Index + 1}
	slab := make([]byte, 0, room) // one allocation for all frames
	for _, d := range data {
		var e raft.Entry
		e, slab = raft.MakeEntry(slab, c.term(), c.tail.Last().Index+1, kind, d)
		err := c.tail.Append(e)
		invariant.Check(err == nil, "a leader's own entries are well formed")
	}
	invariant.Check(len(slab) == room, "the slab was sized for the entries",
		uint64(len(slab)), uint64(room))
	invariant.Check(c.tail.Last().Term == c.term(), "a leader's last entry is of its term",
		uint64(c.tail.Last().Term), uint64(c.term()))
	return first
}
