package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/keeper"
	"github.com/jraft-go/jraft/raft"
)

// ResetOption changes how [Node.ResetPeers] and [Recover] go about it.
type ResetOption func(*resetOptions)

type resetOptions struct{ dryRun, force bool }

// DryRun checks everything and changes nothing.
func DryRun() ResetOption { return func(o *resetOptions) { o.dryRun = true } }

// Force does not wait to see whether there is a leader. A member that hears one refuses all the
// same: stop that leader first.
func Force() ResetOption { return func(o *resetOptions) { o.force = true } }

// resetCall is one caller of ResetPeers.
type resetCall struct {
	voters []raft.Peer // none: only to see how things are
	until  raft.Index  // what must be durable
	done   chan struct{}

	// Of these, status is what was before. They may be read once done is closed.
	status  core.Status
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
	r.status = l.core.Status()
	if len(r.voters) == 0 {
		r.finish(raft.NotAppended, nil)
		return
	}
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

// ResetPeers makes voters the members of the group, without asking anybody. It is for a group that
// has lost its quorum for good, and UNSAFE: what was committed and is not in this member's log is
// lost, and if other members can still form a quorum the group splits in two. Call it on one
// survivor, the one with the longest log, which must be among voters and may lead: others follow.
// Read docs/OPERATIONS.md first. It corresponds to com.alipay.sofa.jraft.Node.resetPeers.
//
// It waits for two election timeouts to see whether there is a leader, and is refused with
// [raft.ErrQuorumAlive] while one is heard, or with [raft.ErrBadConfiguration]. On return the
// configuration is on this member's disk, and what was before in the file audit.log in Options.Dir.
// The log is only appended to. With [DryRun] it tells whether it would be refused.
func (n *Node) ResetPeers(ctx context.Context, voters []raft.Peer, opts ...ResetOption) error {
	o := collect(opts)
	next := raft.Configuration{Voters: slices.Clone(voters)}
	err := next.Validate()
	if p, voter := next.Peer(n.opts.ID); err == nil && (!voter || p.Priority == raft.NeverLeader) {
		err = fmt.Errorf("%s, on which the peers are reset, is not among those that may lead", n.opts.ID)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", raft.ErrBadConfiguration, err)
	} else if !o.force {
		err = n.leaderless(ctx)
	}
	if err != nil {
		return n.wrap("reset peers", raft.NotAppended, err)
	}
	look := &resetCall{done: make(chan struct{})}
	if _, err := n.resetNow(ctx, look); err != nil {
		return n.wrap("reset peers", raft.NotAppended, err)
	}
	s := &look.status
	next.Origin = s.Configuration.Origin
	if o.dryRun {
		n.log.Info("raft: the peers would be reset", "from", s.Configuration.String(),
			"to", next.String(), "last", s.Last.String())
		return nil
	}
	r := &resetCall{voters: next.Voters, done: make(chan struct{})}
	record := keeper.Audit{What: "reset peers", Term: s.Term, Before: s.Configuration, After: next,
		Last: s.Last}
	outcome := raft.NotAppended
	err = n.opts.home(n.log).Audited(record, func() (err error) {
		outcome, err = n.resetNow(ctx, r)
		return err
	})
	if err != nil {
		return n.wrap("reset peers", outcome, err)
	}
	n.log.Warn("raft: the peers were reset by hand", "from", s.Configuration.String(),
		"to", next.String(), "last", s.Last.String())
	return nil
}

func (n *Node) resetNow(ctx context.Context, r *resetCall) (raft.Outcome, error) {
	if err := n.inbox.reset(r); err != nil {
		return raft.NotAppended, err
	}
	select {
	case <-r.done:
		return r.outcome, r.err
	case <-ctx.Done():
		return raft.Unknown, ctx.Err()
	}
}

// leaderless returns nil once no leader has been known for two election timeouts. One that died
// before the call is missed within another two.
func (n *Node) leaderless(ctx context.Context) error {
	t := n.opts.ElectionTimeout
	leader, err := n.leader.AwaitNone(ctx, n.ending, 3*t, 2*t)
	if err == nil {
		err = n.ended()
	}
	if err == nil && leader.ID != "" {
		err = fmt.Errorf("%w: the leader is %s", raft.ErrQuorumAlive, leader.ID)
	}
	return err
}

// Recover is [Node.ResetPeers] for a member that does not run, whose data directory is dir, with
// the same warnings: the log there must hold one group, and be the longest of all survivors'. It
// keeps a copy of the log in a directory recover-<time> beside it, appends the configuration as a
// leader of a later term would, and records in audit.log in dir what it did. The member is then
// started as ever. It returns the new configuration; with [DryRun] what that would be, without
// having changed anything. [Force] makes no difference: nothing is waited for.
//
// Errors: that another process or member has dir, naming the holder; [raft.ErrBadConfiguration];
// [raft.ErrCorrupt]; fs.ErrNotExist where dir holds no log.
func Recover(dir string, voters []raft.Peer, opts ...ResetOption) (raft.Configuration, error) {
	o := collect(opts)
	next, err := keeper.Recover(dir, slices.Clone(voters), o.dryRun)
	if err != nil {
		return raft.Configuration{}, fmt.Errorf("node: recover: %w", err)
	}
	return next, nil
}
