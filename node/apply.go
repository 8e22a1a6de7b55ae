package node

import (
	"context"
	"errors"
	"fmt"

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
	restore    bool // the command is a raft.RestoreChunk
}

// ExpectTerm makes the command be refused, with [raft.ErrTermChanged], in every term but t: what
// was decided on the strength of a leadership is not carried out under another.
func ExpectTerm(t raft.Term) ApplyOption { return func(a *applyOptions) { a.expectTerm = t } }

// NoForward makes a member that is not the leader refuse the command with [raft.ErrNotLeader],
// which names the leader where one is known, instead of forwarding it.
func NoForward() ApplyOption { return func(a *applyOptions) { a.noForward = true } }

// Apply replicates a command and returns once this member's state machine has applied it. It may be
// called on any member: those that do not lead forward it. While no leader is known it waits for
// one, and while leadership is being transferred for the end of that, unless with [NoForward]. Cmd
// may be changed afterwards.
//
// Errors are [*raft.Error], and [raft.OutcomeOf] tells whether
// the command may be retried; once it is under way a ctx that ends leaves the outcome unknown,
// because it can't be taken back.
//
// Apply must not be called from within the state machine, which it would wait for; Submit may.
func (n *Node) Apply(ctx context.Context, cmd []byte, opts ...ApplyOption) (Result, error) {
	o := collect(opts)
	for {
		leader := n.leader.Known()
		result, err := n.applyOnce(ctx, cmd, o)
		var ended error
		switch {
		case err == nil || o.noForward || raft.OutcomeOf(err) != raft.NotAppended:
			return result, err
		case errors.Is(err, raft.ErrNoLeader):
			_, ended = n.awaitLeader(ctx)
		case errors.Is(err, raft.ErrTransferring):
			// One that fails leaves no trace here, so it is asked after.
			ended = n.leader.AwaitOther(ctx, n.ending, leader, n.opts.HeartbeatInterval)
		default:
			return result, err
		}
		if ended != nil {
			return Result{}, n.wrap("apply", raft.NotAppended,
				fmt.Errorf("%w: %w", errors.Unwrap(err), ended))
		}
	}
}

// collect returns what the options of a call make together.
func collect[T any, F ~func(*T)](opts []F) T {
	if len(opts) == 0 {
		return *new(T) // the other way allocates
	}
	var o T
	for _, option := range opts {
		option(&o)
	}
	return o
}

func (n *Node) applyOnce(ctx context.Context, cmd []byte, o applyOptions) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, n.wrap("apply", raft.NotAppended, err)
	}
	if err := n.admit(len(cmd)); err != nil {
		return Result{}, n.wrap("apply", raft.NotAppended, err)
	}
	w := n.newWaiter(cmd, o)
	if err := n.inbox.propose(w); err != nil {
		n.pending.Add(-w.charge)
		n.recycle(w)
		return Result{}, n.wrap("apply", raft.NotAppended, err)
	}
	if err := w.Wait(ctx); err != nil {
		return Result{}, n.wrap("apply", raft.Unknown, err)
	}
	result, err := w.result, w.err
	n.recycle(w)
	return result, err
}

// Submit is Apply without a goroutine that waits: done is called exactly once, with what Apply
// would return. It is called from a goroutine of the member, and holds up others' results until it
// returns, so it must not block; calling Submit from it is fine. Without a known leader it is
// [raft.ErrNoLeader] at once, and [raft.ErrTransferring] while leadership is being transferred.
// Should tens of thousands of
// refusals wait to be reported, done is called from within Submit. Cmd is copied before Submit
// returns.
func (n *Node) Submit(cmd []byte, done func(Result, error), opts ...ApplyOption) {
	if done == nil {
		done = func(Result, error) {} // nobody wants to know
	}
	if err := n.admit(len(cmd)); err != nil {
		w := n.newWaiter(nil, applyOptions{})
		w.charge, w.done, w.err = 0, done, n.wrap("apply", raft.NotAppended, err)
		n.callbacks.add(n, w)
		return
	}
	w := n.newWaiter(cmd, collect(opts))
	w.done = done
	if err := n.inbox.propose(w); err != nil {
		n.refuse(w, raft.NotAppended, err)
	}
}

// Node.pending counts the commands that are accepted and not yet completed, and their bytes, in one
// number, so that a command is admitted with one addition.
const (
	pendingOne      = int64(1) << 43
	pendingCommands = pendingOne << 18
	pendingBytes    = pendingOne - 1
)

// admit counts a command in, or tells why there is no room for it.
func (n *Node) admit(bytes int) error {
	if bytes > n.opts.MaxCommandBytes {
		return fmt.Errorf("%w: the command has %d bytes, Options.MaxCommandBytes is %d",
			raft.ErrTooLarge, bytes, n.opts.MaxCommandBytes)
	}
	charge := pendingOne + int64(raft.FrameHead+bytes)
	now := n.pending.Add(charge)
	if now >= pendingCommands || now&pendingBytes > n.maxPending {
		n.pending.Add(-charge)
		return raft.ErrBusy
	}
	return nil
}
