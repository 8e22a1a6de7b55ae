package await

import (
	"sync"
	"sync/atomic"

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
