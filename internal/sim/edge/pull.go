package edge

import (
	"errors"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// pull is a snapshot of another member being fetched: the real reception, its requests and replies
// on links that lose, repeat, delay, damage and confuse them.
type pull struct {
	core.Pull
	k     *Keeper
	r     snapshot.Reception // nil: to be opened
	under int                // requests not answered
	meta  raft.SnapshotMeta  // once it is published
	ends  bool               // it is being published
}

// Pull fetches a snapshot, instead of the pull under way. What has arrived stays on disk.
func (k *Keeper) Pull(next core.Pull) {
	if p := k.pull; p != nil {
		k.pull = nil
		k.h.Report.Snapshots.Interrupted++
		p.close()
	}
	if next.From == "" {
		k.h.Note("pull ends")
		return
	}
	k.h.Note("pulls", uint64(next.Meta.Last.Term), uint64(next.Meta.Last.Index))
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
	r, err := p.k.Files.Receive(p.Meta)
	if p.k.h.Powerless(err) {
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
	p.k.h.After(p.k.h.askTime(), func() {
		if p.current() {
			p.open()
		}
	})
}

// ask sends requests as long as more may be under way, and publishes what is complete.
func (p *pull) ask() {
	k, h := p.k, p.k.h
	if p.r.Done() && !p.ends {
		p.ends = true
		k.step(func() (err error) {
			if p.current() && p.r != nil {
				p.meta, err = p.r.Commit()
			}
			return err
		}, p.published)
	}
	for p.under < h.Swarm.Fetches && !p.ends {
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
	h, r, open := p.k.h, p.r, true
	h.Carry(p.Addr, request, func(reply []byte) {
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
	h.After(h.askTime(), func() {
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
	k, h := p.k, p.k.h
	if err != nil {
		h.check(Injected(err) || errors.Is(err, snapshot.ErrGone) || errors.Is(err, raft.ErrCorrupt),
			"disk", "m%d: fetch: %v", h.Index, err)
	}
	switch fatal := p.r.Err(); {
	case errors.Is(fatal, snapshot.ErrGone):
		h.Note("gone", uint64(p.Meta.Last.Index))
		h.Report.Snapshots.Gone++
		k.pull = nil
		p.close()
		h.Call(func(c *core.Core, now time.Duration) { c.Pulled(now, p.Meta, false) })
	case fatal != nil:
		p.again()
	default:
		bytes := p.r.Bytes()
		p.ask()
		h.Call(func(c *core.Core, now time.Duration) { c.Arrived(now, p.Meta.Last, bytes) })
	}
}

// published tells the core that the snapshot is here.
func (p *pull) published(err error) {
	k, h := p.k, p.k.h
	if !p.current() {
		return
	}
	if err != nil {
		k.expect("publish", err)
		p.again()
		return
	}
	k.pull = nil
	h.Note("pulled", uint64(p.meta.Last.Index))
	h.Report.Snapshots.Pulls++
	h.History.Published(h.Member, p.meta)
	k.audit()
	r, err := k.Files.Open(p.meta.Last)
	h.check(err == nil, "I27 snapshots never go back", "m%d: open what was published: %v", h.Index,
		err)
	h.After(k.draw.Wait(h.Swarm.SnapshotTime), func() { // the loop is busy
		h.Input(func(c *core.Core, now time.Duration) {
			if k.got != nil && k.got.Meta().Last.Index > p.meta.Last.Index {
				k.expect("close a snapshot", r.Close()) // that one was faster
			} else {
				k.drop()
				k.got = r
			}
			c.Pulled(now, p.meta, true)
		})
	})
	k.tidy()
}

// drop closes a snapshot that the core did not want restored.
func (k *Keeper) drop() {
	if k.got != nil {
		k.expect("close a snapshot", k.got.Close())
		k.got = nil
	}
}

// Fetched returns the reader of the snapshot that the core wants restored.
func (k *Keeper) Fetched(meta raft.SnapshotMeta) snapshot.Reader {
	r := k.got
	k.got = nil
	k.h.check(r != nil && r.Meta().Last == meta.Last, "I27 snapshots never go back",
		"m%d: wants to restore %v, which was not fetched", k.h.Index, meta.Last)
	return r
}

// Restore restores the state machine from what was fetched.
func (k *Keeper) Restore(r snapshot.Reader) {
	h, meta := k.h, r.Meta()
	err := errors.Join(k.Applier.Restore(r), r.Close())
	h.check(err == nil, "I26 snapshot equivalence", "m%d: restore %v: %v", h.Index, meta.Last, err)
	h.Report.Snapshots.Restores++
	h.Note("restored", uint64(meta.Last.Index))
	h.History.Loaded(h.Member, meta, &k.Machine.State)
	k.plan()
}

// Serve answers a request. What makes no sense gets no answer.
func (k *Keeper) Serve(request []byte, answer func(reply []byte)) {
	h := k.h
	took := k.draw.Wait(h.Swarm.FetchTime)
	mixed := h.Fire(swarm.WrongReply, k.draw.Chance(h.Swarm.Rate[swarm.WrongReply]))
	h.After(took, func() {
		if k.Files == nil {
			return
		}
		reply, err := k.Files.Serve(k.clock(), request, nil)
		if err != nil {
			h.check(errors.Is(err, raft.ErrCorrupt), "disk", "m%d: serve: %v", h.Index, err)
			return
		}
		h.Report.Snapshots.Served++
		other := k.reply
		k.reply = reply
		if mixed && other != nil {
			reply = other
		}
		answer(reply)
	})
}

// askTime is how long a reply is waited for.
func (h *Host) askTime() time.Duration {
	w := h.Swarm
	return 4*(8*w.LinkDelay+w.FetchTime+w.SnapshotTime) + w.Election/4
}
