package grpctransport

import (
	"context"
	"net"
	"net/url"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/jraft-go/jraft/raft"
)

// peer is what there is for one peer address.
type peer struct {
	t        *Transport
	addr     string
	control  *lane
	bulk     *lane
	calls    *calls
	counters counters
	warned   sync.Once // of a message that is too large
}

func newPeer(t *Transport, addr string) *peer {
	p := &peer{t: t, addr: addr}
	o := &t.o
	p.control = &lane{t: t, peer: p, name: laneControl, silence: o.times.silence,
		queue: newQueue(controlQueueBytes), again: make(chan struct{}, 1)}
	p.bulk = &lane{t: t, peer: p, name: laneBulk, silence: o.times.bulkSilence,
		queue: newQueue(o.queueBytes), again: make(chan struct{}, 1)}
	p.calls = &calls{peer: p}
	return p
}

// dial returns a new connection to the peer. More options come before the application's.
func (p *peer) dial(more ...grpc.DialOption) (*grpc.ClientConn, error) {
	o := &p.t.o
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(p.t.clientCredentials),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return o.dialer(ctx, p.addr)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: o.times.backoffMin, Multiplier: 2,
				MaxDelay: o.times.backoffMax},
			MinConnectTimeout: o.times.connect,
		}),
		grpc.WithDisableRetry(), // it would keep copies of what was sent
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
	}
	// The dialer gets the address as it is; escaping keeps it from being read as part of a URL.
	target := "passthrough:///" + url.PathEscape(p.addr)
	return grpc.NewClient(target, append(append(opts, more...), o.dialOptions...)...)
}

func (p *peer) send(msgs []raft.Message) {
	p.control.send(msgs, false)
	p.bulk.send(msgs, true)
}

// lost ends a session that gets no answers. Silence on the control stream, where nothing large is
// in the way, ends the bulk stream and fetches as well, which would notice much later.
func (p *peer) lost(l *lane, cause error) {
	l.end(cause)
	if l == p.control {
		p.bulk.end(cause)
		p.calls.end(cause)
	}
}

// back tries to reach the peer at once, which may have been started anew, where the last attempt
// failed.
func (p *peer) back() {
	p.control.retry()
	p.bulk.retry()
	p.calls.retry()
}

func (p *peer) tooLarge(m *raft.Message, bytes int) {
	p.counters.dropped.Add(1)
	p.counters.tooLarge.Add(1)
	p.warned.Do(func() {
		p.t.o.logger.Error("dropped a message larger than WithMaxMessageBytes; raise it everywhere",
			"addr", p.addr, "group", m.Group, "to", m.To, "bytes", bytes, "limit", p.t.o.maxMessageBytes)
	})
}

// idle reports whether forgetting the peer loses nothing but its counters.
func (p *peer) idle() bool {
	for _, l := range []*lane{p.control, p.bulk} {
		l.mu.Lock()
		running := l.running
		l.mu.Unlock()
		if running {
			return false
		}
	}
	return !p.calls.open()
}

// peer returns what there is for an address, made when new; nil when there are too many busy peers.
func (t *Transport) peer(addr string) *peer {
	if p, ok := t.peers.Load(addr); ok {
		return p.(*peer)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.peers.Load(addr); ok {
		return p.(*peer)
	}
	if t.peerCount >= maxPeers {
		t.peers.Range(func(addr, p any) bool {
			if p.(*peer).idle() {
				t.peers.Delete(addr)
				t.peerCount--
			}
			return true
		})
	}
	if t.peerCount >= maxPeers {
		return nil
	}
	p := newPeer(t, addr)
	t.peers.Store(addr, p)
	t.peerCount++
	return p
}
