package node

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/jraft-go/jraft/internal/edge"
	"github.com/jraft-go/jraft/raft"
)

// Stop ends the member. A leader hands leadership on first, if there is another voter that may
// lead, for which it takes at most one election timeout, and no longer than until ctx ends,
// although none may answer. Then every pending call completes with [raft.ErrStopped], the store is
// closed if Start opened it, and the member is no longer registered with its transport, which is
// left open. It returns when all that is done or when ctx ends; then the rest goes on in the
// background. Stop may be called any number of times.
//
// No call waits for the state machine then: that of the command which it is at work on, and those
// behind it, fail with [raft.Committed] as their outcome. Stop itself does wait for the state
// machine to return from what it is at work on, so a call from within the state machine or from a
// function given to Submit needs a ctx that ends, or a goroutine of its own.
func (n *Node) Stop(ctx context.Context) error {
	n.handOver(ctx)
	n.end(nil)
	select {
	case <-n.closed:
		return nil
	case <-ctx.Done():
		return n.wrap("stop", raft.NotAppended, ctx.Err())
	}
}

// Done is closed when the member serves no longer, after Stop or a failure: every pending call is
// completed by then, whatever the state machine and the disk do, though goroutines may still be on
// their way out, and functions given to Submit about to be called. Stop waits for those too.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err tells why the member has failed: nil while it runs and after Stop.
func (n *Node) Err() error {
	select {
	case <-n.ending:
		return n.fault
	default:
		return nil
	}
}

// end makes the member end, failed unless fault is nil. The first call counts.
func (n *Node) end(fault error) {
	n.endOnce.Do(func() {
		n.fault = fault
		close(n.ending)
		n.cancel(n.ended())
	})
}

// ended tells what calls fail with, nil while the member runs.
func (n *Node) ended() error {
	select {
	case <-n.ending:
	default:
		return nil
	}
	if n.fault == nil {
		return raft.ErrStopped
	}
	return fmt.Errorf("%w: %w", raft.ErrFailed, n.fault)
}

// catch makes a panic in a goroutine of the member the member's fault. To be deferred.
func (n *Node) catch(who string) {
	r := recover()
	if r == nil {
		return
	}
	err, ok := r.(error)
	if !ok {
		err = fmt.Errorf("%v", r)
	}
	n.end(fmt.Errorf("node: panic in the %s: %w\n%s", who, err, debug.Stack()))
}

// shutdown is the end of the loop's goroutine. It completes whoever waits before it waits for
// anybody: a disk or a state machine that hangs must not keep them.
func (l *loop) shutdown() {
	l.end(edge.ErrEnded)
	cause := l.ended()
	l.inbox.close(cause)
	waiters, late := l.applier.Stop(cause)
	l.applying.Waiters = append(waiters, l.applying.Waiters...)
	l.applying.Late = append(late, l.applying.Late...)
	l.drain(cause)
	l.leader.Set(raft.Peer{})
	l.publishEnd()
	l.opts.Transport.Unregister(l.opts.Group)
	if l.fault != nil {
		l.log.Error("raft: member has failed", "term", uint64(l.status.Load().Term), "cause", l.fault)
	} else {
		l.log.Info("raft: member has stopped")
	}
	close(l.done)
	<-l.writer.Ended()
	<-l.reader.Ended()
	<-l.applier.Ended()
	l.keeper.Wait()
	<-l.callbacks.drained()
	if err := l.closeStores(); err != nil {
		l.log.Error("raft: close the log and the snapshots", "error", err)
	}
	close(l.closed)
}

// drain completes everybody, and closes what nobody needs any more.
func (l *loop) drain(cause error) {
	if r := l.applying.Restore; r != nil { // not given before the loop failed
		r.Done()
	}
	for _, w := range l.applying.Waiters { // the applier's, or not given before the loop failed
		if w, ok := w.(*waiter); ok {
			l.refuse(w, raft.Committed, cause)
		}
	}
	for _, late := range l.applying.Late {
		l.refuse(late.Waiter.(*waiter), raft.Unknown, cause)
	}
	for _, w := range l.placed.Drain() {
		l.refuse(w, raft.Unknown, cause)
	}
	for _, w := range l.unplaced.Drain() {
		l.refuse(w, raft.Unknown, cause)
	}
	reads := l.reads.Drain()
	for more := true; more; { // what the loop has taken, and then what is in the inbox
		for _, w := range l.work.proposals {
			l.refuse(w, raft.NotAppended, cause)
		}
		reads = append(reads, l.work.reads...)
		for i := range l.work.pulled {
			l.keepReader(&l.work.pulled[i])
		}
		l.drainPetitions(cause)
		l.inbox.take(&l.work)
		w := &l.work
		more = len(w.proposals)+len(w.reads)+len(w.pulled)+len(w.petitions)+len(w.resets) > 0
	}
	l.closeReaders()
	for _, r := range reads {
		r.Err = cause
		r.Complete()
	}
	l.applied.Close(cause)
}
