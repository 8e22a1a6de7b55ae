package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Fetch is [Transport.Fetch]. The request is served in the caller's goroutine.
func (e *endpoint) Fetch(ctx context.Context, addr string, c Call, request []byte) ([]byte, error) {
	wire, err := EncodeRequest(&c, request)
	if err != nil {
		return nil, err
	}
	if !e.enter() {
		return nil, fmt.Errorf("transport: fetch from %s: %w", addr, raft.ErrStopped)
	}
	defer e.wg.Done()
	ctx, cancel := context.WithTimeout(ctx, MaxFetchTime)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	reply, err := e.fetch(ctx, addr, wire, c.Into)
	switch {
	case err == nil:
		return reply, nil
	case e.life.Err() != nil:
		err = raft.ErrStopped
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	}
	return nil, fmt.Errorf("transport: fetch from %s: %w", addr, err)
}

// enter begins a call that Close waits for, unless the endpoint is closed.
func (e *endpoint) enter() bool {
	e.linksMu.Lock()
	defer e.linksMu.Unlock()
	if !e.ended {
		e.wg.Add(1)
	}
	return !e.ended
}

func (e *endpoint) fetch(ctx context.Context, addr string, wire, into []byte) ([]byte, error) {
	to, err := e.net.pass(ctx, route{e.addr, addr})
	if err != nil {
		return nil, err
	}
	call, request, err := DecodeRequest(wire)
	if err != nil {
		return nil, err
	}
	reply, release, err := to.Serve(ctx, &call, request)
	defer release()
	if err == nil && len(reply) > linkBytes {
		err = fmt.Errorf("%w: reply of %d bytes", raft.ErrTooLarge, len(reply))
	}
	// An error travels the way back as a reply does, and may be lost like one.
	if _, lost := e.net.pass(ctx, route{addr, e.addr}); lost != nil {
		return nil, lost
	}
	if err != nil {
		return nil, err
	}
	return append(into[:0], reply...), nil
}

// pass lets the time pass that a request or reply takes, and returns where it arrives. What is lost
// by chance takes until ctx ends; a cut or a partition is noticed at once.
func (n *Network) pass(ctx context.Context, r route) (*endpoint, error) {
	if _, open := n.open(r); !open {
		return nil, ErrUnreachable
	}
	fates := n.fates(stream{r, true})
	if len(fates) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if fates[0].delay > 0 {
		late := time.NewTimer(fates[0].delay)
		defer late.Stop()
		select {
		case <-late.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	to, open := n.open(r)
	if !open {
		return nil, ErrUnreachable
	}
	return to, ctx.Err()
}
