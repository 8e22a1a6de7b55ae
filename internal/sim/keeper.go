package sim

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/sim/register"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// keeper is a member's snapshots: the real store on the member's file system and, as events, what
// production runs beside the loop: taking snapshots, fetching those of others, and giving old ones
// and old segments back.
type keeper struct {
	m     *member
	draw  *swarm.Stream
	files *snapshot.Files // nil while the member is down

	saved raft.SnapshotMeta // the newest that the core was told of as its own
	next  raft.Index        // the policy's next one is due once this is applied; 0: never
	save  *save             // under way
	waits waiting           // for a restore to be over
	pull  *pull             // under way
	got   snapshot.Reader   // of what was fetched, until the core says what to do with it
	due   []*work           // steps not carried out yet
	trap  *trap
	reply []byte // the last one that was served

	held   bool // a script decides when steps are carried out
	parked []func()

	flips   []flip // damage that was done to the snapshots
	refused bool   // to start
}

// work is one step of something that takes several.
type work struct{ do func() error }

// flip is one inverted bit.
type flip struct {
	name string
	at   int64
	bit  uint
	left byte // what was there afterwards
}

const snapshotDir = "snap"

func (k *keeper) init(m *member) {
	k.m, k.draw = m, swarm.NewStream(m.c.Seed, 6000+uint64(m.Index))
}

func (k *keeper) openIn(files vfs.FS) (*snapshot.Files, error) {
	return snapshot.Open(files, snapshotDir, snapshot.Options{
		Cluster: "sim", Group: swarm.Group, Peer: k.m.ID, Keep: k.m.c.swarm.Keep,
	})
}

// step carries out one step after a while. If the member goes down before, it may get half way.
func (k *keeper) step(do func() error, then func(error)) {
	m, w := k.m, &k.m.c.swarm
	took, which, n := k.draw.Wait(m.c.swarm.SnapshotTime), k.draw.Unit(), k.draw.Pick(5)
	fails := m.c.fire(swarm.SnapshotError, m.Index, k.draw.Chance(w.Rate[swarm.SnapshotError]))
	s := &work{do}
	k.due = append(k.due, s)
	if t := k.trap; t != nil && m.c.firing {
		k.trap = nil
		m.after(time.Duration(t.part*float64(took)), func() {
			if m.c.firing {
				m.crash(true, t.restart)
			}
		})
	}
	run := func() {
		k.due = slices.DeleteFunc(k.due, func(x *work) bool { return x == s })
		if fails && m.c.firing {
			ops := [...]vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpCreate, vfs.OpRename, vfs.OpSyncDir,
				vfs.OpRemove}
			m.disk.fs.Fail(ops[swarm.Scale(which, len(ops))], 1+n, errInjected)
		}
		err := s.do()
		if fails {
			m.disk.fs.Mend()
		}
		if !m.powerless(err) {
			then(err)
		}
	}
	if k.held {
		k.parked = append(k.parked, run)
		return
	}
	m.after(took, run)
}

// release carries out the steps that were held.
func (k *keeper) release() {
	k.held = false
	for _, run := range k.parked {
		k.m.after(0, run)
	}
	k.parked = nil
}

// crash lets the steps under way get as far as they may, when the member goes down. The file system
// may have stopped before.
func (k *keeper) crash() {
	how, which, n := k.draw.Unit(), k.draw.Unit(), k.draw.Pick(14)
	if k.files != nil && len(k.due) > 0 && how < 0.8 {
		if how < 0.6 {
			k.m.disk.fs.StopAfter(n)
		}
		_ = k.due[swarm.Scale(which, len(k.due))].do()
	}
	if k.save != nil || k.pull != nil {
		k.m.c.report.Snapshots.Interrupted++
	}
	k.files, k.due, k.save, k.pull, k.got, k.trap, k.reply = nil, nil, nil, nil, nil, nil, nil
	k.saved, k.parked, k.waits = raft.SnapshotMeta{}, nil, waiting{}
}

// open opens the store and restores the state machine from the newest snapshot that is sound.
func (k *keeper) open() (newest raft.SnapshotMeta) {
	m := k.m
	files, err := k.openIn(m.disk.fs)
	m.c.check(err == nil, "I28 recovery is a prefix", "m%d: open the snapshots: %v", m.Index, err)
	k.files = files
	k.restart()
	for _, meta := range files.All() {
		err := k.load(meta)
		if err == nil {
			newest = meta
			break
		}
		m.c.check(errors.Is(err, raft.ErrCorrupt) && len(k.flips) > 0, "I29 corruption is loud",
			"m%d: snapshot %v: %v", m.Index, meta.Last, err)
		m.c.report.Snapshots.Older++
		k.restart()
	}
	if newest.Last.Index > 0 {
		m.c.report.Snapshots.Starts++
	}
	m.c.history.Found(m.Member, newest, len(k.flips) > 0)
	k.plan()
	return newest
}

// restart makes an empty state machine.
func (k *keeper) restart() {
	k.m.machine = register.NewMachine(k.m.c.swarm.Keys)
	k.m.applier = fsm.NewApplier(k.m.machine, 0)
	k.m.applier.KeepResults(true)
	k.m.applier.Stage = func() (fsm.Staged, error) { return k.files.Stage() }
}

// load restores the state machine from a snapshot.
func (k *keeper) load(meta raft.SnapshotMeta) error {
	r, err := k.files.Open(meta.Last)
	if err != nil {
		return err
	}
	if err = errors.Join(k.m.applier.Restore(r), r.Close()); err == nil {
		k.m.c.history.Loaded(k.m.Member, r.Meta(), &k.m.machine.State)
	}
	return err
}

// plan draws when the next snapshot is due.
func (k *keeper) plan() {
	n := float64(k.m.c.swarm.Every) * (0.5 + k.draw.Unit())
	if k.next = 0; n > 0 {
		k.next = k.m.applier.Applied() + raft.Index(max(1, n))
	}
}

// tidy gives back what is not needed any more, in two steps.
func (k *keeper) tidy() {
	k.step(func() error { return k.files.Collect(k.clock()) }, func(err error) {
		k.expect("collect", err)
		k.audit()
	})
	k.reclaim()
}

// reclaim removes the segments that a compaction made superfluous.
func (k *keeper) reclaim() {
	k.step(func() error { return k.m.disk.store.Prepare() }, func(err error) {
		k.expect("prepare", err)
		k.audit()
	})
}

// clock runs faster than the member's, so that a snapshot that nobody asks for any more is removed
// within the run.
func (k *keeper) clock() time.Duration {
	return time.Duration(float64(k.m.clock()) * k.m.c.swarm.Haste)
}

// expect accepts only errors that were injected.
func (k *keeper) expect(what string, err error) {
	k.m.c.check(err == nil || expected(err), "disk", "m%d: %s: %v", k.m.Index, what, err)
}

// audit looks, now and then, at what a power loss at this moment would leave: a snapshot that
// covers what the log lacks.
func (k *keeper) audit() {
	m := k.m
	look, keep := k.draw.Chance(m.c.swarm.Audits), m.disk.keepOf(k.draw)
	if !look || len(k.flips) > 0 {
		return
	}
	image := m.disk.fs.Clone()
	image.Crash(keep)
	const name = "I27 snapshots never go back"
	store, err := m.disk.openIn(image)
	m.c.check(err == nil, name, "m%d: the log after a crash: %v", m.Index, err)
	stored, err := store.Load(swarm.Group)
	m.c.check(err == nil, name, "m%d: the log after a crash: %v", m.Index, err)
	snapshots, err := k.openIn(image)
	m.c.check(err == nil, name, "m%d: the snapshots after a crash: %v", m.Index, err)
	meta, ok := snapshots.Newest()
	if ok {
		err = snapshots.Verify(meta.Last)
	}
	m.c.check(err == nil && meta.Last.Index >= stored.Base.Index, name,
		"m%d: after a crash the log begins after %v, the newest snapshot is at %v: %v", m.Index,
		stored.Base, meta.Last, err)
	m.c.report.Snapshots.Audits++
}

// damage inverts a bit of a snapshot of a member that is down.
func (k *keeper) damage() {
	m := k.m
	w := &m.c.swarm
	hit := k.draw.Chance(w.Rate[swarm.Damage])
	older, which, at, bit := k.draw.Chance(0.3), k.draw.Unit(), k.draw.Unit(), k.draw.Pick(8)
	if !hit || !m.c.mayDamage(m) {
		return
	}
	dir, names := "", []string(nil)
	list, err := m.disk.fs.List(snapshotDir)
	for _, name := range list {
		if strings.HasPrefix(name, "snap-") && (dir == "" || !older) {
			dir = path.Join(snapshotDir, name)
		}
	}
	if err == nil && dir != "" {
		names, err = m.disk.fs.List(dir)
	}
	if err != nil || len(names) == 0 || !m.c.fire(swarm.Damage, m.Index, true) {
		return
	}
	f := flip{name: path.Join(dir, names[swarm.Scale(which, len(names))]), bit: uint(bit)}
	file, err := m.disk.fs.OpenRead(f.name)
	if err == nil {
		var size int64
		size, err = file.Size()
		f.at = int64(at * float64(size))
		err = errors.Join(err, file.Close(), m.disk.fs.FlipBit(f.name, f.at, f.bit))
	}
	m.c.check(err == nil, "disk", "m%d: flip a bit of %s: %v", m.Index, f.name, err)
	f.left, _ = k.byteAt(f.name, f.at)
	m.note("flipped", uint64(f.at), uint64(f.bit))
	k.flips = append(k.flips, f)
}

// mayDamage keeps the damage to a minority: more than that no protocol can bear.
func (c *Cluster) mayDamage(m *member) bool {
	damaged := 1
	for _, x := range c.members {
		if x != m && len(x.keeper.flips) > 0 {
			damaged++
		}
	}
	return 2*damaged < len(c.members)
}

// repair undoes the last damage: somebody has put the snapshot back that the member lacked.
func (k *keeper) repair() {
	if !k.refused {
		return
	}
	k.refused = false
	for _, f := range k.flips {
		if b, ok := k.byteAt(f.name, f.at); !ok || b != f.left {
			continue // another snapshot of the same entries took its place
		}
		err := k.m.disk.fs.FlipBit(f.name, f.at, f.bit)
		k.m.c.check(err == nil || errors.Is(err, fs.ErrNotExist), "disk", "m%d: mend %s: %v",
			k.m.Index, f.name, err)
	}
	k.flips = nil
}

func (k *keeper) byteAt(name string, at int64) (byte, bool) {
	var b [1]byte
	file, err := k.m.disk.fs.OpenRead(name)
	if err != nil {
		return 0, false
	}
	n, _ := file.ReadAt(b[:], at)
	return b[0], n == 1 && file.Close() == nil
}

// look reads a whole snapshot.
func (k *keeper) look(meta raft.SnapshotMeta) {
	m := register.NewMachine(k.m.c.swarm.Keys)
	r, err := k.files.Open(meta.Last)
	if err == nil {
		err = errors.Join(m.Restore(r), r.Close())
	}
	if errors.Is(err, raft.ErrCorrupt) && len(k.flips) > 0 {
		return
	}
	k.m.c.check(err == nil, "I26 snapshot equivalence", "m%d: read %v: %v", k.m.Index, meta.Last, err)
	k.m.c.history.Loaded(k.m.Member, meta, &m.State)
}

// refuse notes that the member can't start: its log begins after what its newest snapshot covers.
func (k *keeper) refuse(stored *logmanager.Stored, newest raft.SnapshotMeta, err error) {
	m := k.m
	m.c.check(errors.Is(err, raft.ErrCorrupt) && len(k.flips) > 0 &&
		stored.Base.Index > newest.Last.Index, "I28 recovery is a prefix", "m%d: core.New: %v", m.Index,
		err)
	m.note("refuses", uint64(stored.Base.Index), uint64(newest.Last.Index))
	m.c.report.Snapshots.Refused++
	k.refused, m.cause = true, err
	m.disk.fs.Kill()
	m.disk.store, k.files = nil, nil
	if !m.c.firing { // it was on its way up when the cluster healed
		k.repair()
		m.restartAfter(0)
	}
}
