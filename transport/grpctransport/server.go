package grpctransport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jraft-go/jraft/raft"
)

// The names on the wire.
const (
	serviceName = "jraft.Transport"
	streamName  = "Stream"
	methodName  = "/" + serviceName + "/" + streamName
	fetchName   = "Fetch"
	fetchMethod = "/" + serviceName + "/" + fetchName

	keyLane     = "jraft-lane"
	laneControl = "control"
	laneBulk    = "bulk"

	maxSenders = 64 // ids remembered per stream
)

var streamDesc = grpc.StreamDesc{StreamName: streamName, ClientStreams: true, ServerStreams: true}

func (t *Transport) serviceDesc() *grpc.ServiceDesc {
	d := streamDesc
	d.Handler = func(_ any, stream grpc.ServerStream) error { return t.serve(stream) }
	return &grpc.ServiceDesc{ServiceName: serviceName, Streams: []grpc.StreamDesc{d},
		Methods: []grpc.MethodDesc{{MethodName: fetchName, Handler: t.answer}}}
}

// inbound is one stream of a peer's.
type inbound struct {
	t        *Transport
	stream   grpc.ServerStream
	ids      identity
	lane     string
	counters *counters
	alive    *time.Timer
	warned   bool
	senders  map[raft.PeerID]bool // seen on the stream; only its receiving goroutine uses it
}

// serve receives what a peer sends, until the stream ends, falls silent, or the transport is
// closed.
func (t *Transport) serve(stream grpc.ServerStream) error {
	in, err := t.admit(stream)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	in.alive = time.NewTimer(t.o.times.orphan)
	defer in.alive.Stop()
	// The goroutine outlives this call by the time that gRPC takes to end its RecvMsg; Close waits for
	// it.
	if !t.spawn(func() { done <- in.receive() }) {
		return status.Error(codes.Unavailable, "this side is closing")
	}
	select {
	case err := <-done:
		return err
	case <-in.alive.C:
		return status.Error(codes.DeadlineExceeded, "no ping on this stream")
	case <-t.ctx.Done():
		return status.Error(codes.Unavailable, "this side is closing")
	}
}

// admit does the receiving side of the handshake of a stream.
func (t *Transport) admit(stream grpc.ServerStream) (*inbound, error) {
	if !speaks(stream) {
		err := status.Error(codes.Internal,
			"the server given WithServer was not created with ServerOptions")
		t.refuse(err)
		return nil, err
	}
	g, err := t.greet(stream.Context())
	if err != nil {
		return nil, err
	}
	in := &inbound{t: t, stream: stream, ids: g.ids, lane: single(g.md, keyLane),
		counters: new(counters), senders: make(map[raft.PeerID]bool)}
	if g.peer != nil { // a sender whose address isn't known is not counted
		in.counters = &g.peer.counters
	}
	return in, stream.SendHeader(helloOf(g.cluster, ""))
}

// guest is the other side of a stream or call that was let in.
type guest struct {
	cluster string
	md      metadata.MD
	ids     identity
	peer    *peer // by the address that it says it is reached at; may be nil
}

// greet checks what the other side says of itself, and its certificate.
func (t *Transport) greet(ctx context.Context) (g guest, err error) {
	cluster, ok := t.registry.Cluster()
	if !ok {
		return guest{}, status.Error(codes.Unavailable, errNoMember.Error())
	}
	g.cluster = cluster
	g.md, _ = metadata.FromIncomingContext(ctx)
	err = verifyHello(g.md, cluster)
	if err == nil && t.o.serverTLS != nil {
		g.ids, err = identify(ctx, cluster)
	}
	if err != nil {
		t.refuse(err)
		return guest{}, refused(ctx, err)
	}
	if addr := single(g.md, keyAddr); addr != "" && len(addr) <= maxAddrBytes {
		if g.peer = t.peer(addr); g.peer != nil {
			g.peer.back()
		}
	}
	return g, nil
}

// refused returns the status of a refusal, and sets the trailer that tells its kind.
func refused(ctx context.Context, cause error) error {
	trailer, err := refuse(cause)
	if failed := grpc.SetTrailer(ctx, trailer); failed != nil {
		return failed
	}
	return err
}

func (t *Transport) refuse(err error) {
	t.refused.Add(1)
	t.mu.Lock()
	reason := status.Code(err)
	logged := t.loggedRefusals[reason]
	t.loggedRefusals[reason] = true
	t.mu.Unlock()
	if !logged {
		t.o.logger.Warn("refused a stream; further ones are only counted", "error", err)
	}
}

func (in *inbound) receive() error {
	f := incoming{maxMessageBytes: in.t.o.maxMessageBytes}
	defer in.broken()
	for {
		clear(f.msgs)
		f.msgs, f.malformed = f.msgs[:0], 0
		err := in.stream.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("grpctransport: receive: %w", err)
		}
		in.deliver(&f)
		if f.flags&flagPing != 0 {
			in.alive.Reset(in.t.o.times.orphan)
			if err := in.stream.SendMsg(&outgoing{flags: flagPong}); err != nil {
				return err
			}
		}
	}
}

func (in *inbound) deliver(f *incoming) {
	msgs, refused := f.msgs, f.malformed
	if in.ids != nil {
		msgs = f.msgs[:0]
		for _, m := range f.msgs {
			if in.ids.allows(m.From) {
				msgs = append(msgs, m)
			}
		}
		if forged := len(f.msgs) - len(msgs); forged > 0 {
			refused += forged
			f.why = errIdentity
		}
	}
	for i := range msgs {
		in.saw(msgs[i].From)
	}
	strays := in.t.registry.Deliver(msgs)
	in.counters.received.Add(uint64(len(msgs) - strays))
	in.counters.receivedBytes.Add(uint64(f.bytes))
	in.counters.refused.Add(uint64(refused + strays))
	if refused > 0 && !in.warned {
		in.warned = true
		in.t.o.logger.Warn("refused a message; further ones of this stream are only counted",
			"error", f.why)
	}
}
