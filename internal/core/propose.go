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
	run := run{data: make([][]byte, 0, len(ps))}
	next := raft.LogID{Term: c.term(), Index: c.tail.Last().Index + 1}
	for i := range ps {
		p := &ps[i]
		if err := c.admit(len(p.Data), p.ExpectTerm); err != nil {
			c.out.Placed = append(c.out.Placed, Placed{ID: p.ID, Err: err})
			continue
		}
		c.out.Placed = append(c.out.Placed, Placed{ID: p.ID, At: next})
		c.pendingBytes += int64(raft.FrameHead + len(p.Data))
		c.gather(&run, p.Data, p.Restore)
		next.Index++
	}
	c.place(&run)
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

// run gathers admitted commands that follow each other in the log as entries of one kind.
type run struct {
	data    [][]byte
	restore bool // they are pieces of a backup
}

// gather adds a command, and places those before it if they are of another kind.
func (c *Core) gather(r *run, data []byte, restore bool) {
	if restore != r.restore {
		c.place(r)
		r.restore = restore
	}
	r.data = append(r.data, data)
}

// place appends admitted commands, whose bytes the caller has added to pendingBytes.
func (c *Core) place(r *run) {
	if len(r.data) == 0 {
		return
	}
	kind, bytes := raft.EntryCommand, 0
	if r.restore {
		kind = raft.EntryRestore
	}
	for _, d := range r.data {
		bytes += raft.FrameHead + len(d)
	}
	invariant.Check(c.pendingBytes <= c.o.MaxPendingBytes, "pending commands are bounded",
		uint64(c.pendingBytes))
	c.appendEntries(kind, r.data)
	c.pending = append(c.pending, chunk{c.tail.Last().Index, bytes})
	r.data = r.data[:0]
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
