package node

import (
	"context"

	"github.com/jraft-go/jraft/raft"
)

// ResetOption changes how [Node.ResetPeers] and [Recover] go about it.
type ResetOption func(*resetOptions)

type resetOptions struct{ dryRun, force bool }

// DryRun checks everything and changes nothing.
func DryRun() ResetOption { return func(o *resetOptions) { o.dryRun = true } }

// Force does not wait to see whether there is a leader.
func Force() ResetOption { return func(o *resetOptions) { o.force = true } }

// ResetPeers makes voters the members, for a group that has lost its quorum for good.
func (n *Node) ResetPeers(ctx context.Context, voters []raft.Peer, opts ...ResetOption) error {
	return n.wrap("reset peers", raft.NotAppended, ctx.Err())
}

// Recover is [Node.ResetPeers] for a member that does not run.
func Recover(dir string, voters []raft.Peer, opts ...ResetOption) (raft.Configuration, error) {
	return raft.Configuration{}, nil
}
