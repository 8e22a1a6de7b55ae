package sim

import (
	"errors"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// pull is a snapshot of another member being fetched: the real reception, its requests and replies
// on links that lose, repeat, delay, damage and confuse them.
type pull struct {
	core.Pull
	k     *keeper
	r     snapshot.Reception // nil: to be opened
	under int                // requests not answered
	meta  raft.SnapshotMeta  // once it is published
	ends  bool               // it is being published
}

// begin replaces the pull under way. What has arrived stays on disk.
func (k *keeper) begin(next core.Pull) {
	if p := k.pull; p != nil {
		k.pull = nil
		k.m.c.report.Snapshots.Interrupted++
		p.close()
	}
	if next.From == "" {
		k.m.note("pull ends")
		return
	}
	k.m.note("pulls", uint64(next.Meta.Last.Term), uint64(next.Meta.Last.Index))
	k.pull = &pull{Pull: next, k: k}
	k.pull.open()
}

func (p *pull) current() bool { return p.k.pull == p }

func (p *pull) close() {
	if p.r != nil {
		p.k.expect("close a reception", p.r.Close())
		p.r = nil
	}
}

func (p *pull) open() {
	r, err := p.k.files.Receive(p.Meta)
	if p.k.m.powerless(err) {
		return
	}
	if err != nil {
		p.k.expect("receive", err)
		p.again()
		return
	}
	p.r = r
	p.ask()
}

// again opens the reception once more, after a while.
func (p *pull) again() {
	p.close()
	p.under, p.ends = 0, false
	p.k.m.after(p.k.m.c.askTime(), func() {
		if p.current() {
			p.open()
		}
	})
}

// ask sends requests as long as more may be under way, and publishes what is complete.
func (p *pull) ask() {
	k, m := p.k, p.k.m
	if p.r.Done() && !p.ends {
		p.ends = true
		k.step(func() (err error) {
			if p.current() && p.r != nil {
				p.meta, err = p.r.Commit()
			}
			return err
		}, p.published)
	}
	for p.under < m.c.swarm.Fetches && !p.ends {
		request, ok := p.r.Next()
		if !ok {
			return
		}
		p.under++
		p.send(request)
	}
}

// send carries one request; without an answer in time it counts as lost.
func (p *pull) send(request []byte) {
	m, r, open := p.k.m, p.r, true
	m.c.carry(m, m.c.at(p.Addr), request, func(reply []byte) {
		p.k.step(func() (err error) {
			if p.current() && p.r == r {
				err = r.Got(request, reply)
			}
			return err
		}, func(err error) {
			if !p.current() || p.r != r {
				return
			}
			if open {
				open = false
				p.under--
			}
			p.answered(err)
		})
	})
	m.after(m.c.askTime(), func() {
		if open && p.current() && p.r == r {
			open = false
			p.under--
			r.Lost(request)
			p.ask()
		}
	})
}

// answered goes on after a reply.
func (p *pull) answered(err error) {
	k, m := p.k, p.k.m
	if err != nil {
		m.c.check(expected(err) || errors.Is(err, snapshot.ErrGone) || errors.Is(err, raft.ErrCorrupt),
			"disk", "m%d: fetch: %v", m.Index, err)
	}
	switch fatal := p.r.Err(); {
	case errors.Is(fatal, snapshot.ErrGone):
		m.note("gone", uint64(p.Meta.Last.Index))
		m.c.report.Snapshots.Gone++
		k.pull = nil
		p.close()
		m.call(func(now time.Duration) { m.core.Pulled(now, p.Meta, false) })
	case fatal != nil:
		p.again()
	default:
		bytes := p.r.Bytes()
		p.ask()
		m.call(func(now time.Duration) { m.core.Arrived(now, p.Meta.Last, bytes) })
	}
}

// published tells the core that the snapshot is here.
func (p *pull) published(err error) {
	k, m := p.k, p.k.m
	if !p.current() {
		return
	}
	if err != nil {
		k.expect("publish", err)
		p.again()
		return
	}
	k.pull = nil
	m.note("pulled", uint64(p.meta.Last.Index))
	m.c.report.Snapshots.Pulls++
	m.c.history.Published(m.Member, p.meta)
	k.audit()
	r, err := k.files.Open(p.meta.Last)
	m.c.check(err == nil, "I27 snapshots never go back", "m%d: open what was published: %v", m.Index,
		err)
	m.after(k.draw.Wait(m.c.swarm.SnapshotTime), func() { // the loop is busy
		m.input(nil, func(now time.Duration) {
			if k.got != nil && k.got.Meta().Last.Index > p.meta.Last.Index {
				k.expect("close a snapshot", r.Close()) // that one was faster
			} else {
				k.drop()
				k.got = r
			}
			m.core.Pulled(now, p.meta, true)
		})
	})
	k.tidy()
}

// drop closes a snapshot that the core did not want restored.
func (k *keeper) drop() {
	if k.got != nil {
		k.expect("close a snapshot", k.got.Close())
		k.got = nil
	}
}

// restorer returns the reader of the snapshot that the core wants restored.
func (k *keeper) restorer(meta raft.SnapshotMeta) snapshot.Reader {
	r := k.got
	k.got = nil
	k.m.c.check(r != nil && r.Meta().Last == meta.Last, "I27 snapshots never go back",
		"m%d: wants to restore %v, which was not fetched", k.m.Index, meta.Last)
	return r
}

// restore restores the state machine.
func (k *keeper) restore(r snapshot.Reader) {
	m := k.m
	meta := r.Meta()
	rest := m.placed[:0]
	for _, o := range m.placed {
		if o.At.Index <= meta.Last.Index {
			o.settle(witness.Unknown)
		} else {
			rest = append(rest, o)
		}
	}
	m.placed = rest
	err := errors.Join(m.applier.Restore(r), r.Close())
	m.c.check(err == nil, "I26 snapshot equivalence", "m%d: restore %v: %v", m.Index, meta.Last, err)
	m.c.report.Snapshots.Restores++
	m.note("restored", uint64(meta.Last.Index))
	m.c.history.Loaded(m.Member, meta, &m.machine.State)
	k.plan()
	m.settle()
}

// carry brings a request to another member, and its reply back.
func (c *Cluster) carry(from, to *member, request []byte, got func(reply []byte)) {
	if to == nil {
		return
	}
	n := len(c.members)
	there, back := c.links[from.Index*n+to.Index], c.links[to.Index*n+from.Index]
	life := from.Life
	there.send(request, fetches, func(request []byte) {
		to.after(0, func() {
			to.keeper.serve(request, func(reply []byte) {
				back.send(reply, fetches, func(reply []byte) {
					if from.Life == life {
						from.after(0, func() { got(reply) })
					}
				})
			})
		})
	})
}

// serve answers a request. What makes no sense gets no answer.
func (k *keeper) serve(request []byte, answer func(reply []byte)) {
	m := k.m
	took := k.draw.Wait(m.c.swarm.FetchTime)
	mixed := m.c.fire(swarm.WrongReply, m.Index, k.draw.Chance(m.c.swarm.Rate[swarm.WrongReply]))
	m.after(took, func() {
		if m.core == nil {
			return
		}
		reply, err := k.files.Serve(k.clock(), request, nil)
		if err != nil {
			m.c.check(errors.Is(err, raft.ErrCorrupt), "disk", "m%d: serve: %v", m.Index, err)
			return
		}
		m.c.report.Snapshots.Served++
		other := k.reply
		k.reply = reply
		if mixed && other != nil {
			reply = other
		}
		answer(reply)
	})
}

// askTime is how long a reply is waited for.
func (c *Cluster) askTime() time.Duration {
	return 4*(8*c.swarm.LinkDelay+c.swarm.FetchTime+c.swarm.SnapshotTime) + c.swarm.Election/4
}
