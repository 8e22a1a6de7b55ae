package transport

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jraft-go/jraft/raft"
)

// Registry is the receiving half that transports share: it knows the members of this process and
// hands each the messages meant for it, after checking that they are. The zero value is ready to
// use. All methods may be called from several goroutines, but Unregister and Close not from within
// a handler's Receive or Serve.
type Registry struct {
	serves  atomic.Int32 // under way
	mu      sync.RWMutex
	closed  bool
	pinned  bool
	cluster string
	members map[raft.GroupID]*registration
}

type registration struct {
	member  Member
	handler Handler
	// Invariant: calls of handler hold running for reading; gone is set with it held for writing. So
	// whoever has set gone knows that no call is under way or to come.
	running sync.RWMutex
	gone    bool

	serving sync.WaitGroup  // calls of the handler's Serve; none begins once gone is set
	life    context.Context // of those calls
	kill    context.CancelFunc
}

// Pin fixes the cluster that members must belong to. Without it the first member registered fixes
// it. An error wraps [raft.ErrWrongCluster]: the registry is pinned to another cluster.
func (r *Registry) Pin(cluster string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pin(cluster)
}

func (r *Registry) pin(cluster string) error {
	if err := raft.ValidateCluster(cluster); err != nil {
		return err
	}
	if r.pinned && r.cluster != cluster {
		return fmt.Errorf("transport: %w: this transport serves cluster %q, not %q", raft.ErrWrongCluster,
			r.cluster, cluster)
	}
	r.pinned, r.cluster = true, cluster
	return nil
}

// Cluster returns the cluster that the registry is pinned to, and whether it is.
func (r *Registry) Cluster() (string, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.cluster, r.pinned
}

// Register is [Transport.Register].
func (r *Registry) Register(m Member, h Handler) error {
	if err := m.Group.Validate(); err != nil {
		return err
	}
	if err := m.ID.Validate(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("transport: register group %s: %w", m.Group, raft.ErrStopped)
	}
	if old, ok := r.members[m.Group]; ok {
		return fmt.Errorf("transport: group %s is registered already, by member %s", m.Group,
			old.member.ID)
	}
	if err := r.pin(m.Cluster); err != nil {
		return err
	}
	if r.members == nil {
		r.members = make(map[raft.GroupID]*registration)
	}
	reg := &registration{member: m, handler: h}
	reg.life, reg.kill = context.WithCancel(context.Background())
	r.members[m.Group] = reg
	return nil
}

// Unregister is [Transport.Unregister].
func (r *Registry) Unregister(group raft.GroupID) {
	r.mu.Lock()
	reg := r.members[group]
	delete(r.members, group)
	r.mu.Unlock()
	if reg != nil {
		reg.end()
	}
}

// Close unregisters every member and refuses new ones.
func (r *Registry) Close() {
	r.mu.Lock()
	members := r.members
	r.members, r.closed = nil, true
	r.mu.Unlock()
	for _, reg := range members {
		reg.end()
	}
}

// Deliver hands each run of messages that are for the same member to its handler, in order, and
// returns how many were refused because no member here is meant: another cluster, group or peer id.
func (r *Registry) Deliver(msgs []raft.Message) (refused int) {
	for len(msgs) > 0 {
		first := &msgs[0]
		n := 1
		for n < len(msgs) && destination(first) == destination(&msgs[n]) {
			n++
		}
		if !r.deliver(first, msgs[:n:n]) {
			refused += n
		}
		msgs = msgs[n:]
	}
	return refused
}

func (r *Registry) deliver(first *raft.Message, run []raft.Message) bool {
	r.mu.RLock()
	reg := r.members[first.Group]
	r.mu.RUnlock()
	if reg == nil || reg.member != destination(first) {
		return false
	}
	reg.running.RLock()
	defer reg.running.RUnlock()
	if reg.gone {
		return false
	}
	reg.handler.Receive(run)
	return true
}

// BreakWatcher is what a [Handler] may implement besides. StreamBroken says that the connection
// over which the peer's control messages came has ended: the peer's process may be gone, or it may
// connect again at once. It may be called for peers that are no members, and like Receive must not
// block.
type BreakWatcher interface{ StreamBroken(from raft.PeerID) }

// Broken tells every handler that is a [BreakWatcher] that the stream from a peer has ended.
func (r *Registry) Broken(from raft.PeerID) {
	r.mu.RLock()
	all := make([]*registration, 0, len(r.members))
	for _, reg := range r.members {
		all = append(all, reg)
	}
	r.mu.RUnlock()
	for _, reg := range all {
		if w, ok := reg.handler.(BreakWatcher); ok {
			reg.running.RLock()
			if !reg.gone {
				w.StreamBroken(from)
			}
			reg.running.RUnlock()
		}
	}
}

func destination(m *raft.Message) Member { return Member{m.Cluster, m.Group, m.To} }

func (reg *registration) end() {
	reg.running.Lock()
	reg.gone = true
	reg.running.Unlock()
	reg.kill()
	reg.serving.Wait()
}
