package core

import (
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Take fills o with what must be done and reports whether there is anything. Call it again until
// there is not: one output carries one run of entries to apply.
func (c *Core) Take(o *Output) bool {
	c.flush()
	if c.tail.TakeWrite(&c.out.Write) {
		c.out.Write.Group = c.o.Group
		if n := len(c.writes); n > 0 {
			invariant.Check(c.writes[n-1].seq < c.out.Write.Seq, "write numbers rise", c.out.Write.Seq)
		}
		c.writes = append(c.writes, writing{c.out.Write.Seq, c.now})
	}
	c.handOut()
	c.out.Committed = c.box.Commit()
	c.out.Situation = c.situation()
	c.out.Changed = c.out.Situation != c.seen
	c.seen = c.out.Situation
	*o, c.out = c.out, reuse(*o)
	return o.Write.Seq != 0 || len(o.Messages) > 0 || len(o.Apply) > 0 || len(o.Fetches) > 0 ||
		len(o.Placed) > 0 || len(o.Reads) > 0 || len(o.Changes) > 0 || len(o.Transfers) > 0 ||
		o.Changed || o.Lost != 0 || o.Pull != nil || o.Restore != nil
}

// reuse empties an output that was carried out, so that its slices serve again.
func reuse(o Output) Output {
	clear(o.Messages)
	clear(o.Placed)
	clear(o.Reads)
	clear(o.Changes)
	clear(o.Transfers)
	return Output{
		Messages: o.Messages[:0], Fetches: o.Fetches[:0], Placed: o.Placed[:0], Reads: o.Reads[:0],
		Changes: o.Changes[:0], Transfers: o.Transfers[:0],
	}
}

// flush sends what gathered: one message carries all that came since the last.
func (c *Core) flush() {
	c.startReads()
	c.advanceChange()
	c.advanceTransfer()
	if c.role == Leader {
		tell := c.tellable()
		for _, p := range c.peers {
			c.replicate(p)
			if commit, ok := p.TellCommit(tell); ok {
				c.send(p.ID, &raft.Heartbeat{Commit: commit})
			}
		}
	}
	c.forward()
	c.tail.Release(c.handed)
	c.check()
}

// tellAfter is how long followers may be without a new commit index because the state machine of
// the leader is slow.
const tellAfter = time.Millisecond

// tellable returns the commit index that idle followers are told by a message of its own: what is
// applied here as well. By then those who waited for it have proposed what comes next, and that
// message carries the commit index for nothing. A slow state machine holds it up for a moment only.
func (c *Core) tellable() raft.Index {
	commit := c.box.Commit()
	if c.applied >= commit || c.now-c.roseAt >= tellAfter {
		c.untold = false
		return commit
	}
	return c.applied
}

// handOut passes committed entries on to be applied, within what may be under way.
func (c *Core) handOut() {
	commit := c.box.Commit()
	if c.handed >= commit || c.applyNow >= c.o.MaxApplyBytes || len(c.out.Apply) > 0 ||
		c.out.Restore != nil {
		return
	}
	entries := c.tail.Entries(c.handed+1, commit, c.o.MaxApplyBytes-c.applyNow)
	if entries == nil {
		c.fetch("", c.handed+1, commit, c.o.MaxApplyBytes-c.applyNow)
		return
	}
	c.handOutEntries(entries)
}

func (c *Core) handOutEntries(entries []raft.Entry) {
	invariant.Check(entries[0].Index == c.handed+1, "entries are applied in order, without gaps",
		uint64(entries[0].Index), uint64(c.handed))
	last := entries[len(entries)-1].Index
	invariant.Check(last <= c.box.Commit(), "only committed entries are applied",
		uint64(last), uint64(c.box.Commit()))
	bytes := 0
	for i := range entries {
		bytes += entries[i].FrameBytes()
	}
	c.handed = last
	c.applyNow += bytes
	c.applying = append(c.applying, chunk{last, bytes})
	c.out.Apply = entries
}

// fetch asks for entries that are on disk only, unless an answer for that peer is still to come.
func (c *Core) fetch(peer raft.PeerID, lo, hi raft.Index, maxBytes int) {
	for _, id := range c.fetching {
		if id == peer {
			return
		}
	}
	hi = min(hi, c.tail.FirstInMemory()-1)
	invariant.Check(lo >= c.tail.First() && lo <= hi && hi <= c.tail.Durable(),
		"entries that are fetched are durable", uint64(lo), uint64(hi), uint64(c.tail.Durable()))
	c.fetching = append(c.fetching, peer)
	c.out.Fetches = append(c.out.Fetches, Fetch{Peer: peer, Lo: lo, Hi: hi, MaxBytes: maxBytes})
}

func (c *Core) send(to raft.PeerID, body raft.Body) {
	c.sendTerm(to, c.term(), body)
}

func (c *Core) sendTerm(to raft.PeerID, term raft.Term, body raft.Body) {
	invariant.Check(to != c.o.ID && to != "", "messages go to others")
	c.sign(body)
	c.out.Messages = append(c.out.Messages, raft.Message{
		Cluster: c.o.Cluster, Group: c.o.Group, From: c.o.ID, To: to, Term: term, Body: body,
	})
}
