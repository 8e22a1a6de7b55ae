package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/jraft-go/jraft/internal/await"
	"github.com/jraft-go/jraft/raft"
)

// ReadMode says what a read may rest on.
type ReadMode uint8

const (
	// ReadIndex is linearizable: the leader proves by a round of heartbeats that it still leads
	// (thesis §6.4).
	ReadIndex ReadMode = iota
	// Stale reads what this member has applied, without asking anybody: it may be arbitrarily old.
	Stale
)

// ReadOption changes how one read is done.
type ReadOption func(*readOptions)

type readOptions struct {
	mode    ReadMode
	atLeast raft.Index
}

// Mode chooses what the read rests on; default [ReadIndex].
func Mode(m ReadMode) ReadOption { return func(r *readOptions) { r.mode = m } }

// AtLeast makes the read wait until index i is applied here, e.g. Result.Index of a write that it
// must see.
func AtLeast(i raft.Index) ReadOption { return func(r *readOptions) { r.atLeast = i } }

// Read returns once the local state machine may be read, with the index that it has applied at
// least. With [ReadIndex] what is read then includes every command that completed anywhere before
// Read was called. It may be called on any member. While no leader is known it waits for one until
// ctx ends.
func (n *Node) Read(ctx context.Context, opts ...ReadOption) (raft.Index, error) {
	o := collect(opts)
	err := ctx.Err()
	if o.mode > Stale {
		err = fmt.Errorf("node: there is no ReadMode %d", o.mode)
	}
	if err != nil {
		return 0, n.wrap("read", raft.NotAppended, err)
	}
	if applied := n.applied.Index(); o.mode == Stale && o.atLeast <= applied {
		if err := n.ended(); err != nil {
			return 0, n.wrap("read", raft.NotAppended, err)
		}
		return applied, nil
	}
	for {
		i, err := n.await(ctx, o.atLeast, o.mode == ReadIndex)
		if err == nil {
			return i, nil
		}
		// A read that no leader has confirmed has no effect: it is asked again of the next leader.
		if errors.Is(err, raft.ErrNoLeader) || errors.Is(err, raft.ErrLeadershipLost) {
			if _, err = n.awaitLeader(ctx); err == nil {
				continue
			}
			err = fmt.Errorf("%w: %w", raft.ErrNoLeader, err)
		}
		return 0, n.wrap("read", raft.NotAppended, err)
	}
}

// WaitApplied waits until this member's state machine has applied index i.
func (n *Node) WaitApplied(ctx context.Context, i raft.Index) error {
	if i <= n.applied.Index() {
		return nil
	}
	if _, err := n.await(ctx, i, false); err != nil {
		return n.wrap("wait", raft.NotAppended, err)
	}
	return nil
}

// maxPendingReads bounds the callers that wait.
const maxPendingReads = 1 << 16

// await waits until an index is applied here: until or, if confirmed is wanted, what the leader
// names if that is higher.
func (n *Node) await(ctx context.Context, until raft.Index, confirmed bool) (raft.Index, error) {
	defer n.reading.Add(-1)
	if n.reading.Add(1) > maxPendingReads {
		return 0, raft.ErrBusy
	}
	r, ok := n.readCalls.Get().(*await.Read)
	if !ok {
		r = await.NewRead()
	}
	r.Until, r.Err = until, nil
	var err error
	if confirmed {
		err = n.inbox.read(r)
	} else {
		err = n.applied.Add(r)
	}
	if err != nil {
		return 0, err
	}
	if err := r.Wait(ctx); err != nil {
		n.applied.Forget(r)
		return 0, err
	}
	until, err = r.Until, r.Err
	r.Reset()
	n.readCalls.Put(r)
	return until, err
}

// Query runs f once the local state machine may be read (see [Node.Read]) and returns its result.
// The state machine goes on applying meanwhile, so f must take the state machine's own lock.
func Query[T any](
	ctx context.Context, n *Node, f func() (T, error), opts ...ReadOption,
) (T, error) {
	if _, err := n.Read(ctx, opts...); err != nil {
		var zero T
		return zero, err
	}
	return f()
}
