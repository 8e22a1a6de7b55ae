package fsm

import (
	"errors"
	"fmt"

	"github.com/jraft-go/jraft/raft"
)

// Cut is the state of one moment between two Applies, pinned.
type Cut struct {
	Last          raft.LogID         // the last entry that was applied
	Configuration raft.Configuration // as of that entry
	Bytes         int64              // see [Applier.AppliedBytes]
	Saver         Saver              // to be released by whoever got the cut
}

// Restoration is a snapshot to restore the state machine from.
type Restoration struct {
	Reader SnapshotReader
	// Done is called once, from the applying goroutine, when the reader is not needed any more: after
	// the state machine's Restore, or instead of it.
	Done func()
}

// Pin has the state machine pin its state. An error of its Snapshot is returned, and that is all; a
// panic is final, like one in Apply. While a backup is being staged the error is a [*Restoring].
func (a *Applier) Pin() (cut Cut, err error) {
	switch {
	case a.fault != nil:
		return Cut{}, fmt.Errorf("%w: %w", raft.ErrFailed, a.fault)
	case a.applied.Index == 0:
		return Cut{}, errors.New("nothing is applied yet")
	case a.staging.backup != nil:
		restoring := a.staging.Restoring
		return Cut{}, &restoring
	}
	finished := false
	a.at = a.applied.Index
	defer func() {
		if a.catch(finished, recover()); a.fault != nil {
			err = fmt.Errorf("%w: %w", raft.ErrFailed, a.fault)
		}
	}()
	saver, err := a.machine.Snapshot()
	finished = true
	switch {
	case err != nil:
		return Cut{}, fmt.Errorf("fsm: state machine can't be pinned at index %d: %w", a.at, err)
	case saver == nil:
		return Cut{}, errors.New("fsm: the state machine's Snapshot returned neither Saver nor error")
	}
	return Cut{a.applied, a.members.Clone(), a.bytes, saver}, nil
}

// Restore replaces the state by that of a snapshot, which must be of later than what was applied. A
// failure is final.
func (a *Applier) Restore(r SnapshotReader) (err error) {
	meta := r.Meta()
	if a.fault == nil && meta.Last.Index <= a.applied.Index {
		a.fault = fmt.Errorf("fsm: got snapshot %v to restore after entry %d", meta.Last, a.applied.Index)
	}
	if a.fault != nil {
		return a.fault
	}
	finished := false
	a.at = meta.Last.Index
	defer func() { a.catch(finished, recover()); err = a.fault }()
	if err := a.machine.Restore(r); err != nil {
		a.fault = fmt.Errorf("fsm: state machine failed to restore snapshot %v: %w", meta.Last, err)
		finished = true
		return a.fault
	}
	a.discard()
	a.history.jump(a.applied.Index+1, meta.Last)
	a.applied = meta.Last
	a.configure(meta.Configuration.Clone())
	finished = true
	if a.Progress != nil {
		a.Progress(meta.Last.Index)
	}
	return nil
}
