package node

import (
	"context"

	"github.com/jraft-go/jraft/raft"
)

// ReadMode says what a read may rest on.
type ReadMode uint8

const (
	// ReadIndex is linearizable: the leader proves by a round of heartbeats that it still leads (thesis §6.4).
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

// AtLeast makes the read wait until index i is applied here, e.g. Result.Index of a write that it must see.
func AtLeast(i raft.Index) ReadOption { return func(r *readOptions) { r.atLeast = i } }

// Read returns once the local state machine may be read, with the index that it has applied at least. With
// [ReadIndex] what is read then includes every command that completed anywhere before Read was called. It may
// be called on any member. While no leader is known it waits for one until ctx ends.
func (n *Node) Read(ctx context.Context, opts ...ReadOption) (raft.Index, error) { return 0, nil }

// Query runs f once the local state machine may be read (see [Node.Read]) and returns its result. The state
// machine goes on applying meanwhile, so f must take the state machine's own lock.
func Query[T any](
	ctx context.Context, n *Node, f func() (T, error), opts ...ReadOption,
) (T, error) {
	if _, err := n.Read(ctx, opts...); err != nil {
		var zero T
		return zero, err
	}
	return f()
}
