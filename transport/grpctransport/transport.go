package grpctransport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Transport is a [transport.Transport] over gRPC. All methods may be called from several
// goroutines.
type Transport struct {
	o                 options
	listener          net.Listener
	server            *grpc.Server
	health            *health.Server // nil where the application has its own
	clientCredentials credentials.TransportCredentials
	registry          transport.Registry
	peers             sync.Map // address to *peer
	senders           senders
	refused, dropped  atomic.Uint64
	badConnections    atomic.Uint64
	warnedConnection  sync.Once
	frames            framePool

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the transport

	mu             sync.Mutex
	closed         bool
	peerCount      int
	loggedRefusals map[codes.Code]bool
}

var (
	_ transport.Transport = (*Transport)(nil)
	_ transport.Sizer     = (*Transport)(nil)
)

// Listen starts a transport on a TCP address, host:port; port 0 picks a free one, which
// [Transport.Addr] tells. It serves the standard health service beside raft's.
//
// Peers are told Addr. A host that is missing or unspecified, as in ":7000" or "0.0.0.0:7000",
// listens on all interfaces and is no address that they can use: it needs [WithAdvertise]. Without
// it they still reach this process where the configuration of the group says so, but count it under
// another address and do not try again at once when it is back. That is logged as a warning.
func Listen(addr string, opts ...Option) (*Transport, error) {
	o := defaults()
	for _, opt := range opts {
		o.require(opt != nil, "Listen was given a nil Option")
		if opt != nil {
			opt(&o)
		}
	}
	return listen(addr, o)
}

func listen(addr string, o options) (*Transport, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	t := &Transport{o: o, server: o.server, loggedRefusals: make(map[codes.Code]bool)}
	if o.pinned {
		if err := t.registry.Pin(o.cluster); err != nil {
			return nil, err
		}
	}
	t.clientCredentials = insecure.NewCredentials()
	if o.clientTLS != nil {
		t.clientCredentials = credentials.NewTLS(o.clientTLS.Clone())
	}
	if o.server == nil {
		t.server = grpc.NewServer(t.serverOptions()...)
	}
	services := t.server.GetServiceInfo()
	if _, ok := services[serviceName]; ok {
		return nil,
			errors.New("grpctransport: this server carries a transport already; give each its own")
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("grpctransport: %w", err)
	}
	t.listener = listener
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.server.RegisterService(t.serviceDesc(), nil)
	if _, ok := services[healthpb.Health_ServiceDesc.ServiceName]; !ok {
		t.health = health.NewServer()
		t.health.SetServingStatus(serviceName, healthpb.HealthCheckResponse_SERVING)
		healthpb.RegisterHealthServer(t.server, t.health)
	}
	if nowhere(t.Addr()) {
		o.logger.Warn("peers can't use the address that they are told; set WithAdvertise, or "+
			"listen on the one that they dial", "addr", t.Addr())
	}
	t.spawn(t.listen)
	return t, nil
}

// nowhere reports whether an address names no host.
func nowhere(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false // some other kind of address, for a dialer of the application's
	}
	ip, _ := netip.ParseAddr(host)
	return host == "" || ip.IsValid() && ip.IsUnspecified()
}

func (t *Transport) serverOptions() []grpc.ServerOption {
	creds := insecure.NewCredentials()
	if t.o.serverTLS != nil {
		c := t.o.serverTLS.Clone()
		c.ClientAuth = tls.RequireAndVerifyClientCert
		creds = credentials.NewTLS(c)
	}
	opts := append(ServerOptions(t.o.maxMessageBytes),
		grpc.ConnectionTimeout(2*t.o.times.connect), grpc.Creds(doorkeeper{creds, t}))
	return append(opts, t.o.serverOptions...)
}

func (t *Transport) listen() {
	err := t.server.Serve(t.listener)
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) && t.ctx.Err() == nil {
		t.o.logger.Error("listening ended; peers can't reach this process", "addr", t.Addr(),
			"error", err)
	}
}

// spawn runs f in a goroutine that Close waits for. It returns false once the transport is closed.
func (t *Transport) spawn(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// enter begins a call that Close waits for; wg.Done ends it. It returns false once the transport is
// closed.
func (t *Transport) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.wg.Add(1)
	}
	return !t.closed
}

// Addr is the address under which peers reach this process: that of [WithAdvertise], or that
// listened on.
func (t *Transport) Addr() string {
	if t.o.advertise != "" {
		return t.o.advertise
	}
	return t.listener.Addr().String()
}

// Register is [transport.Transport]'s.
func (t *Transport) Register(m transport.Member, h transport.Handler) error {
	err := t.registry.Register(m, h)
	t.back()
	return err
}

// Unregister is [transport.Transport]'s.
func (t *Transport) Unregister(group raft.GroupID) {
	t.registry.Unregister(group)
	t.back()
}

// back ends all pauses: messages of a member that was started anew are not to wait for them.
func (t *Transport) back() {
	t.peers.Range(func(_, p any) bool {
		p.(*peer).back()
		return true
	})
}

// MaxMessageBytes is what [WithMaxMessageBytes] set.
func (t *Transport) MaxMessageBytes() int { return t.o.maxMessageBytes }

// Send is [transport.Transport]'s: it never blocks. What is dropped is counted, see
// [Transport.Stats].
func (t *Transport) Send(addr string, msgs []raft.Message) {
	if len(msgs) == 0 || t.ctx.Err() != nil {
		return
	}
	p := t.peer(addr)
	if p == nil {
		t.dropped.Add(uint64(len(msgs)))
		return
	}
	p.send(msgs)
}

// Close ends all streams and the listener, and waits for the transport's goroutines. It must not be
// called from within a handler.
func (t *Transport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	if first {
		if t.health != nil {
			t.health.Shutdown()
		}
		t.cancel()
		if t.o.server == nil {
			t.server.Stop()
		}
		// The server closes its listener itself; one of the application's may have been stopped before.
		if err := t.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.o.logger.Warn("close listener", "error", err)
		}
	}
	t.wg.Wait()
	t.peers.Range(func(_, p any) bool {
		p.(*peer).calls.end(raft.ErrStopped)
		return true
	})
	t.registry.Close()
	return nil
}
