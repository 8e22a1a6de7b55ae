package core

import (
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// replicate sends a follower what it may be sent now (§5.3). It looks again after each message, and
// never waits for a timer while there is something to send and room for it.
func (c *Core) replicate(p *replicator.Progress) {
	for p.MaySend() {
		last := c.tail.Last().Index
		invariant.Check(p.Match < p.Next && p.Next <= last+1,
			"a follower is sent entries that the leader has",
			uint64(p.Match), uint64(p.Next), uint64(last))
		if p.Next < c.tail.First() {
			c.install(p)
			return
		}
		if p.Light() || (p.Next > last && p.State == replicator.Probe) {
			c.sendEntries(p, nil)
			continue
		}
		if p.Next > last {
			return
		}
		entries := c.tail.Entries(p.Next, last, p.BatchBytes())
		if entries == nil {
			c.fetch(p.ID, p.Next, last, p.BatchBytes())
			p.Fetching = true
			return
		}
		c.sendEntries(p, entries)
	}
}

func (c *Core) sendEntries(p *replicator.Progress, entries []raft.Entry) {
	prev := raft.LogID{Index: p.Next - 1}
	term, ok := c.tail.TermAt(prev.Index)
	invariant.Check(ok, "the leader knows the term before what it sends", uint64(prev.Index))
	prev.Term = term
	bytes := 0
	for i := range entries {
		invariant.Check(entries[i].Index == prev.Index+1+raft.Index(i), "entries are sent without gaps",
			uint64(entries[i].Index), uint64(prev.Index))
		bytes += entries[i].FrameBytes()
	}
	invariant.Check(c.role == Leader && prev.Index >= p.Match,
		"a leader sends what is not acknowledged", uint64(prev.Index), uint64(p.Match))
	c.send(p.ID, &raft.AppendEntries{Prev: prev, Commit: c.box.Commit(), Entries: entries})
	p.Sent(c.now, len(entries), bytes, c.box.Commit())
}

// Fetched brings the entries that a [Fetch] asked for; none if they could not be had. What the
// fetch was for may have changed meanwhile, so what to do with them is decided now.
func (c *Core) Fetched(now time.Duration, peer raft.PeerID, entries []raft.Entry) {
	c.advance(now)
	at := slices.Index(c.fetching, peer)
	invariant.Check(at >= 0, "what arrives was asked for")
	c.fetching = slices.Delete(c.fetching, at, at+1)
	p := c.peer(peer)
	if p != nil {
		p.Fetching = false
	}
	if len(entries) == 0 {
		return
	}
	// If the newest is still in the log, so are those before it (Log Matching).
	newest := entries[len(entries)-1]
	if term, ok := c.tail.TermAt(newest.Index); !ok || term != newest.Term {
		return
	}
	switch {
	case peer == "":
		if entries[0].Index == c.handed+1 && newest.Index <= c.box.Commit() && len(c.out.Apply) == 0 {
			c.handOutEntries(entries)
		}
	case p != nil && p.MaySend() && p.Next >= c.tail.First():
		if p.Light() {
			c.sendEntries(p, nil) // the question goes first, and what was read need not be read again
		}
		if p.MaySend() && entries[0].Index == p.Next {
			c.sendEntries(p, within(entries, p.BatchBytes()))
		}
	}
}

// within returns as many of the entries as fit, at least one: the room in the window may have
// shrunk while they were read.
func within(entries []raft.Entry, maxBytes int) []raft.Entry {
	bytes := 0
	for i := range entries {
		bytes += entries[i].FrameBytes()
		if i > 0 && bytes > maxBytes {
			return entries[:i]
		}
	}
	return entries
}

// onAppendEntriesReply learns what a follower has.
func (c *Core) onAppendEntriesReply(from raft.PeerID, b *raft.AppendEntriesReply) {
	p := c.peer(from)
	if c.role != Leader || p == nil {
		return
	}
	p.Hear(c.now)
	if b.Reject {
		if p.Rejects(b.Prev) && b.Hint.Index < b.Prev {
			// Nothing of the follower above Hint agrees; of ours, nothing above our newest entry of
			// a term that is not above the hint's. So whole terms are skipped, from both sides.
			// Below the log's first entry there is nothing to compare: a snapshot must help.
			agreed := c.tail.NewestWithin(b.Hint.Index, b.Hint.Term).Index
			p.Retreat(min(agreed, b.Hint.Index) + 1)
		}
		return
	}
	if b.Match > c.tail.Last().Index {
		return // an answer to entries that were never sent
	}
	if p.Accepted(c.now, b.Match) {
		c.countCommit()
	}
}

// countCommit raises the commit index to what a quorum holds durably. The leader counts its own log
// like any other: up to what its own disk has (thesis §10.2.1).
func (c *Core) countCommit() {
	before := c.box.Commit()
	rose := c.box.Count(c.configuration(), func(id raft.PeerID) raft.Index {
		if id == c.o.ID {
			return c.tail.Durable()
		}
		if p := c.peer(id); p != nil {
			return p.Match
		}
		return 0
	})
	if rose {
		c.roseAt, c.untold = c.now, true
		commit := c.box.Commit()
		term, ok := c.tail.TermAt(commit)
		invariant.Check(ok && term == c.term(),
			"only an entry of the own term commits by counting (§5.4.2)",
			uint64(term), uint64(c.term()), uint64(before), uint64(commit))
		invariant.Check(commit > before && commit <= c.tail.Last().Index, "the commit index rises",
			uint64(before), uint64(commit))
	}
}
