package node

import (
	"context"

	"github.com/jraft-go/jraft/raft"
)

// Result is what became of a command.
type Result struct {
	Index raft.Index // where it stands in the log
	Term  raft.Term
	Value any // what this member's state machine returned for it
}

// ApplyOption changes how one command is proposed.
type ApplyOption func(*applyOptions)

type applyOptions struct {
	expectTerm raft.Term
	noForward  bool
}

// ExpectTerm makes the command be refused, with [raft.ErrTermChanged], in every term but t: what was decided on
// the strength of a leadership is not carried out under another.
func ExpectTerm(t raft.Term) ApplyOption { return func(a *applyOptions) { a.expectTerm = t } }

// NoForward makes a member that is not the leader refuse the command with [raft.ErrNotLeader], which names the
// leader where one is known, instead of forwarding it.
func NoForward() ApplyOption { return func(a *applyOptions) { a.noForward = true } }

// Apply replicates a command and returns once this member's state machine has applied it. It may be called on
// any member: those that do not lead forward it. The command is copied. Errors are [*raft.Error], and
// [raft.OutcomeOf] tells whether the command may be retried; a ctx that ends leaves the outcome unknown, because
// what is on its way into the log can't be taken back.
//
// Apply must not be called from within the state machine, which it would wait for; Submit may.
func (n *Node) Apply(ctx context.Context, cmd []byte, opts ...ApplyOption) (Result, error) {
	return Result{}, nil
}

// Submit is Apply without a goroutine that waits: done is called exactly once, with what Apply would return. It
// is called from a goroutine of the member, or from within Submit where the command is refused at
// once, so it must not block; calling Submit from it is fine. Cmd is copied before Submit returns.
func (n *Node) Submit(cmd []byte, done func(Result, error), opts ...ApplyOption) {}
