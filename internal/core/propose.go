package core

import (
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Propose takes commands for the log, in order. Each comes back once in [Output.Placed], unless
// this member stops. A follower forwards them to its leader.
func (c *Core) Propose(now time.Duration, ps []Proposal) {
	c.advance(now)
	if c.role != Leader {
		for i := range ps {
			if err := c.enqueue(&ps[i]); err != nil {
				c.out.Placed = append(c.out.Placed, Placed{ID: ps[i].ID, Err: err})
			}
		}
		return
	}
	data := make([][]byte, 0, len(ps))
	next := raft.LogID{Term: c.term(), Index: c.tail.Last().Index + 1}
	for i := range ps {
		p := &ps[i]
		if err := c.admit(len(p.Data), p.ExpectTerm); err != nil {
			c.out.Placed = append(c.out.Placed, Placed{ID: p.ID, Err: err})
			continue
		}
		c.out.Placed = append(c.out.Placed, Placed{ID: p.ID, At: next})
		data = append(data, p.Data)
		c.pendingBytes += int64(raft.FrameHead + len(p.Data))
		next.Index++
	}
	c.place(data)
}

// admit tells why a command of that size can't be taken now, or returns nil.
func (c *Core) admit(bytes int, expect raft.Term) error {
	switch {
	case c.transfer.to != "":
		return raft.ErrTransferring
	case bytes > c.o.MaxCommandBytes:
		return raft.ErrTooLarge
	case expect != 0 && expect != c.term():
		return raft.ErrTermChanged
	case c.pendingBytes+int64(raft.FrameHead+bytes) > c.o.MaxPendingBytes:
		return raft.ErrBusy
	}
	return nil
}

// place appends admitted commands, whose bytes the caller has added to pendingBytes.
func (c *Core) place(data [][]byte) {
	if len(data) == 0 {
		return
	}
	bytes := 0
	for _, d := range data {
		bytes += raft.FrameHead + len(d)
	}
	invariant.Check(c.pendingBytes <= c.o.MaxPendingBytes, "pending commands are bounded",
		uint64(c.pendingBytes))
	c.appendEntries(raft.EntryCommand, data)
	c.pending = append(c.pending, chunk{c.tail.Last().Index, bytes})
}

// settlePending makes room for new commands as old ones become durable and applied.
func (c *Core) settlePending() {
	settled := min(c.applied, c.tail.Durable())
	done := 0
	for done < len(c.pending) && c.pending[done].last <= settled {
		c.pendingBytes -= int64(c.pending[done].bytes)
		done++
	}
	c.pending = append(c.pending[:0], c.pending[done:]...)
}
