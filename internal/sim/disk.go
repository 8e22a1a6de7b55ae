package sim

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

var errInjected = errors.New("injected write error")

// disk is a member's log storage: the real segment store on a file system in memory, and the loop
// around it as events. One Write is under way at a time; what comes meanwhile goes together in
// the next.
type disk struct {
	m     *member
	draw  *swarm.Stream
	fs    *vfs.Mem
	store *logmanager.Segments // nil while the member is down

	queue  []logmanager.Write
	flight []logmanager.Write // being written
	maybe  []logmanager.Write // were under way at the crash: any prefix of their parts may be there
	ticket uint64             // of the write under way: a completion with another one is stale
	trap   *trap
	hang   time.Duration // the next write takes so much longer
	held   bool          // a script decides when writes end
}

// trap is a crash that waits for a write to be under way.
type trap struct {
	part    float64
	restart time.Duration
}

func (d *disk) init(m *member) {
	d.m, d.draw = m, swarm.NewStream(m.c.Seed, 2000+uint64(m.Index))
	d.fs = vfs.NewMem(rand.New(&swarm.NewStream(m.c.Seed, 2500+uint64(m.Index)).Pcg))
}

func (d *disk) openStore() (*logmanager.Segments, error) { return d.openIn(d.fs) }

func (d *disk) openIn(files vfs.FS) (*logmanager.Segments, error) {
	return logmanager.OpenSegments(files, "log", logmanager.SegmentOptions{
		Cluster: "sim", Peer: d.m.ID,
		FirstSegmentBytes: int64(d.m.c.swarm.SegmentBytes),
		MaxSegmentBytes:   int64(d.m.c.swarm.SegmentBytes) * 2,
	})
}

// format writes the first configuration, as production does before the first start.
func (m *member) format(conf raft.Configuration) {
	d := &m.disk
	w := logmanager.Write{Seq: 1, Group: swarm.Group, Entries: []raft.Entry{
		{Index: 1, Kind: raft.EntryConfiguration, Data: raft.EncodeConfiguration(conf)},
	}}
	store, err := d.openStore()
	if err == nil {
		err = store.Write([]logmanager.Write{w})
	}
	m.c.check(err == nil, "I28 recovery is a prefix", "first write: %v", err)
	m.c.history.Durable(m.Member, &w)
	d.fs.Kill()
}

// open opens the store and checks what it holds. With a fault in mind it loses power while it does.
func (d *disk) open() (stored logmanager.Stored, ok bool) {
	m := d.m
	d.fs.SetSpace(-1)
	hit := m.c.fire(swarm.CrashInBoot, m.Index, d.draw.Chance(m.c.swarm.Rate[swarm.CrashInBoot]))
	n, wait := d.draw.Pick(12), d.draw.Unit()
	if hit {
		d.fs.StopAfter(n)
		if store, err := d.openStore(); err == nil {
			_, _ = store.Load(swarm.Group)
		}
		_, _ = m.keeper.openIn(d.fs)
		d.fs.Crash(d.keep())
		m.restartAfter(time.Duration(wait * float64(m.c.swarm.RestartTime)))
		return stored, false
	}
	store, err := d.openStore()
	m.c.check(err == nil, "I28 recovery is a prefix", "m%d: open: %v", m.Index, err)
	stored, err = store.Load(swarm.Group)
	m.c.check(err == nil, "I28 recovery is a prefix", "m%d: load: %v", m.Index, err)
	d.store = store
	recovered := d.readBack(&stored)
	m.c.history.Recovered(m.Member, recovered, d.maybe)
	d.maybe = nil
	return stored, true
}

// readBack reads the whole log.
func (d *disk) readBack(stored *logmanager.Stored) witness.Shadow {
	s := d.m.c.history.Shadow(d.m.Member, stored.HardState, stored.Base)
	for s.Last() < stored.Last.Index {
		entries, err := d.store.Read(swarm.Group, s.Last()+1, stored.Last.Index, 1<<20, nil)
		d.m.c.check(err == nil && len(entries) > 0, "I28 recovery is a prefix",
			"m%d: read from %d to %v: %v",
			d.m.Index, s.Last()+1, stored.Last, err)
		for i := range entries {
			d.m.c.check(entries[i].Index == s.Last()+1, "I28 recovery is a prefix",
				"m%d: entry %d follows %d", d.m.Index, entries[i].Index, s.Last())
			s.Append(&entries[i])
		}
	}
	return s
}

// keep draws what of the un-synced data a power loss leaves.
func (d *disk) keep() vfs.Keep { return d.keepOf(d.draw) }

func (d *disk) keepOf(draw *swarm.Stream) vfs.Keep {
	return [...]vfs.Keep{vfs.KeepNone, vfs.KeepSome, vfs.KeepSome, vfs.KeepAll}[draw.Pick(4)]
}

// write queues a write.
func (d *disk) write(w logmanager.Write) {
	w.Entries = append([]raft.Entry(nil), w.Entries...)
	d.queue = append(d.queue, w)
	d.m.note("write", w.Seq, uint64(w.Truncate), uint64(len(w.Entries)),
		record.Bit(w.HardState != nil), uint64(w.Reset.Index), uint64(w.Compact))
	d.start()
}

// start starts the next Write of the store if none is under way.
func (d *disk) start() {
	if len(d.flight) > 0 || len(d.queue) == 0 {
		return
	}
	m, w := d.m, &d.m.c.swarm
	d.flight, d.queue = d.queue, nil
	slow := m.c.fire(swarm.SlowWrite, m.Index, d.draw.Chance(w.Rate[swarm.SlowWrite]))
	stall := m.c.fire(swarm.Stall, m.Index, d.draw.Chance(w.Rate[swarm.Stall]))
	fails := m.c.fire(swarm.WriteError, m.Index, d.draw.Chance(w.Rate[swarm.WriteError]))
	took, more, turns := d.draw.Wait(m.c.swarm.WriteTime), d.draw.Unit(), d.draw.Unit()
	which, prepare := d.draw.Unit(), d.draw.Chance(w.Prepare)
	if slow {
		took += time.Duration(more * float64(w.Span[swarm.SlowWrite]))
	}
	if stall {
		took += time.Duration((1 + 19*turns) * float64(w.Election))
	}
	took += d.hang
	d.hang = 0
	d.ticket++
	ticket := d.ticket
	if t := d.trap; t != nil && m.c.firing {
		d.trap = nil
		m.after(time.Duration(t.part*float64(took)), func() {
			if m.c.firing {
				m.crash(true, t.restart)
			}
		})
	}
	if !d.held {
		m.after(took, func() { d.finish(ticket, fails, which, prepare) })
	}
}

// finish lets the write under way happen.
func (d *disk) finish(ticket uint64, fails bool, which float64, prepare bool) {
	if ticket != d.ticket || len(d.flight) == 0 {
		return
	}
	m := d.m
	if fails && m.c.firing {
		d.breakNext(which)
	}
	if err := d.store.Write(d.flight); err != nil {
		if m.powerless(err) {
			return
		}
		m.c.check(expected(err), "disk", "m%d: write: %v", m.Index, err)
		m.fails(err)
		return
	}
	last, cut := d.flight[len(d.flight)-1].Seq, false
	for i := range d.flight {
		m.c.history.Durable(m.Member, &d.flight[i])
		cut = cut || d.flight[i].Compact > 0 || d.flight[i].Reset.Index > 0
	}
	d.flight = nil
	m.note("written", last, uint64(m.Dur.Last()))
	if prepare {
		d.prepare()
	}
	if cut {
		m.keeper.audit()
		m.keeper.reclaim()
	}
	m.input(nil, func(now time.Duration) { m.core.Written(now, last) })
	d.start()
}

// breakNext has one of the operations of the next write fail, or the disk full.
func (d *disk) breakNext(which float64) {
	ops := [...]vfs.Op{vfs.OpWrite, vfs.OpSyncData, vfs.OpSync, vfs.OpCreate}
	if n := swarm.Scale(which, len(ops)+1); n < len(ops) {
		d.fs.Fail(ops[n], 1, errInjected)
	} else {
		d.fs.SetSpace(100)
	}
}

// expected reports whether the error is one that was injected.
func expected(err error) bool {
	return errors.Is(err, errInjected) || errors.Is(err, raft.ErrDiskFull) ||
		errors.Is(err, vfs.ErrNoSpace)
}

// prepare has the store make a spare segment; it may fail without harm.
func (d *disk) prepare() {
	if err := d.store.Prepare(); err != nil {
		d.m.c.check(expected(err), "disk", "m%d: prepare: %v", d.m.Index, err)
	}
}

// hurry ends a stall: the cluster heals.
func (d *disk) hurry() {
	d.held = false
	ticket := d.ticket
	d.m.after(d.m.c.swarm.WriteTime, func() { d.finish(ticket, false, 0, false) })
}

// fails stops the member with a cause, as production does, and has somebody restart it later.
func (m *member) fails(err error) {
	m.note("stops")
	m.cause = err
	m.c.report.Stopped++
	power := m.disk.draw.Chance(0.5)
	wait := time.Duration(m.disk.draw.Unit() * float64(m.c.swarm.RestartTime))
	m.disk.maybe, m.disk.flight = m.disk.flight, nil
	m.halt()
	m.disk.crash(power)
	m.restartAfter(wait)
}

// halt forgets what was under way in memory. What is being written stays known until the crash.
func (d *disk) halt() {
	d.queue, d.trap = nil, nil
	d.ticket++
}

// crash decides how far the write under way has come and what of it the file system keeps.
func (d *disk) crash(power bool) {
	how, n := d.draw.Unit(), d.draw.Pick(8)
	keep := d.keep()
	if len(d.flight) > 0 {
		if how < 0.6 {
			d.fs.StopAfter(n)
		}
		if how < 0.8 {
			// the process dies at an operation in the middle, or before it is told
			_ = d.store.Write(d.flight)
		}
		d.maybe, d.flight = d.flight, nil
	}
	d.m.keeper.crash()
	if power {
		d.fs.Crash(keep)
	} else {
		d.fs.Kill()
	}
	d.store = nil
}

// fetch reads old entries from the store, on behalf of a peer or for applying.
func (d *disk) fetch(f core.Fetch) {
	m := d.m
	m.after(d.draw.Wait(m.c.swarm.FetchTime), func() {
		entries, err := d.store.Read(swarm.Group, f.Lo, f.Hi, f.MaxBytes, nil)
		if err != nil {
			entries = nil // they were truncated meanwhile
		}
		m.c.history.Fetched(m.Member, entries)
		m.c.report.Fetches++
		m.note("fetched", uint64(f.Lo), uint64(len(entries)))
		m.input(nil, func(now time.Duration) { m.core.Fetched(now, f.Peer, entries) })
	})
}
