package node

import (
	"context"

	"github.com/jraft-go/jraft/raft"
)

// Node is one running member of one group. All methods may be called from several goroutines. It corresponds to
// com.alipay.sofa.jraft.core.NodeImpl.
type Node struct {
	opts Options
}

// Start runs a member. The same call serves first boot, restart and join: what the store holds decides, and only
// when it holds nothing are Options.Peers made the group's first configuration. It does not wait for a leader.
func Start(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Node{opts: o.withDefaults()}, nil
}

// Stop ends the member: every pending call completes with [raft.ErrStopped], the store is closed if Start opened
// it, and the member is no longer registered with its transport, which is left open. It returns when all
// that is done or when ctx ends, whatever comes first; in the latter case the rest goes on in the background.
// Stop may be called any number of times and from callbacks.
func (n *Node) Stop(ctx context.Context) error { return nil }

// Done is closed when the member no longer runs, after Stop or a failure.
func (n *Node) Done() <-chan struct{} { return nil }

// Err tells why the member has failed: nil while it runs and after Stop.
func (n *Node) Err() error { return nil }

// Status returns what the member last knew of itself and its group. It takes no lock and may be called as often as
// one likes; the copy can be some milliseconds old.
func (n *Node) Status() Status { return Status{} }

// WaitLeader waits until this member knows a leader and returns it.
func (n *Node) WaitLeader(ctx context.Context) (raft.Peer, error) { return raft.Peer{}, nil }

// WaitApplied waits until this member's state machine has applied index i.
func (n *Node) WaitApplied(ctx context.Context, i raft.Index) error { return nil }
