package edge

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/register"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// save is a snapshot being taken: the state is pinned, and written step by step beside later
// applies.
type save struct {
	k     *Keeper
	cut   fsm.Cut
	state *register.Pinned
	w     snapshot.Writer
	meta  raft.SnapshotMeta
	steps []func() error
}

// Applied begins a snapshot if the policy wants one.
func (k *Keeper) Applied() {
	if k.next > 0 && k.Applier.Applied() >= k.next {
		k.Take()
	}
}

// Take begins a snapshot of what is applied, unless there is one or one is being taken.
func (k *Keeper) Take() {
	h := k.h
	newest, _ := k.Files.Newest()
	if k.save != nil || newest.Last.Index >= k.Applier.Applied() {
		return
	}
	cut, err := k.Applier.Pin()
	if h.Postponed(err) {
		return
	}
	h.check(err == nil, "I26 snapshot equivalence", "m%d: pin: %v", h.Index, err)
	s := &save{k: k, cut: cut, state: cut.Saver.(*register.Pinned)}
	if n := h.Swarm.Padding; n > 0 {
		s.state.Stream = append(s.state.Stream, make([]byte, n)...)
	}
	s.steps = []func() error{s.create, s.write(2), s.write(1)}
	for i := range s.state.Cells {
		s.steps = append(s.steps, func() error { return s.addFile(i) })
	}
	s.steps = append(s.steps, s.commit)
	k.save = s
	k.plan()
	h.Note("saves", uint64(cut.Last.Index))
	k.step(s.steps[0], s.next)
}

// next goes on after a step.
func (s *save) next(err error) {
	k, h := s.k, s.k.h
	if err != nil {
		h.check(Injected(err) || errors.Is(err, fs.ErrExist), "disk", "m%d: save: %v", h.Index, err)
		if s.w != nil {
			s.w.Abort()
		}
		k.save = nil
		return
	}
	if s.steps = s.steps[1:]; len(s.steps) > 0 {
		k.step(s.steps[0], s.next)
		return
	}
	k.save = nil
	h.Report.Snapshots.Saves++
	h.Note("saved", uint64(s.meta.Last.Index))
	h.History.Published(h.Member, s.meta)
	k.audit()
	h.After(k.draw.Wait(h.Swarm.SnapshotTime), func() { k.tell(s.meta) })
	k.tidy()
}

// Retell tells the core once more of the newest snapshot of its own, if there is one.
func (k *Keeper) Retell() {
	if k.saved.Last.Index > 0 {
		k.tell(k.saved)
	}
}

// tell tells the core of a snapshot of its own.
func (k *Keeper) tell(meta raft.SnapshotMeta) {
	if meta.Last.Index >= k.saved.Last.Index {
		k.saved = meta
	}
	k.h.Call(func(c *core.Core, now time.Duration) { c.Saved(now, meta) })
}

// The steps.

func (s *save) create() (err error) {
	s.w, err = s.k.Files.Create(s.cut.Last, s.cut.Configuration)
	return err
}

// write writes one of so many parts of what is left of the stream.
func (s *save) write(parts int) func() error {
	return func() error {
		n := len(s.state.Stream) / parts
		_, err := s.w.Write(s.state.Stream[:n])
		s.state.Stream = s.state.Stream[n:]
		return err
	}
}

// addFile adds a file of the state machine's own, and removes its own name of it.
func (s *save) addFile(i int) error {
	files := s.k.disk.FS
	name := fmt.Sprintf("cell-%d-%d", i, s.cut.Last.Index)
	if err := files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(register.AppendCell(nil, s.state.Cells[i]), 0)
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.w.AddFile(register.CellName(i), name)
	}
	return errors.Join(err, files.Remove(name))
}

func (s *save) commit() (err error) {
	s.meta, err = s.w.Commit()
	return err
}
