package grpctransport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// calls is the connection for fetches from one peer: one of its own, so that no message waits
// behind a reply. It is closed after a time without a fetch.
type calls struct {
	peer *peer

	mu    sync.Mutex
	conn  *callConn // nil while there is none
	under int       // calls under way on it
	idle  *time.Timer
}

// errPaused is why a connection is given up that could not be made for a while.
var errPaused = errors.New("the last attempt to connect failed")

// callReadBytes is what is read at once from a connection for fetches: few reads for large replies.
const callReadBytes = 256 << 10

type callConn struct {
	*grpc.ClientConn
	life context.Context // ends when the connection is given up, with the cause
	kill context.CancelCauseFunc
}

// Fetch is [transport.Transport]'s. A fetch from a peer whose control stream falls silent fails at
// once.
func (t *Transport) Fetch(ctx context.Context, addr string, c transport.Call,
	body []byte) ([]byte, error) {
	reply, err := t.fetch(ctx, addr, c, body)
	if err != nil {
		return nil, fmt.Errorf("grpctransport: fetch from %s: %w", addr, err)
	}
	return reply, nil
}

func (t *Transport) fetch(ctx context.Context, addr string, c transport.Call,
	body []byte) ([]byte, error) {
	wire, err := transport.EncodeRequest(&c, body)
	if err != nil {
		return nil, err
	}
	cluster, ok := t.registry.Cluster()
	if !ok {
		return nil, errNoMember
	}
	if c.Cluster != cluster {
		return nil, fmt.Errorf("%w: the request is of cluster %.64q, this side of %q",
			raft.ErrWrongCluster, c.Cluster, cluster)
	}
	if !t.enter() {
		return nil, raft.ErrStopped
	}
	defer t.wg.Done()
	p := t.peer(addr)
	if p == nil {
		return nil, fmt.Errorf("%w: too many peers", raft.ErrBusy)
	}
	conn, err := p.calls.begin()
	if err != nil {
		return nil, err
	}
	defer p.calls.done(conn)
	// The deadline is kept from the peer: it would tell of it at the moment that this side notices.
	limited, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	late := time.AfterFunc(t.o.times.fetch, func() {
		cancel(errSilent)
		p.calls.end(errSilent) // the connection may be half open
	})
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { cancel(ctx.Err()) })()
	defer context.AfterFunc(conn.life, func() { cancel(context.Cause(conn.life)) })()
	defer context.AfterFunc(t.ctx, func() { cancel(raft.ErrStopped) })()
	reply, err := conn.invoke(limited, t, cluster, &c, wire)
	if err != nil && conn.life.Err() != nil {
		cancel(context.Cause(conn.life)) // closing it may be noticed before AfterFunc runs
	}
	if err != nil && limited.Err() != nil {
		if err = context.Cause(limited); err != raft.ErrStopped {
			err = fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
		}
	}
	return reply, err
}

// invoke does the call. The reply is believed only if it comes from a process of the cluster and
// whose certificate names the member that was asked.
func (cc *callConn) invoke(ctx context.Context, t *Transport, cluster string, c *transport.Call,
	wire []byte) ([]byte, error) {
	var header, trailer metadata.MD
	var other grpcpeer.Peer
	in := fetched{into: c.Into}
	ctx = metadata.NewOutgoingContext(ctx, helloOf(cluster, t.Addr()))
	err := cc.Invoke(ctx, fetchMethod, &request{wire}, &in, callCodec(), grpc.WaitForReady(false),
		grpc.MaxCallRecvMsgSize(t.o.maxMessageBytes), grpc.Header(&header), grpc.Trailer(&trailer),
		grpc.Peer(&other))
	if err != nil {
		told := refusal(err, trailer)
		if told == err && status.Code(err) == codes.Unavailable {
			told = fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
		}
		return nil, told
	}
	if err := verifyHello(header, cluster); err != nil {
		return nil, err
	}
	if t.o.clientTLS != nil {
		ids, err := identify(grpcpeer.NewContext(ctx, &other), cluster)
		if err != nil {
			return nil, err
		}
		if !ids.allows(c.To) {
			return nil, fmt.Errorf("%w: the peer's certificate does not name %s", errIdentity, c.To)
		}
	}
	return in.reply, nil
}

// begin returns the connection, made when there is none. done must be called with it.
func (c *calls) begin() (*callConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		cc, err := c.peer.dial(grpc.WithReadBufferSize(callReadBytes))
		if err != nil {
			return nil, err
		}
		c.conn, c.under = &callConn{ClientConn: cc}, 0
		c.conn.life, c.conn.kill = context.WithCancelCause(context.Background())
	}
	c.under++
	if c.idle != nil {
		c.idle.Stop()
	}
	return c.conn, nil
}

func (c *calls) done(conn *callConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != conn {
		return
	}
	c.under--
	if c.under == 0 {
		c.idle = time.AfterFunc(c.peer.t.o.times.idle, func() {
			c.peer.t.spawn(func() { c.take(func() bool { return c.conn == conn && c.under == 0 }).end(nil) })
		})
	}
}

// take takes the connection away where unwanted says so; later fetches get a new one.
func (c *calls) take(unwanted func() bool) *callConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.conn
	if conn == nil || !unwanted() {
		return nil
	}
	c.conn = nil
	if c.idle != nil {
		c.idle.Stop()
	}
	return conn
}

// end closes the connection; fetches under way fail with the cause.
func (c *calls) end(cause error) { c.take(func() bool { return true }).end(cause) }

func (cc *callConn) end(cause error) {
	if cc != nil {
		cc.kill(cause)
		_ = cc.Close() // of a connection that is given up
	}
}

// retry ends gRPC's pause before the next attempt to connect: the next fetch has a new connection.
// (ClientConn.ResetConnectBackoff reads a map without the lock that guards it, in 1.85.)
func (c *calls) retry() {
	pauses := func() bool { return c.conn.GetState() == connectivity.TransientFailure }
	c.take(pauses).end(errPaused)
}

// open reports whether there is a connection.
func (c *calls) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}
