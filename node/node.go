package node

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/await"
	"github.com/jraft-go/jraft/internal/edge"
	"github.com/jraft-go/jraft/internal/keeper"
	"github.com/jraft-go/jraft/internal/petition"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// Node is one running member of one group. All methods may be called from several goroutines. It
// corresponds to com.alipay.sofa.jraft.core.NodeImpl.
type Node struct {
	opts                     Options
	log                      *slog.Logger
	store                    logmanager.Store
	closeLog, closeSnapshots func() error // nil: not ours to close
	snapshots                snapshot.Store
	epoch                    time.Time // what now counts from
	maxPending               int64     // bytes, see Options.maxPendingFrames

	inbox     inbox
	writer    edge.Writer
	reader    edge.Reader
	applier   *fsm.Loop
	keeper    *keeper.Keeper
	desk      *petition.Desk
	asker     petition.Asker
	callbacks callbacks

	waiters   sync.Pool
	pending   atomic.Int64 // see pendingOne
	readCalls sync.Pool
	reading   atomic.Int64 // callers in await
	dropped   atomic.Uint64

	applied await.Applied
	leader  await.Leader
	status  atomic.Pointer[Status]

	endOnce sync.Once
	ending  chan struct{}   // closed first: the goroutines end
	life    context.Context // ends then, too
	cancel  context.CancelCauseFunc
	fault   error         // why; nil: it was stopped. Set before ending is closed
	done    chan struct{} // closed when every pending call is completed
	closed  chan struct{} // closed when everything has ended
}

// handler keeps Receive out of Node's public methods.
type handler struct{ node *Node }

// Receive implements transport.Handler.
func (h handler) Receive(msgs []raft.Message) {
	if dropped := h.node.inbox.receive(msgs); dropped > 0 {
		h.node.dropped.Add(uint64(dropped))
	}
}

// Serve implements transport.Server.
func (h handler) Serve(ctx context.Context, _ raft.PeerID, request []byte) ([]byte, error) {
	if petition.IsRequest(request) {
		return h.node.desk.Serve(ctx, request)
	}
	return h.node.keeper.Serve(ctx, request)
}

// Release implements transport.Releaser.
func (h handler) Release(reply []byte) {
	if !petition.IsReply(reply) {
		h.node.keeper.Release(reply)
	}
}

// StreamBroken implements transport.BreakWatcher.
func (h handler) StreamBroken(from raft.PeerID) { h.node.inbox.broken(from) }

// wrap makes the error of a call. It names the leader only where that is somebody else to ask.
func (n *Node) wrap(op string, o raft.Outcome, cause error) error {
	leader := n.leader.Known()
	if leader.ID == n.opts.ID {
		leader = raft.Peer{}
	}
	return &raft.Error{Op: op, Group: n.opts.Group, Outcome: o, Leader: leader, Err: cause}
}

// WaitLeader waits until this member knows a leader and returns it.
func (n *Node) WaitLeader(ctx context.Context) (raft.Peer, error) {
	p, err := n.awaitLeader(ctx)
	if err != nil {
		return raft.Peer{}, n.wrap("wait", raft.NotAppended, err)
	}
	return p, nil
}

func (n *Node) awaitLeader(ctx context.Context) (raft.Peer, error) {
	if err := n.ended(); err != nil {
		return raft.Peer{}, err
	}
	p, err := n.leader.Await(ctx, n.ending)
	if err == nil && p.ID == "" {
		err = n.ended()
	}
	return p, err
}
