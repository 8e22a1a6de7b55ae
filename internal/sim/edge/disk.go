package edge

import (
	"math/rand/v2"
	"path"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// Disk is a member's log storage: the real segment store on a file system in memory, and the loop
// around it as events. One Write is under way at a time; what comes meanwhile goes together in
// the next.
type Disk struct {
	h      *Host
	keeper *Keeper
	draw   *swarm.Stream
	store  *logmanager.Segments // nil while the member is down

	FS   *vfs.Mem
	Trap *Trap
	Hang time.Duration // the next write takes so much longer
	Held bool          // a script decides when writes end, by [Disk.Finish]

	queue  []logmanager.Write
	flight []logmanager.Write // being written
	maybe  []logmanager.Write // were under way at the crash: any prefix of their parts may be there
	ticket uint64             // of the write under way: a completion with another one is stale
}

func newDisk(h *Host) *Disk {
	d := &Disk{h: h, draw: swarm.NewStream(h.Seed, 2000+uint64(h.Index))}
	d.FS = vfs.NewMem(rand.New(&swarm.NewStream(h.Seed, 2500+uint64(h.Index)).Pcg))
	return d
}

func (d *Disk) openStore() (*logmanager.Segments, error) { return d.openIn(d.FS) }

func (d *Disk) openIn(files vfs.FS) (*logmanager.Segments, error) {
	return logmanager.OpenSegments(files, "log", logmanager.SegmentOptions{
		Cluster: "sim", Peer: d.h.ID,
		FirstSegmentBytes: int64(d.h.Swarm.SegmentBytes),
		MaxSegmentBytes:   int64(d.h.Swarm.SegmentBytes) * 2,
	})
}

// Format writes the first configuration, as production does before the first start.
func (d *Disk) Format(conf raft.Configuration) {
	w := logmanager.Write{Seq: 1, Group: swarm.Group, Entries: []raft.Entry{
		{Index: 1, Kind: raft.EntryConfiguration, Data: raft.EncodeConfiguration(conf)},
	}}
	store, err := d.openStore()
	if err == nil {
		err = store.Write([]logmanager.Write{w})
	}
	d.h.check(err == nil, "I28 recovery is a prefix", "first write: %v", err)
	d.h.History.Durable(d.h.Member, &w)
	d.FS.Kill()
}

// Open opens the store and checks what it holds. With a fault in mind it loses power while it does,
// and is to be opened again after a while.
func (d *Disk) Open() (stored logmanager.Stored, again time.Duration, ok bool) {
	h := d.h
	d.FS.SetSpace(-1)
	hit := h.Fire(swarm.CrashInBoot, d.draw.Chance(h.Swarm.Rate[swarm.CrashInBoot]))
	n, wait := d.draw.Pick(12), d.draw.Unit()
	if hit {
		d.FS.StopAfter(n)
		if store, err := d.openStore(); err == nil {
			_, _ = store.Load(swarm.Group)
		}
		_, _ = d.keeper.openIn(d.FS)
		d.FS.Crash(d.keep())
		return stored, time.Duration(wait * float64(h.Swarm.RestartTime)), false
	}
	store, err := d.openStore()
	h.check(err == nil, "I28 recovery is a prefix", "m%d: open: %v", h.Index, err)
	stored, err = store.Load(swarm.Group)
	h.check(err == nil, "I28 recovery is a prefix", "m%d: load: %v", h.Index, err)
	d.store = store
	recovered := d.readBack(&stored)
	h.History.Recovered(h.Member, recovered, d.maybe)
	d.maybe = nil
	return stored, 0, true
}

// Contents is what the store of a running member holds.
func (d *Disk) Contents() witness.Shadow {
	stored, err := d.store.Load(swarm.Group)
	d.h.check(err == nil, "I30 replicas agree", "m%d: load: %v", d.h.Index, err)
	return d.readBack(&stored)
}

// readBack reads the whole log.
func (d *Disk) readBack(stored *logmanager.Stored) witness.Shadow {
	s := d.h.History.Shadow(d.h.Member, stored.HardState, stored.Base)
	for s.Last() < stored.Last.Index {
		entries, err := d.store.Read(swarm.Group, s.Last()+1, stored.Last.Index, 1<<20, nil)
		d.h.check(err == nil && len(entries) > 0, "I28 recovery is a prefix",
			"m%d: read from %d to %v: %v",
			d.h.Index, s.Last()+1, stored.Last, err)
		for i := range entries {
			d.h.check(entries[i].Index == s.Last()+1, "I28 recovery is a prefix",
				"m%d: entry %d follows %d", d.h.Index, entries[i].Index, s.Last())
			s.Append(&entries[i])
		}
	}
	return s
}

// keep draws what of the un-synced data a power loss leaves.
func (d *Disk) keep() vfs.Keep { return d.keepOf(d.draw) }

func (d *Disk) keepOf(draw *swarm.Stream) vfs.Keep {
	return [...]vfs.Keep{vfs.KeepNone, vfs.KeepSome, vfs.KeepSome, vfs.KeepAll}[draw.Pick(4)]
}

// Write queues a write.
func (d *Disk) Write(w logmanager.Write) {
	w.Entries = append([]raft.Entry(nil), w.Entries...)
	d.queue = append(d.queue, w)
	d.h.Note("write", w.Seq, uint64(w.Truncate), uint64(len(w.Entries)),
		record.Bit(w.HardState != nil), uint64(w.Reset.Index), uint64(w.Compact))
	d.start()
}

// start starts the next Write of the store if none is under way.
func (d *Disk) start() {
	if len(d.flight) > 0 || len(d.queue) == 0 {
		return
	}
	h, w := d.h, d.h.Swarm
	d.flight, d.queue = d.queue, nil
	slow := h.Fire(swarm.SlowWrite, d.draw.Chance(w.Rate[swarm.SlowWrite]))
	stall := h.Fire(swarm.Stall, d.draw.Chance(w.Rate[swarm.Stall]))
	fails := h.Fire(swarm.WriteError, d.draw.Chance(w.Rate[swarm.WriteError]))
	took, more, turns := d.draw.Wait(h.Swarm.WriteTime), d.draw.Unit(), d.draw.Unit()
	which, prepare := d.draw.Unit(), d.draw.Chance(w.Prepare)
	if slow {
		took += time.Duration(more * float64(w.Span[swarm.SlowWrite]))
	}
	if stall {
		took += time.Duration((1 + 19*turns) * float64(w.Election))
	}
	took += d.Hang
	d.Hang = 0
	d.ticket++
	ticket := d.ticket
	d.Trap = h.spring(d.Trap, took)
	if !d.Held {
		h.After(took, func() { d.finish(ticket, fails, which, prepare) })
	}
}

// finish lets the write under way happen.
func (d *Disk) finish(ticket uint64, fails bool, which float64, prepare bool) {
	if ticket != d.ticket || len(d.flight) == 0 {
		return
	}
	h := d.h
	if fails && h.Firing() {
		d.breakNext(which)
	}
	if err := d.store.Write(d.flight); err != nil {
		if h.Powerless(err) {
			return
		}
		h.check(Injected(err), "disk", "m%d: write: %v", h.Index, err)
		h.Fails(err)
		return
	}
	last, cut := d.flight[len(d.flight)-1].Seq, false
	for i := range d.flight {
		h.History.Durable(h.Member, &d.flight[i])
		cut = cut || d.flight[i].Compact > 0 || d.flight[i].Reset.Index > 0
	}
	d.flight = nil
	h.Note("written", last, uint64(h.Dur.Last()))
	if prepare {
		d.prepare()
	}
	if cut {
		d.keeper.audit()
		d.keeper.reclaim()
	}
	h.Input(func(c *core.Core, now time.Duration) { c.Written(now, last) })
	d.start()
}

// breakNext has one of the operations of the next write fail, or the disk full.
func (d *Disk) breakNext(which float64) {
	ops := [...]vfs.Op{vfs.OpWrite, vfs.OpSyncData, vfs.OpSync, vfs.OpCreate}
	if n := swarm.Scale(which, len(ops)+1); n < len(ops) {
		d.FS.Fail(ops[n], 1, errInjected)
	} else {
		d.FS.SetSpace(100)
	}
}

// prepare has the store make a spare segment; it may fail without harm.
func (d *Disk) prepare() {
	if err := d.store.Prepare(); err != nil {
		d.h.check(Injected(err), "disk", "m%d: prepare: %v", d.h.Index, err)
	}
}

// Finish ends the write that is under way; false: there is none.
func (d *Disk) Finish() bool {
	under := !d.Idle()
	d.finish(d.ticket, false, 0, false)
	return under
}

// Idle reports whether no write is under way.
func (d *Disk) Idle() bool { return len(d.flight) == 0 }

// Hurry ends a stall: the cluster heals.
func (d *Disk) Hurry() {
	d.Held = false
	ticket := d.ticket
	d.h.After(d.h.Swarm.WriteTime, func() { d.finish(ticket, false, 0, false) })
}

// Stopped draws what follows after an error has stopped the member: whether the power goes, too,
// and how long it takes until somebody restarts it.
func (d *Disk) Stopped() (power bool, restart time.Duration) {
	d.maybe, d.flight = d.flight, nil
	power = d.draw.Chance(0.5)
	return power, time.Duration(d.draw.Unit() * float64(d.h.Swarm.RestartTime))
}

// Halt forgets what was under way in memory. What is being written stays known until the crash.
func (d *Disk) Halt() {
	d.queue, d.Trap = nil, nil
	d.ticket++
}

// Crash decides how far the write under way has come and what of it the file system keeps.
func (d *Disk) Crash(power bool) {
	how, n := d.draw.Unit(), d.draw.Pick(8)
	keep := d.keep()
	if len(d.flight) > 0 {
		if how < 0.6 {
			d.FS.StopAfter(n)
		}
		if how < 0.8 {
			// the process dies at an operation in the middle, or before it is told
			_ = d.store.Write(d.flight)
		}
		d.maybe, d.flight = d.flight, nil
	}
	d.keeper.crash()
	if power {
		d.FS.Crash(keep)
	} else {
		d.FS.Kill()
	}
	d.store = nil
}

// Fetch reads old entries from the store, on behalf of a peer or for applying.
func (d *Disk) Fetch(f core.Fetch) {
	h := d.h
	h.After(d.draw.Wait(h.Swarm.FetchTime), func() {
		entries, err := d.store.Read(swarm.Group, f.Lo, f.Hi, f.MaxBytes, nil)
		if err != nil {
			entries = nil // they were truncated meanwhile
		}
		h.History.Fetched(h.Member, entries)
		h.Report.Fetches++
		h.Note("fetched", uint64(f.Lo), uint64(len(entries)))
		h.Input(func(c *core.Core, now time.Duration) { c.Fetched(now, f.Peer, entries) })
	})
}

// Bytes returns the size of all files of the log.
func (d *Disk) Bytes() (sum int) {
	names, err := d.FS.List("log")
	d.h.check(err == nil, "disk", "m%d: list the log: %v", d.h.Index, err)
	for _, name := range names {
		file, err := d.FS.OpenRead(path.Join("log", name))
		d.h.check(err == nil, "disk", "m%d: open %s: %v", d.h.Index, name, err)
		size, err := file.Size()
		d.h.check(err == nil && file.Close() == nil, "disk", "m%d: look at %s: %v", d.h.Index,
			name, err)
		sum += int(size)
	}
	return sum
}
