package fsm

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/jraft-go/jraft/raft"
)

// Waiter is told what became of one command, exactly once: by the applier, or by whoever got it
// back from [Loop.Stop].
type Waiter interface {
	// Applied gives the command's place in the log and what the state machine returned, or an error: a
	// [*raft.Error] whose Group and Leader the receiver may fill in. It is called from the applying
	// goroutine and must not block.
	Applied(at raft.LogID, value any, err error)
}

const (
	batchCommands = 1024    // given to one ApplyBatch
	batchBytes    = 1 << 20 // of commands given to one ApplyBatch; a larger command goes alone
)

// Applier feeds committed entries to a state machine in log order, each once. It is the plain
// function that [Loop] runs in a goroutine, and belongs to one goroutine. It corresponds to
// com.alipay.sofa.jraft.core.FSMCallerImpl.
type Applier struct {
	machine StateMachine
	batcher BatchApplier         // nil: the state machine has no ApplyBatch
	leader  LeaderWatcher        // nil: not wanted
	watcher ConfigurationWatcher // nil: not wanted

	// Progress, if set, is called after every entry or batch, before the waiters are told.
	Progress func(applied raft.Index)
	// Halted, if set, is asked before every entry or batch; once it gives a reason nothing more is
	// applied.
	Halted func() error
	// Claim, if set, is asked before each waiter is told; false: somebody else tells it.
	Claim func() bool
	// Stage makes room for a backup that comes with entries; without it such entries fail the member.
	Stage func() (Staged, error)

	applied raft.LogID
	members raft.Configuration // as of applied
	bytes   int64              // of the frames of all entries applied since the start
	done    int                // entries of this Apply that were applied
	at      raft.Index         // the entry that user code is at work on, for the report of a failure
	fault   error              // final: nothing is applied any more
	batch   Batch
	history history
	staging staging

	leads   raft.Term // the term that this member leads; 0: none
	started raft.Term // the term of the last OnLeaderStart without OnLeaderStop; 0: none
}

// NewApplier returns an applier for a state machine whose state is that of index applied.
func NewApplier(m StateMachine, applied raft.Index) *Applier {
	a := &Applier{machine: m, applied: raft.LogID{Index: applied}}
	a.batcher, _ = m.(BatchApplier)
	a.leader, _ = m.(LeaderWatcher)
	a.watcher, _ = m.(ConfigurationWatcher)
	return a
}

// Applied returns the index of the last entry that was applied.
func (a *Applier) Applied() raft.Index { return a.applied.Index }

// AppliedBytes returns the size of the frames of all entries that were applied since the start.
func (a *Applier) AppliedBytes() int64 { return a.bytes }

// Apply applies entries, which must follow those applied so far without a gap; waiters[i], nil
// where nobody waits, is told the result of entries[i]. After a failure in the state machine, which
// it returns then and ever after, the entry that failed and all later ones count as not applied,
// and whoever waits for one learns that it is committed all the same. Neither slice is kept.
func (a *Applier) Apply(entries []raft.Entry, waiters []Waiter) error {
	a.done = 0
	defer func() { // deferred, because user code may end the goroutine
		for i := a.done; i < len(entries); i++ {
			if waiters[i] != nil {
				a.tell(waiters[i], entries[i].ID(), nil, a.refusal())
			}
		}
	}()
	for a.done < len(entries) && a.fault == nil && !a.halted() {
		if a.batcher != nil && entries[a.done].Kind == raft.EntryCommand {
			a.applyBatch(entries[a.done:], waiters[a.done:])
		} else {
			a.applySingly(entries[a.done:], waiters[a.done:])
		}
	}
	return a.fault
}

func (a *Applier) halted() bool { return a.Halted != nil && a.Halted() != nil }

// refusal tells why a committed command was not applied here.
func (a *Applier) refusal() error {
	var err error
	if a.fault != nil {
		err = fmt.Errorf("%w: the command is committed; this member's state machine failed on it "+
			"or on an earlier one: %w", raft.ErrFailed, a.fault)
	} else {
		err = fmt.Errorf("the command is committed, but not applied by this member: %w", a.Halted())
	}
	return &raft.Error{Op: "apply", Outcome: raft.Committed, Err: err}
}

// applySingly applies entries one by one, up to the first that belongs in a batch.
func (a *Applier) applySingly(entries []raft.Entry, waiters []Waiter) {
	finished := false
	defer func() { a.catch(finished, recover()) }()
	for i := range entries {
		e := &entries[i]
		if i > 0 && (a.halted() || a.batcher != nil && e.Kind == raft.EntryCommand) {
			break
		}
		if !a.follows(e) {
			break
		}
		value, ok := a.one(e)
		if !ok {
			break
		}
		a.advance(e, value, waiters[i])
	}
	finished = true
}

// one hands over a single entry; false: the member has failed.
func (a *Applier) one(e *raft.Entry) (value any, ok bool) {
	switch {
	case e.Kind == raft.EntryCommand:
		return a.machine.Apply(*e), true
	case e.Kind == raft.EntryConfiguration:
		c, err := raft.DecodeConfiguration(e.Index, e.Data)
		if err != nil {
			a.fault = fmt.Errorf("fsm: %w", err)
			return nil, false
		}
		a.configure(c)
	case e.Kind == raft.EntryRestore:
		return a.stage(e)
	}
	return nil, true
}

// configure makes c the configuration of the state.
func (a *Applier) configure(c raft.Configuration) {
	a.members = c
	if a.watcher != nil {
		a.watcher.OnConfiguration(c.Clone())
	}
}

// applyBatch applies the commands at the head of entries as one batch.
func (a *Applier) applyBatch(entries []raft.Entry, waiters []Waiter) {
	finished := false
	defer func() { a.catch(finished, recover()) }()
	size, bytes := 0, 0
	for size < len(entries) && size < batchCommands && entries[size].Kind == raft.EntryCommand {
		bytes += len(entries[size].Data)
		if size > 0 && bytes > batchBytes {
			break
		}
		if entries[size].Index != entries[0].Index+raft.Index(size) {
			break // the next call finds the gap
		}
		size++
	}
	if finished = !a.follows(&entries[0]); finished {
		return
	}
	for len(a.batch.results) < size {
		a.batch.results = append(a.batch.results, nil)
	}
	clear(a.batch.results)
	a.batch.Entries = entries[:size:size]
	err := a.batcher.ApplyBatch(&a.batch)
	a.batch.Entries = nil
	finished = true
	if err != nil {
		a.fault = fmt.Errorf("fsm: state machine failed on the batch of %d commands from index %d on: %w",
			size, a.at, err)
		return
	}
	for i := range size {
		a.advance(&entries[i], a.batch.results[i], waiters[i])
	}
}

// follows reports whether e is the next entry; if not, the member fails: to skip or repeat one
// would make its state differ from that of every other member.
func (a *Applier) follows(e *raft.Entry) bool {
	if a.at = e.Index; e.Index != a.applied.Index+1 {
		a.fault = fmt.Errorf("fsm: got entry %d to apply after entry %d", e.Index, a.applied.Index)
	}
	return a.fault == nil
}

// advance records that e was applied and tells its waiter.
func (a *Applier) advance(e *raft.Entry, value any, w Waiter) {
	a.applied = e.ID()
	a.bytes += int64(e.FrameBytes())
	a.done++
	a.history.add(e.ID(), value)
	if a.Progress != nil {
		a.Progress(e.Index)
	}
	if w != nil {
		a.tell(w, e.ID(), value, nil)
	}
	if e.Term == a.leads && a.started != a.leads {
		a.startLeading()
	}
}

func (a *Applier) tell(w Waiter, at raft.LogID, value any, err error) {
	if a.Claim == nil || a.Claim() {
		w.Applied(at, value, err)
	}
}

// catch turns the end of user code other than by return into the member's fault.
func (a *Applier) catch(finished bool, panicked any) {
	if finished {
		return
	}
	cause, ok := panicked.(error)
	switch {
	case panicked == nil:
		cause = errors.New("it ended the applying goroutine (runtime.Goexit)")
	case !ok:
		cause = fmt.Errorf("%v", panicked)
	}
	a.fault = fmt.Errorf("fsm: panic in the state machine at index %d: %w\n%s",
		a.at, cause, debug.Stack())
}

// Answer tells a waiter that came late, after the entry at its place was applied, what became of
// its command. That happens when a command forwarded to the leader is applied here before the
// leader's answer arrives.
func (a *Applier) Answer(at raft.LogID, w Waiter) {
	value, known, term := a.history.lookup(at)
	fail := func(o raft.Outcome, err error) {
		a.tell(w, at, nil, &raft.Error{Op: "apply", Outcome: o, Err: err})
	}
	switch {
	case at.Index > a.applied.Index && a.fault != nil:
		fail(raft.Unknown, fmt.Errorf("%w: %w", raft.ErrFailed, a.fault))
	case at.Index > a.applied.Index:
		fail(raft.Unknown, raft.ErrStopped)
	case term != 0 && term != at.Term:
		fail(raft.NotAppended, raft.ErrLeadershipLost) // another entry is committed at that index (§5.4)
	case known:
		a.tell(w, at, value, nil)
	case term == at.Term:
		fail(raft.Committed, errors.New("the command was applied, but its result is no longer kept here"))
	default:
		fail(raft.Unknown, errors.New("the command's place in the log was passed too long ago, "+
			"or by a snapshot"))
	}
}

// KeepResults makes the applier remember the results of the last entries, for [Applier.Answer]. To
// be on from before a command is forwarded until its place is known.
func (a *Applier) KeepResults(on bool) { a.history.keep(on) }
