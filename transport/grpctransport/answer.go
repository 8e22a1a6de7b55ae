package grpctransport

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// answer is the receiving side of Fetch, in the form that gRPC calls a method.
func (t *Transport) answer(_ any, ctx context.Context, decode func(any) error,
	interceptor grpc.UnaryServerInterceptor) (any, error) {
	g, err := t.greet(ctx)
	if err != nil {
		return nil, err
	}
	in := new(request)
	if err := decode(in); err != nil {
		return nil, err
	}
	serve := func(ctx context.Context, _ any) (any, error) {
		out, err := t.serveFetch(ctx, &g, in.wire)
		if err != nil {
			return nil, refused(ctx, err)
		}
		return out, nil
	}
	if interceptor == nil {
		return serve(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: t, FullMethod: fetchMethod}
	return interceptor(ctx, in, info, serve)
}

func (t *Transport) serveFetch(ctx context.Context, g *guest, wire []byte) (*served, error) {
	call, body, err := transport.DecodeRequest(wire)
	if err != nil {
		return nil, err
	}
	if !g.ids.allows(call.From) {
		return nil, fmt.Errorf("%w: it does not name %s", errIdentity, call.From)
	}
	if !t.enter() {
		return nil, fmt.Errorf("%w: the peer is closing", transport.ErrNoMember)
	}
	defer t.wg.Done()
	ctx, cancel := context.WithTimeout(ctx, t.o.times.fetch) // a dead peer does not cancel
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	reply, release, err := t.registry.Serve(ctx, &call, body)
	if err != nil {
		return nil, err
	}
	if len(reply) > t.o.maxMessageBytes {
		release()
		return nil, fmt.Errorf("%w: reply of %d bytes, at most %d are allowed", raft.ErrTooLarge,
			len(reply), t.o.maxMessageBytes)
	}
	if err := grpc.SetHeader(ctx, helloOf(g.cluster, "")); err != nil {
		release()
		return nil, err
	}
	return &served{reply, release}, nil
}
