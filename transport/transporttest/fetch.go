package transporttest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// ServerFunc is a handler that serves requests, and drops messages.
type ServerFunc func(ctx context.Context, from raft.PeerID, request []byte) ([]byte, error)

// Receive is [transport.Handler]'s.
func (ServerFunc) Receive([]raft.Message) {}

// Serve is [transport.Server]'s.
func (f ServerFunc) Serve(ctx context.Context, from raft.PeerID, request []byte) ([]byte, error) {
	return f(ctx, from, request)
}

// FetchCall is the call of member A to member B of group g in cluster "c".
func FetchCall(g raft.GroupID) transport.Call {
	return transport.Call{Cluster: "c", Group: g, From: "A", To: "B"}
}

// servers returns transports of members A and B of group g, and of group "s" whose member B serves.
func servers(t *testing.T, open func(*testing.T) transport.Transport, serve ServerFunc) (a,
	b transport.Transport) {
	a, b, _ = pair(t, open)
	must(t, b.Register(member("s", "B"), serve))
	return a, b
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func fetching(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b := servers(t, open, func(_ context.Context, from raft.PeerID, request []byte) ([]byte,
		error) {
		return bytes.Repeat(append([]byte(from), request...), 1<<18), nil
	})
	want := bytes.Repeat([]byte("Aabc"), 1<<18)
	for _, room := range []int{0, 10, len(want), 2 * len(want)} {
		c := FetchCall("s")
		c.Into = make([]byte, room)
		got, err := a.Fetch(limited(t), b.Addr(), c, []byte("abc"))
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Fatalf("a reply of %d bytes came as one of %d", len(want), len(got))
		}
		if room >= len(want) && &got[0] != &c.Into[0] {
			t.Fatal("the caller's memory was not used")
		}
	}
	_, err := a.Fetch(limited(t), b.Addr(), FetchCall("s"), make([]byte, 400))
	if !errors.Is(err, raft.ErrTooLarge) {
		t.Fatalf("a reply of 100 MiB: %v", err)
	}
}

func emptyFetch(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b := servers(t, open, func(context.Context, raft.PeerID, []byte) ([]byte, error) {
		return nil, nil
	})
	got, err := a.Fetch(limited(t), b.Addr(), FetchCall("s"), nil)
	must(t, err)
	if len(got) != 0 {
		t.Fatalf("an empty reply came as %q", got)
	}
	_, err = a.Fetch(limited(t), b.Addr(), FetchCall("s"), make([]byte, transport.MaxRequestBytes))
	must(t, err)
}

func refusedFetches(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b := servers(t, open, func(context.Context, raft.PeerID, []byte) ([]byte, error) {
		return nil, errors.New("the disk is on fire")
	})
	for _, f := range []struct {
		want    error
		text    string
		addr    string
		request int
		change  func(*transport.Call)
	}{
		{raft.ErrWrongCluster, "another", b.Addr(), 0, func(c *transport.Call) { c.Cluster = "another" }},
		{transport.ErrNoMember, "nothing", b.Addr(), 0, func(c *transport.Call) { c.Group = "nothing" }},
		{transport.ErrNoMember, "C", b.Addr(), 0, func(c *transport.Call) { c.To = "C" }},
		{transport.ErrNoServer, "B", b.Addr(), 0, func(c *transport.Call) { c.Group = "g" }},
		{transport.ErrServe, "the disk is on fire", b.Addr(), 0, func(*transport.Call) {}},
		{transport.ErrUnreachable, "127.0.0.1:1", "127.0.0.1:1", 0, func(*transport.Call) {}},
		{raft.ErrTooLarge, "65537", b.Addr(), transport.MaxRequestBytes + 1, func(*transport.Call) {}},
	} {
		c := FetchCall("s")
		f.change(&c)
		start := time.Now()
		_, err := a.Fetch(limited(t), f.addr, c, make([]byte, f.request))
		if !errors.Is(err, f.want) || !strings.Contains(err.Error(), f.text) {
			t.Fatalf("want %v about %q, have %v", f.want, f.text, err)
		}
		if took := time.Since(start); took > patience/2 {
			t.Fatalf("%v after %v", err, took)
		}
	}
}

// gate is a server that tells of each request and holds it until the gate is opened.
type gate struct {
	entered chan context.Context
	leave   chan struct{}
}

func newGate() *gate {
	return &gate{make(chan context.Context, 2*transport.MaxServes), make(chan struct{})}
}

func (g *gate) serve(ctx context.Context, _ raft.PeerID, _ []byte) ([]byte, error) {
	g.entered <- ctx
	select {
	case <-g.leave:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

func boundedFetches(t *testing.T, open func(*testing.T) transport.Transport) {
	g := newGate()
	a, b := servers(t, open, g.serve)
	errs := make(chan error, transport.MaxServes)
	for range transport.MaxServes {
		go func() {
			_, err := a.Fetch(limited(t), b.Addr(), FetchCall("s"), nil)
			errs <- err
		}()
	}
	for range transport.MaxServes {
		<-g.entered
	}
	_, err := a.Fetch(limited(t), b.Addr(), FetchCall("s"), nil)
	if !errors.Is(err, raft.ErrBusy) {
		t.Fatalf("one fetch more than is allowed: %v", err)
	}
	close(g.leave)
	for range transport.MaxServes {
		must(t, <-errs)
	}
	_, err = a.Fetch(limited(t), b.Addr(), FetchCall("s"), nil)
	must(t, err)
}

// endedFetches: whichever side gives up, both learn it.
func endedFetches(t *testing.T, open func(*testing.T) transport.Transport) {
	for name, end := range map[string]struct {
		by   func(cancel func(), a, b transport.Transport)
		want error
	}{
		"context": {func(cancel func(), _, _ transport.Transport) { cancel() }, context.Canceled},
		"unregister": {func(_ func(), _, b transport.Transport) { b.Unregister("s") },
			transport.ErrServe},
		"close":     {func(_ func(), a, _ transport.Transport) { must(t, a.Close()) }, raft.ErrStopped},
		"its close": {func(_ func(), _, b transport.Transport) { must(t, b.Close()) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			a, b := servers(t, open, g.serve)
			ctx, cancel := context.WithCancel(limited(t))
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := a.Fetch(ctx, b.Addr(), FetchCall("s"), nil)
				failed <- err
			}()
			serving := <-g.entered
			end.by(cancel, a, b)
			<-serving.Done()
			err := <-failed
			if err == nil || end.want != nil && !errors.Is(err, end.want) {
				t.Fatalf("want %v, have %v", end.want, err)
			}
		})
	}
}

// pooled is a server that counts the replies given back.
type pooled struct {
	ServerFunc
	mu   sync.Mutex
	back [][]byte
}

func (p *pooled) Release(reply []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back = append(p.back, reply)
}

func releasedReplies(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b := servers(t, open, nil)
	reply := make([]byte, 1<<20)
	p := &pooled{ServerFunc: func(context.Context, raft.PeerID, []byte) ([]byte, error) {
		return reply, nil
	}}
	must(t, b.Register(member("p", "B"), p))
	for range 3 {
		_, err := a.Fetch(limited(t), b.Addr(), FetchCall("p"), nil)
		must(t, err)
	}
	Until(t, "each reply is released once", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, r := range p.back {
			if len(r) != len(reply) || &r[0] != &reply[0] {
				t.Fatal("something else was released")
			}
		}
		return len(p.back) == 3
	})
}
