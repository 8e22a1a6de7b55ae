package fsm

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/jraft-go/jraft/raft"
)

// Work is what an applier is given to do. Entries, Waiters, Late and Restore add up until they are
// done; of the other fields only the newest value counts.
type Work struct {
	Entries []raft.Entry // follow those given before
	Waiters []Waiter     // one for each entry, nil where nobody waits
	Restore *Restoration // to be restored after Entries; nil: nothing
	Late    []Late       // at or below the last of all entries given so far
	Leads   raft.Term    // the term that this member leads; 0: none
	Cause   error        // why it leads no longer
	Keep    bool         // see [Applier.KeepResults]

	kept     bool // Keep was on when some of the entries were given
	restores []restore
}

// restore is a snapshot that takes its turn among entries.
type restore struct {
	after int // so many of the entries
	Restoration
}

// Late is a waiter for an entry that was given before: see [Applier.Answer].
type Late struct {
	At     raft.LogID
	Waiter Waiter
}

// Loop runs an [Applier] in a goroutine of its own. Its queue is bounded by the giver, who must not
// give more entries than it is ready to have applied at a time.
type Loop struct {
	applier *Applier
	report  func()
	failed  func(error)

	given    int // of the entries of the work at hand: those that the applier has been given
	restored int // of the snapshots of the work at hand
	answered int // of the late waiters of the work at hand

	// told counts the waiters that were told, in the order in which they were given; noneLeft once
	// Stop took those that are left. Invariant: whoever raises it has the right to tell the next
	// waiter, or all of them, and nobody else ever touches those. So the applying goroutine needs no
	// lock for it, and a state machine that hangs keeps nobody waiting.
	told    atomic.Uint64
	claimed uint64 // of the applying goroutine: what told is unless Stop has changed it

	mu     sync.Mutex
	queue  Work
	pin    func(Cut, error) // nil: nobody wants a cut
	hand   Work             // what the applying goroutine is at work on
	before uint64           // what told was when it began with that
	wake   chan struct{}
	halt   atomic.Bool
	cause  error // why it was stopped; set before stop is closed
	stop   chan struct{}
	ended  chan struct{}
	closed sync.Once
}

const noneLeft = ^uint64(0)

// StartLoop starts the goroutine. Report is called when a stretch of work is done, failed with the
// fault of the state machine, once; both from the applying goroutine. Neither may block.
func StartLoop(a *Applier, report func(), failed func(error)) *Loop {
	l := &Loop{applier: a, report: report, failed: failed,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
	a.Halted = func() error {
		if l.halt.Load() {
			return l.cause
		}
		return nil
	}
	a.Claim = l.claim
	go l.run()
	return l
}

// Give hands work over; it takes copies of the slices' contents and never waits for the state
// machine.
func (l *Loop) Give(w *Work) {
	l.mu.Lock()
	q := &l.queue
	q.Entries = append(q.Entries, w.Entries...)
	q.Waiters = append(q.Waiters, w.Waiters...)
	q.Late = append(q.Late, w.Late...)
	if w.Restore != nil {
		q.restores = append(q.restores, restore{len(q.Entries), *w.Restore})
	}
	q.Leads, q.Keep, q.kept = w.Leads, w.Keep, q.kept || w.Keep
	if w.Cause != nil {
		q.Cause = w.Cause
	}
	l.mu.Unlock()
	l.call()
}

func (l *Loop) call() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Pin asks for a cut. Take gets it, from the applying goroutine, between two stretches of work; or
// never, if the loop ends before. One may be asked for at a time.
func (l *Loop) Pin(take func(Cut, error)) {
	l.mu.Lock()
	l.pin = take
	l.mu.Unlock()
	l.call()
}

// takePin gives whoever asked for it a cut.
func (l *Loop) takePin() {
	l.mu.Lock()
	take := l.pin
	l.pin = nil
	l.mu.Unlock()
	if take != nil && !l.halt.Load() {
		take(l.applier.Pin())
	}
}

// Stop ends the loop after the entry or batch that the state machine is at work on. It does not
// wait for that; see [Loop.Ended]. It returns all waiters that have not been told, those of that
// entry or batch too: they are the caller's to tell. The commands of the first list, which is in
// the order of the log, are committed. Nothing may be given afterwards.
func (l *Loop) Stop(cause error) (waiters []Waiter, late []Late) {
	l.closed.Do(func() {
		waiters, late = l.takeWaiters()
		l.cause = cause
		l.halt.Store(true)
		close(l.stop)
	})
	return waiters, late
}

// takeWaiters claims all waiters that have not been told. The lock keeps the applying goroutine
// from going on to other work meanwhile; it may try to tell somebody.
func (l *Loop) takeWaiters() (waiters []Waiter, late []Late) {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told.Swap(noneLeft) - l.before // of those at hand
	for _, w := range []*Work{&l.hand, &l.queue} {
		for _, one := range w.Waiters {
			if one == nil {
				continue
			}
			if told > 0 {
				told--
				continue
			}
			waiters = append(waiters, one)
		}
		n := min(told, uint64(len(w.Late)))
		told -= n
		late = append(late, w.Late[n:]...)
	}
	return waiters, late
}

// claim gives the applying goroutine the right to tell the next waiter.
func (l *Loop) claim() bool {
	if !l.told.CompareAndSwap(l.claimed, l.claimed+1) {
		return false
	}
	l.claimed++
	return true
}

// Ended is closed when the goroutine has ended.
func (l *Loop) Ended() <-chan struct{} { return l.ended }

func (l *Loop) run() {
	defer close(l.ended)
	var now Work
	finished := false
	defer func() {
		if r := recover(); !finished {
			l.abandon(&now, r)
		}
	}()
	reported := false
	for stopped := false; !stopped; {
		select {
		case <-l.wake:
		case <-l.stop:
			stopped = true
		}
		now = l.swap(now)
		l.do(&now)
		l.takePin()
		if fault := l.applier.fault; fault != nil && !reported {
			reported = true
			l.failed(fault)
		}
		l.report()
	}
	finished = true
	l.rest()
}

// abandon ends the loop after user code has ended the goroutine, or after a panic of our own.
func (l *Loop) abandon(now *Work, panicked any) {
	a := l.applier
	if a.fault == nil {
		a.fault = fmt.Errorf("fsm: panic in the applier: %v\n%s", panicked, debug.Stack())
	}
	l.failed(a.fault)
	l.apply(now) // refuses all that are left
	l.answer(now)
	l.rest()
}

// rest passes over what is left and ends leadership.
func (l *Loop) rest() {
	<-l.stop
	w := l.swap(Work{})
	w.Leads = l.applier.leads
	l.do(&w) // halted, and whoever waits is Stop's; a fault was reported before
	_ = l.applier.Lead(0, l.cause)
	l.applier.discard()
}

// swap takes the queued work and leaves the slices of the last one in its place.
func (l *Loop) swap(spare Work) Work {
	clear(spare.Entries)
	clear(spare.restores)
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(spare.Waiters) // with the lock, because the spare one is still at hand
	clear(spare.Late)
	w := l.queue
	l.hand, l.before = w, l.claimed
	l.queue = Work{Entries: spare.Entries[:0], Waiters: spare.Waiters[:0], Late: spare.Late[:0],
		restores: spare.restores[:0], Leads: w.Leads, Keep: w.Keep, kept: w.Keep}
	return w
}

func (l *Loop) do(w *Work) {
	a := l.applier
	l.given, l.restored, l.answered = 0, 0, 0
	_ = a.Lead(w.Leads, w.Cause) // the fault, if any, is final
	if w.kept {
		a.KeepResults(true)
	}
	l.apply(w)
	l.answer(w)
	a.KeepResults(w.Keep)
}

// apply does what is left of the entries and snapshots, in their order.
func (l *Loop) apply(w *Work) {
	for l.restored < len(w.restores) {
		r := &w.restores[l.restored]
		l.applyUpTo(w, r.after)
		l.restored++
		l.restore(r)
	}
	l.applyUpTo(w, len(w.Entries))
}

func (l *Loop) applyUpTo(w *Work, end int) {
	from := l.given
	l.given = end
	_ = l.applier.Apply(w.Entries[from:end], w.Waiters[from:end]) // the fault, if any, is final
}

func (l *Loop) restore(r *restore) {
	defer r.Done()
	if !l.applier.halted() {
		_ = l.applier.Restore(r.Reader) // likewise
	}
}

func (l *Loop) answer(w *Work) {
	for l.answered < len(w.Late) {
		late := w.Late[l.answered]
		l.answered++ // first, because user code may end the goroutine
		l.applier.Answer(late.At, late.Waiter)
	}
}
