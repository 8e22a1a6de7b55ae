package await

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Leader holds who leads, for those that wait for a leader or name it in an error.
type Leader struct {
	leader atomic.Pointer[raft.Peer] // never nil; a zero peer: not known

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

// Start comes before everything else: no leader is known.
func (l *Leader) Start() {
	l.leader.Store(&raft.Peer{})
	l.changed = make(chan struct{})
}

// Set makes p the leader; a zero peer: not known.
func (l *Leader) Set(p raft.Peer) {
	if *l.leader.Load() == p {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader.Store(&p)
	close(l.changed)
	l.changed = make(chan struct{})
}

// Known returns the leader.
func (l *Leader) Known() raft.Peer { return *l.leader.Load() }

// Get returns the leader, and a channel that is closed when there is another.
func (l *Leader) Get() (raft.Peer, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.leader.Load(), l.changed
}

// Await returns the leader as soon as one is known; a zero peer when ending is closed first.
func (l *Leader) Await(ctx context.Context, ending <-chan struct{}) (raft.Peer, error) {
	for {
		p, changed := l.Get()
		if p.ID != "" {
			return p, nil
		}
		select {
		case <-changed:
		case <-ending:
			return raft.Peer{}, nil
		case <-ctx.Done():
			return raft.Peer{}, ctx.Err()
		}
	}
}

// AwaitOther returns when another leads than old, or for d.
func (l *Leader) AwaitOther(
	ctx context.Context, ending <-chan struct{}, old raft.Peer, d time.Duration,
) error {
	p, changed := l.Get()
	if p != old {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ending:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// AwaitNone returns a zero peer once no leader was known for the time quiet, or the leader that is
// known after the time patience still or again.
func (l *Leader) AwaitNone(
	ctx context.Context, ending <-chan struct{}, patience, quiet time.Duration,
) (raft.Peer, error) {
	end := time.Now().Add(patience)
	for {
		p, changed := l.Get()
		wait := quiet
		if p.ID != "" {
			wait = max(time.Until(end), 0)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			return p, nil
		case <-changed:
			timer.Stop()
		case <-ending:
			timer.Stop()
			return raft.Peer{}, nil
		case <-ctx.Done():
			timer.Stop()
			return raft.Peer{}, ctx.Err()
		}
	}
}
