package grpctransport

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/transporttest"
)

// serving registers a member B that serves requests, in group s.
func serving(t testing.TB, tr *Transport, serve transporttest.ServerFunc) {
	t.Helper()
	require.NoError(t, tr.Register(transport.Member{Cluster: "c", Group: "s", ID: "B"}, serve))
}

func chunkOf(bytes int) transporttest.ServerFunc {
	chunk := make([]byte, bytes)
	return func(context.Context, raft.PeerID, []byte) ([]byte, error) { return chunk, nil }
}

func fetch(tr *Transport, addr string) ([]byte, error) {
	return tr.Fetch(context.Background(), addr, transporttest.FetchCall("s"), nil)
}

func TestControlDoesNotWaitBehindFetches(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	h := &slowHandler{rounds: make(chan uint64, 1)}
	require.NoError(t, b.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	serving(t, b, chunkOf(1<<20))
	a.Send(b.Addr(), heartbeat(0))
	<-h.rounds
	ctx, stop := context.WithCancel(t.Context())
	var fetched atomic.Int64
	ended := make(chan struct{}, 4)
	for range cap(ended) {
		go func() {
			defer func() { ended <- struct{}{} }()
			c := transporttest.FetchCall("s")
			c.Into = make([]byte, 1<<20)
			for ctx.Err() == nil {
				if _, err := a.Fetch(ctx, b.Addr(), c, nil); err == nil {
					fetched.Add(1)
				}
			}
		}()
	}
	until(t, func() bool { return fetched.Load() > 0 }, "chunks flow")
	var took []time.Duration
	round := uint64(0)
	for ; round < 30 || fetched.Load() < 64; round++ {
		start := time.Now()
		a.Send(b.Addr(), heartbeat(round))
		require.Equal(t, round, <-h.rounds)
		took = append(took, time.Since(start))
	}
	stop()
	for range cap(ended) {
		<-ended
	}
	slices.Sort(took) // the slowest tells more of the machine than of the transport
	median := took[len(took)/2]
	t.Logf("%d heartbeats: %v (median), %v at most, beside %d fetches of 1 MiB", round, median,
		took[len(took)-1], fetched.Load())
	require.Less(t, median, 100*time.Millisecond)
}

func TestFetchHasItsBounds(t *testing.T) {
	a := open(t, local, WithCluster("c"), WithMaxMessageBytes(1<<20))
	b := open(t, local, WithMaxMessageBytes(2<<20))
	serving(t, b, chunkOf(1<<20))
	require.Equal(t, 1<<20, a.MaxMessageBytes())
	reply, err := fetch(a, b.Addr())
	require.NoError(t, err)
	require.Len(t, reply, 1<<20)
	b.Unregister("s")
	serving(t, b, chunkOf(1<<20+1))
	_, err = fetch(a, b.Addr())
	require.ErrorContains(t, err, "larger than max", "of the asking side")
	b.Unregister("s")
	serving(t, b, chunkOf(2<<20+1))
	_, err = fetch(a, b.Addr())
	require.ErrorIs(t, err, raft.ErrTooLarge, "of the serving side")
}

func TestFetchFromADeadPeerFailsFast(t *testing.T) {
	var off atomic.Bool
	dial := WithDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		return frozen{c, &off}, err
	})
	shorter := func(o *options) {
		o.times.ping, o.times.silence = 20*time.Millisecond, 200*time.Millisecond
		o.times.connect = 200 * time.Millisecond
	}
	a, b := openWith(t, shorter, WithCluster("c"), dial), open(t, local)
	in := member(t, b, "c", "B")
	var hang atomic.Bool
	serving(t, b, func(ctx context.Context, _ raft.PeerID, _ []byte) ([]byte, error) {
		if hang.Load() {
			<-ctx.Done()
		}
		return nil, ctx.Err()
	})
	arrives(t, a, b.Addr(), in)
	_, err := fetch(a, b.Addr())
	require.NoError(t, err)
	start := time.Now()
	off.Store(true)
	_, err = fetch(a, b.Addr())
	require.ErrorIs(t, err, transport.ErrUnreachable)
	require.ErrorIs(t, err, errSilent, "the control stream told")
	_, err = fetch(a, blackHole(t))
	require.ErrorIs(t, err, transport.ErrUnreachable, "no handshake in the time allowed")
	require.Less(t, time.Since(start), 5*time.Second)

	off.Store(false)
	_, err = fetch(a, b.Addr())
	require.NoError(t, err, "over a new connection")
	a.o.times.fetch = 50 * time.Millisecond
	hang.Store(true)
	_, err = fetch(a, b.Addr())
	require.ErrorIs(t, err, transport.ErrUnreachable)
	require.ErrorIs(t, err, errSilent, "each fetch has a time limit")
}

// A connection may be given up between the moment a fetch gets it and the moment it uses it.
func TestFetchOverAConnectionGivenUpTellsWhy(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	serving(t, b, chunkOf(10))
	for range 50 {
		calls := a.peer(b.Addr()).calls
		conn, err := calls.begin()
		require.NoError(t, err)
		conn.end(errSilent)
		_, err = fetch(a, b.Addr())
		require.ErrorIs(t, err, transport.ErrUnreachable)
		require.ErrorIs(t, err, errSilent)
		calls.end(nil)
	}
}

func TestFetchConnectionsAreClosedWhenIdle(t *testing.T) {
	a := openWith(t, func(o *options) { o.times.idle = 20 * time.Millisecond }, WithCluster("c"))
	b := open(t, local)
	serving(t, b, chunkOf(10))
	for range 3 {
		_, err := fetch(a, b.Addr())
		require.NoError(t, err)
		until(t, a.peer(b.Addr()).idle, "the connection is closed")
	}
}

func TestFetchChecksCertificates(t *testing.T) {
	b := open(t, local, testTLS(t, "c", "B").option())
	serving(t, b, func(_ context.Context, from raft.PeerID, _ []byte) ([]byte, error) {
		return []byte(from), nil
	})
	d := open(t, local, testTLS(t, "c", "D").option())
	serving(t, d, chunkOf(10))
	a := open(t, local, WithCluster("c"), testTLS(t, "c", "A").option())
	reply, err := fetch(a, b.Addr())
	require.NoError(t, err)
	require.Equal(t, "A", string(reply))
	c := transporttest.FetchCall("s")
	c.From = "F"
	_, err = a.Fetch(t.Context(), b.Addr(), c, nil)
	require.ErrorIs(t, err, errIdentity, "the asking side is not who it says")
	_, err = fetch(a, d.Addr())
	require.ErrorIs(t, err, errIdentity, "the serving side is not who was asked")
	stranger := open(t, local, WithCluster("c"), testTLS(t, "d", "A").option())
	_, err = fetch(stranger, b.Addr())
	require.ErrorIs(t, err, errIdentity)
	_, err = fetch(open(t, local, WithCluster("c")), b.Addr())
	require.ErrorIs(t, err, transport.ErrUnreachable, "no TLS at all")
	other := open(t, local, WithCluster("d"), testTLS(t, "c", "A").option())
	foreign := transporttest.FetchCall("s")
	foreign.Cluster = "d"
	_, err = other.Fetch(t.Context(), b.Addr(), foreign, nil)
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	_, err = fetch(open(t, local), b.Addr())
	require.ErrorIs(t, err, errNoMember)
}

func TestARestartedPeerIsReachedAtOnce(t *testing.T) {
	never := func(o *options) { o.times.backoffMin, o.times.backoffMax = time.Hour, time.Hour }
	for name, wake := range map[string]func(t *testing.T, a, b *Transport, addr string){
		"it opens a stream": func(_ *testing.T, a, b *Transport, _ string) {
			answer := heartbeat(1)
			answer[0].From, answer[0].To = "B", "A"
			b.Send(a.Addr(), answer)
		},
		"it fetches": func(t *testing.T, a, b *Transport, _ string) {
			c := transporttest.FetchCall("s")
			c.From, c.To = "B", "A"
			_, err := b.Fetch(t.Context(), a.Addr(), c, nil)
			require.ErrorIs(t, err, transport.ErrNoMember)
		},
		"a member is registered here": func(t *testing.T, a, _ *Transport, _ string) {
			m := transport.Member{Cluster: "c", Group: "h", ID: "A"}
			require.NoError(t, a.Register(m, &transporttest.Inbox{}))
		},
		"a member is unregistered here": func(_ *testing.T, a, _ *Transport, _ string) {
			a.Unregister("g")
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := openWith(t, never, WithCluster("c")), open(t, local)
			addr := b.Addr()
			member(t, a, "c", "A")
			require.NoError(t, b.Close())
			failed := func() bool {
				s := a.Stats().Peers[addr]
				return s.Failures >= 2 && a.peer(addr).control.queue.empty()
			}
			a.Send(addr, heartbeat(1))
			a.Send(addr, bulk(10))
			until(t, failed, "both streams fail")
			_, err := fetch(a, addr)
			require.ErrorIs(t, err, transport.ErrUnreachable)
			b = open(t, addr)
			in := member(t, b, "c", "B")
			serving(t, b, chunkOf(10))
			start := time.Now()
			a.Send(addr, heartbeat(1))
			wake(t, a, b, addr)
			until(t, func() bool {
				_, err := fetch(a, addr)
				return err == nil && len(in.Messages()) > 0
			}, "messages and fetches pass again")
			t.Logf("after %v", time.Since(start))
		})
	}
}
