package edge

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

// Keeper is a member's snapshots and the state machine that is loaded from them: the real store on
// the member's file system and, as events, what production runs beside the loop: taking snapshots,
// fetching those of others, and giving old ones and old segments back.
type Keeper struct {
	h    *Host
	disk *Disk
	draw *swarm.Stream

	Files   *snapshot.Files // nil while the member is down
	Machine *register.Machine
	Applier *fsm.Applier // the real one, with the machine
	Trap    *Trap
	Held    bool // a script decides when steps are carried out, by [Keeper.Release]

	saved  raft.SnapshotMeta // the newest that the core was told of as its own
	next   raft.Index        // the policy's next one is due once this is applied; 0: never
	save   *save             // under way
	pull   *pull             // under way
	got    snapshot.Reader   // of what was fetched, until the core says what to do with it
	due    []*work           // steps not carried out yet
	reply  []byte            // the last one that was served
	parked []func()

	flips   []flip // damage that was done to the snapshots
	refused bool   // to start
}

// Idle reports whether nothing is under way.
func (k *Keeper) Idle() bool { return k.save == nil && k.pull == nil && len(k.due) == 0 }

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

func newKeeper(h *Host) *Keeper {
	return &Keeper{h: h, draw: swarm.NewStream(h.Seed, 6000+uint64(h.Index))}
}

func (k *Keeper) openIn(files vfs.FS) (*snapshot.Files, error) {
	return snapshot.Open(files, snapshotDir, snapshot.Options{
		Cluster: "sim", Group: swarm.Group, Peer: k.h.ID, Keep: k.h.Swarm.Keep,
	})
}

// step carries out one step after a while. If the member goes down before, it may get half way.
func (k *Keeper) step(do func() error, then func(error)) {
	h, w := k.h, k.h.Swarm
	took, which, n := k.draw.Wait(h.Swarm.SnapshotTime), k.draw.Unit(), k.draw.Pick(5)
	fails := h.Fire(swarm.SnapshotError, k.draw.Chance(w.Rate[swarm.SnapshotError]))
	s := &work{do}
	k.due = append(k.due, s)
	k.Trap = h.spring(k.Trap, took)
	run := func() {
		k.due = slices.DeleteFunc(k.due, func(x *work) bool { return x == s })
		if fails && h.Firing() {
			ops := [...]vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpCreate, vfs.OpRename, vfs.OpSyncDir,
				vfs.OpRemove}
			k.disk.FS.Fail(ops[swarm.Scale(which, len(ops))], 1+n, errInjected)
		}
		err := s.do()
		if fails {
			k.disk.FS.Mend()
		}
		if !h.Powerless(err) {
			then(err)
		}
	}
	if k.Held {
		k.parked = append(k.parked, run)
		return
	}
	h.After(took, run)
}

// Release carries out the steps that were held.
func (k *Keeper) Release() {
	k.Held = false
	for _, run := range k.parked {
		k.h.After(0, run)
	}
	k.parked = nil
}

// crash lets the steps under way get as far as they may, when the member goes down. The file system
// may have stopped before.
func (k *Keeper) crash() {
	how, which, n := k.draw.Unit(), k.draw.Unit(), k.draw.Pick(14)
	if k.Files != nil && len(k.due) > 0 && how < 0.8 {
		if how < 0.6 {
			k.disk.FS.StopAfter(n)
		}
		_ = k.due[swarm.Scale(which, len(k.due))].do()
	}
	if k.save != nil || k.pull != nil {
		k.h.Report.Snapshots.Interrupted++
	}
	k.Files, k.due, k.save, k.pull, k.got, k.Trap, k.reply = nil, nil, nil, nil, nil, nil, nil
	k.saved, k.parked = raft.SnapshotMeta{}, nil
}

// Open opens the store and restores the state machine from the newest snapshot that is sound.
func (k *Keeper) Open() (newest raft.SnapshotMeta) {
	h := k.h
	files, err := k.openIn(k.disk.FS)
	h.check(err == nil, "I28 recovery is a prefix", "m%d: open the snapshots: %v", h.Index, err)
	k.Files = files
	k.restart()
	for _, meta := range files.All() {
		err := k.load(meta)
		if err == nil {
			newest = meta
			break
		}
		h.check(errors.Is(err, raft.ErrCorrupt) && k.Damaged(), "I29 corruption is loud",
			"m%d: snapshot %v: %v", h.Index, meta.Last, err)
		h.Report.Snapshots.Older++
		k.restart()
	}
	if newest.Last.Index > 0 {
		h.Report.Snapshots.Starts++
	}
	h.History.Found(h.Member, newest, k.Damaged())
	k.plan()
	return newest
}

// restart makes an empty state machine.
func (k *Keeper) restart() {
	k.Machine = register.NewMachine(k.h.Swarm.Keys)
	k.Applier = fsm.NewApplier(k.Machine, 0)
	k.Applier.KeepResults(true)
	k.Applier.Stage = func() (fsm.Staged, error) { return k.Files.Stage() }
}

// load restores the state machine from a snapshot.
func (k *Keeper) load(meta raft.SnapshotMeta) error {
	r, err := k.Files.Open(meta.Last)
	if err != nil {
		return err
	}
	if err = errors.Join(k.Applier.Restore(r), r.Close()); err == nil {
		k.h.History.Loaded(k.h.Member, r.Meta(), &k.Machine.State)
	}
	return err
}

// plan draws when the next snapshot is due.
func (k *Keeper) plan() {
	n := float64(k.h.Swarm.Every) * (0.5 + k.draw.Unit())
	if k.next = 0; n > 0 {
		k.next = k.Applier.Applied() + raft.Index(max(1, n))
	}
}

// tidy gives back what is not needed any more, in two steps.
func (k *Keeper) tidy() {
	k.step(func() error { return k.Files.Collect(k.clock()) }, func(err error) {
		k.expect("collect", err)
		k.audit()
	})
	k.reclaim()
}

// reclaim removes the segments that a compaction made superfluous.
func (k *Keeper) reclaim() {
	k.step(func() error { return k.disk.store.Prepare() }, func(err error) {
		k.expect("prepare", err)
		k.audit()
	})
}

// clock runs faster than the member's, so that a snapshot that nobody asks for any more is removed
// within the run.
func (k *Keeper) clock() time.Duration {
	return time.Duration(float64(k.h.Clock()) * k.h.Swarm.Haste)
}

// expect accepts only errors that were injected.
func (k *Keeper) expect(what string, err error) {
	k.h.check(err == nil || Injected(err), "disk", "m%d: %s: %v", k.h.Index, what, err)
}

// audit looks, now and then, at what a power loss at this moment would leave: a snapshot that
// covers what the log lacks.
func (k *Keeper) audit() {
	h := k.h
	look, keep := k.draw.Chance(h.Swarm.Audits), k.disk.keepOf(k.draw)
	if !look || k.Damaged() {
		return
	}
	image := k.disk.FS.Clone()
	image.Crash(keep)
	const name = "I27 snapshots never go back"
	store, err := k.disk.openIn(image)
	h.check(err == nil, name, "m%d: the log after a crash: %v", h.Index, err)
	stored, err := store.Load(swarm.Group)
	h.check(err == nil, name, "m%d: the log after a crash: %v", h.Index, err)
	snapshots, err := k.openIn(image)
	h.check(err == nil, name, "m%d: the snapshots after a crash: %v", h.Index, err)
	meta, ok := snapshots.Newest()
	if ok {
		err = snapshots.Verify(meta.Last)
	}
	h.check(err == nil && meta.Last.Index >= stored.Base.Index, name,
		"m%d: after a crash the log begins after %v, the newest snapshot is at %v: %v", h.Index,
		stored.Base, meta.Last, err)
	h.Report.Snapshots.Audits++
}

// Damage inverts a bit of a snapshot of a member that is down.
func (k *Keeper) Damage() {
	h := k.h
	w := h.Swarm
	hit := k.draw.Chance(w.Rate[swarm.Damage])
	older, which, at, bit := k.draw.Chance(0.3), k.draw.Unit(), k.draw.Unit(), k.draw.Pick(8)
	if !hit || !h.MayDamage() {
		return
	}
	dir, names := "", []string(nil)
	list, err := k.disk.FS.List(snapshotDir)
	for _, name := range list {
		if strings.HasPrefix(name, "snap-") && (dir == "" || !older) {
			dir = path.Join(snapshotDir, name)
		}
	}
	if err == nil && dir != "" {
		names, err = k.disk.FS.List(dir)
	}
	if err != nil || len(names) == 0 || !h.Fire(swarm.Damage, true) {
		return
	}
	name, size := path.Join(dir, names[swarm.Scale(which, len(names))]), int64(0)
	file, err := k.disk.FS.OpenRead(name)
	if err == nil {
		size, err = file.Size()
		err = errors.Join(err, file.Close())
	}
	h.check(err == nil, "disk", "m%d: look at %s: %v", h.Index, name, err)
	k.Flip(name, int64(at*float64(size)), uint(bit))
}

// Flip inverts a bit of a file.
func (k *Keeper) Flip(name string, at int64, bit uint) {
	err := k.disk.FS.FlipBit(name, at, bit)
	k.h.check(err == nil, "disk", "m%d: flip a bit of %s: %v", k.h.Index, name, err)
	left, _ := k.byteAt(name, at)
	k.h.Note("flipped", uint64(at), uint64(bit))
	k.flips = append(k.flips, flip{name, at, bit, left})
}

// Damaged reports whether a snapshot has a bit that was inverted.
func (k *Keeper) Damaged() bool { return len(k.flips) > 0 }

// Repair undoes the last damage: somebody has put the snapshot back that the member lacked.
func (k *Keeper) Repair() {
	if !k.refused {
		return
	}
	k.refused = false
	for _, f := range slices.Backward(k.flips) { // two may have met the same byte
		if b, ok := k.byteAt(f.name, f.at); !ok || b != f.left {
			continue // another snapshot of the same entries took its place
		}
		err := k.disk.FS.FlipBit(f.name, f.at, f.bit)
		k.h.check(err == nil || errors.Is(err, fs.ErrNotExist), "disk", "m%d: mend %s: %v",
			k.h.Index, f.name, err)
	}
	k.flips = nil
}

func (k *Keeper) byteAt(name string, at int64) (byte, bool) {
	var b [1]byte
	file, err := k.disk.FS.OpenRead(name)
	if err != nil {
		return 0, false
	}
	n, _ := file.ReadAt(b[:], at)
	return b[0], n == 1 && file.Close() == nil
}

// ReadAll reads every snapshot whole.
func (k *Keeper) ReadAll() {
	for _, meta := range k.Files.All() {
		m := register.NewMachine(k.h.Swarm.Keys)
		r, err := k.Files.Open(meta.Last)
		if err == nil {
			err = errors.Join(m.Restore(r), r.Close())
		}
		if errors.Is(err, raft.ErrCorrupt) && k.Damaged() {
			continue
		}
		k.h.check(err == nil, "I26 snapshot equivalence", "m%d: read %v: %v", k.h.Index, meta.Last,
			err)
		k.h.History.Loaded(k.h.Member, meta, &m.State)
	}
}

// Refuse notes that the member can't start: its log begins after what its newest snapshot covers.
func (k *Keeper) Refuse(stored *logmanager.Stored, newest raft.SnapshotMeta, err error) {
	h := k.h
	h.check(errors.Is(err, raft.ErrCorrupt) && k.Damaged() && stored.Base.Index > newest.Last.Index,
		"I28 recovery is a prefix", "m%d: core.New: %v", h.Index, err)
	h.Note("refuses", uint64(stored.Base.Index), uint64(newest.Last.Index))
	h.Report.Snapshots.Refused++
	k.refused = true
	k.disk.FS.Kill()
	k.disk.store, k.Files = nil, nil
}
