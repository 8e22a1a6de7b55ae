// Package await holds those that wait for a member: for a result, for a place in the log, for an
// index to be applied, for a leader. It knows nothing of what they wait with.
package await

import (
	"context"
	"sync/atomic"
)

// Call is one caller that waits for one answer. Whoever completes it and the caller whose ctx ends
// race for state; the one who comes second leaves the object to the other. So an answer is never
// lost, and an object is only used again by the caller that got its answer.
type Call struct {
	ready chan struct{} // capacity 1
	state atomic.Uint32
}

// NewCall returns a call that waits.
func NewCall() Call { return Call{ready: make(chan struct{}, 1)} }

const (
	callWaiting uint32 = iota
	callCompleted
	callAbandoned
)

// Wait returns nil once the call was completed, or ctx's error: then the answer will never be
// looked at.
func (c *Call) Wait(ctx context.Context) error {
	ended := ctx.Done()
	if ended == nil {
		<-c.ready
		return nil
	}
	select {
	case <-c.ready:
		return nil
	case <-ended:
	}
	if c.state.CompareAndSwap(callWaiting, callAbandoned) {
		return ctx.Err()
	}
	<-c.ready
	return nil
}

// Complete hands the answer, which was stored before, to the caller. The object is the caller's
// from here on.
func (c *Call) Complete() {
	if c.state.CompareAndSwap(callWaiting, callCompleted) {
		c.ready <- struct{}{}
	}
}

// Abandoned reports whether nobody waits any more.
func (c *Call) Abandoned() bool { return c.state.Load() == callAbandoned }

// Reset makes the object ready for another call.
func (c *Call) Reset() { c.state.Store(callWaiting) }
