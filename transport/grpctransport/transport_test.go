package grpctransport

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const local = "127.0.0.1:0"

func open(t testing.TB, addr string, opts ...Option) *Transport {
	t.Helper()
	tr, err := Listen(addr, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

// openWith is open with other time limits.
func openWith(t testing.TB, change func(*options), opts ...Option) *Transport {
	t.Helper()
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	change(&o)
	tr, err := listen(local, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

// member registers a member and returns its inbox.
func member(t testing.TB, tr *Transport, cluster string, id raft.PeerID) *transporttest.Inbox {
	t.Helper()
	in := &transporttest.Inbox{}
	require.NoError(t, tr.Register(transport.Member{Cluster: cluster, Group: "g", ID: id}, in))
	return in
}

func heartbeat(round uint64) []raft.Message {
	return []raft.Message{transporttest.Message("g", &raft.Heartbeat{Round: round})}
}

// bulk is an append of one entry of that many bytes.
func bulk(bytes int) []raft.Message {
	e, _ := raft.MakeEntry(nil, 7, 1, raft.EntryCommand, make([]byte, bytes))
	return []raft.Message{transporttest.Message("g", &raft.AppendEntries{Entries: []raft.Entry{e}})}
}

func until(t testing.TB, f func() bool, what string) {
	t.Helper()
	require.Eventually(t, f, 10*time.Second, time.Millisecond, what)
}

// arrives sends heartbeats until one arrives.
func arrives(t testing.TB, from *Transport, to string, in *transporttest.Inbox) {
	t.Helper()
	before := len(in.Messages())
	until(t, func() bool {
		from.Send(to, heartbeat(1))
		return len(in.Messages()) > before
	}, "a heartbeat arrives")
}

func TestKeepsTheContract(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transport.Transport { return open(t, local) })
}

func TestReconnectsSoonAfterThePeerIsBack(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	arrives(t, a, b.Addr(), member(t, b, "c", "B"))
	for range 3 {
		addr := b.Addr()
		require.NoError(t, b.Close())
		// Long enough for the back-off to reach its maximum.
		down := time.Now()
		until(t, func() bool {
			a.Send(addr, heartbeat(1))
			return time.Since(down) > 600*time.Millisecond
		}, "")
		require.False(t, a.Stats().Peers[addr].Connected)
		require.Error(t, a.Stats().Peers[addr].LastError)
		b = open(t, addr)
		in := member(t, b, "c", "B")
		start := time.Now()
		arrives(t, a, addr, in)
		took := time.Since(start)
		t.Logf("reconnected after %v", took)
		require.Less(t, took, 2*time.Second)
		require.True(t, a.Stats().Peers[addr].Connected)
	}
}

// log is a logger for tests, and what was logged.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) logger() Option { return WithLogger(slog.New(slog.NewTextHandler(l, nil))) }

func (l *log) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func TestAnotherClusterIsRefused(t *testing.T) {
	var dialing, listening log
	a, b := open(t, local, WithCluster("c"), dialing.logger()), open(t, local, listening.logger())
	in := member(t, b, "other", "B")
	until(t, func() bool {
		a.Send(b.Addr(), heartbeat(1))
		return a.Stats().Peers[b.Addr()].Failures >= 3
	}, "three attempts fail")
	s := a.Stats().Peers[b.Addr()]
	require.ErrorIs(t, s.LastError, raft.ErrWrongCluster)
	require.ErrorContains(t, s.LastError, `"other"`)
	require.Positive(t, s.Dropped)
	require.False(t, s.Connected)
	require.GreaterOrEqual(t, b.Stats().Refused, uint64(3))
	require.Equal(t, 1, dialing.count("wrong cluster: refused"), "logged once, not at each attempt")
	require.Equal(t, 1, listening.count("refused a stream"))
	require.Empty(t, in.Messages())
}

func dialPlain(addr string) (*grpc.ClientConn, error) {
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	return grpc.NewClient("passthrough:///"+addr, plain)
}

// dialRaw opens a stream as some other program might.
func dialRaw(t *testing.T, addr string, md metadata.MD) grpc.ClientStream {
	cc, err := dialPlain(addr)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), md), 10*time.Second)
	t.Cleanup(func() { cancel(); _ = cc.Close() })
	stream, err := cc.NewStream(ctx, &streamDesc, methodName, grpc.ForceCodecV2(rawCodec{}))
	require.NoError(t, err)
	return stream
}

func TestStrangersAreRefused(t *testing.T) {
	b := open(t, local)
	var f incoming
	err := dialRaw(t, b.Addr(), helloOf("c", "")).RecvMsg(&f)
	require.Equal(t, codes.Unavailable, status.Code(err), "no member yet")
	in := member(t, b, "c", "B")
	newer := helloOf("c", "")
	newer.Set(keyVersion, "2")
	for _, md := range []metadata.MD{{}, newer} {
		stream := dialRaw(t, b.Addr(), md)
		err := stream.RecvMsg(&f)
		require.Equal(t, codes.OutOfRange, status.Code(err))
		err = refusal(err, stream.Trailer())
		require.ErrorIs(t, err, transport.ErrWireVersion)
	}
	require.ErrorContains(t, verifyHello(newer, "c"), `the peer speaks "2", this side "1"`)

	says(t, b.Addr(), bytes.Repeat([]byte("garbage "), 1000)) // not HTTP/2 at all
	a := open(t, local, WithCluster("c"))
	arrives(t, a, b.Addr(), in)
}

func TestMalformedFramesAndMessages(t *testing.T) {
	b := open(t, local)
	in := member(t, b, "c", "B")
	good := transport.Encode(nil, &heartbeat(1)[0])
	flipped := bytes.Clone(good)
	flipped[20] ^= 1
	future := bytes.Clone(good)
	future[0] = 9

	stream := dialRaw(t, b.Addr(), helloOf("c", "stranger:1"))
	require.NoError(t, stream.SendMsg(&outgoing{msgs: heartbeat(1), bytes: 100}))
	until(t, func() bool { return len(in.Messages()) == 1 }, "the intact message arrives")
	for _, wire := range [][]byte{flipped, future, {}, good} {
		require.NoError(t, stream.SendMsg(rawFrame(append([]byte{frameVersion, 0}, prefixed(wire)...))))
	}
	until(t, func() bool {
		return len(in.Messages()) == 2
	}, "a bad message does not take the stream with it")
	require.Equal(t, uint64(3), b.Stats().Peers["stranger:1"].Refused)

	for _, frame := range [][]byte{
		{}, {1}, {2, 0}, {1, 0, 5}, {1, 0, 255, 255, 255, 255}, {1, 0, 5, 0, 0, 0, 1},
		append([]byte{1, 0}, prefixed(make([]byte, DefaultMaxMessageBytes+1))...),
	} {
		stream := dialRaw(t, b.Addr(), helloOf("c", ""))
		_, err := stream.Header()
		require.NoError(t, err)
		// It may fail already, when the other side is quick to end the stream.
		_ = stream.SendMsg(rawFrame(frame))
		var f incoming
		require.Error(t, stream.RecvMsg(&f), "%.10x", frame)
	}
	require.Len(t, in.Messages(), 2)
}

func TestTooLargeIsDroppedAndToldOnce(t *testing.T) {
	var told log
	a := open(t, local, WithCluster("c"), WithMaxMessageBytes(1<<20), WithQueueBytes(64<<20),
		told.logger())
	b := open(t, local, WithMaxMessageBytes(1<<20), WithQueueBytes(64<<20))
	in := member(t, b, "c", "B")
	for range 3 {
		a.Send(b.Addr(), bulk(1<<20))
	}
	fits := 1<<20 - transport.EncodedBytes(&bulk(0)[0])
	a.Send(b.Addr(), bulk(fits))
	until(t, func() bool { return len(in.Messages()) == 1 }, "what just fits arrives")
	s := a.Stats().Peers[b.Addr()]
	require.Equal(t, uint64(3), s.TooLarge)
	require.Equal(t, uint64(3), s.Dropped)
	require.Equal(t, uint64(1), s.Sent)
	require.Equal(t, 1, told.count("larger than"))
}

func TestFourMiBCommandsPassByDefault(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	in := member(t, b, "c", "B")
	a.Send(b.Addr(), bulk(4<<20))
	until(t, func() bool { return len(in.Messages()) == 1 }, "it arrives")
	until(t, func() bool { return b.Stats().Peers[a.Addr()].Received == 1 }, "it is counted")
	require.Greater(t, b.Stats().Peers[a.Addr()].ReceivedBytes, uint64(4<<20))
}

// slowHandler takes its time for bulk, and tells of each heartbeat.
type slowHandler struct {
	bulk   atomic.Int64
	rounds chan uint64
}

func (h *slowHandler) Receive(msgs []raft.Message) {
	for _, m := range msgs {
		if b, ok := m.Body.(*raft.Heartbeat); ok {
			h.rounds <- b.Round
		} else {
			h.bulk.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func TestControlDoesNotWaitBehindBulk(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	h := &slowHandler{rounds: make(chan uint64, 1)}
	require.NoError(t, b.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	a.Send(b.Addr(), heartbeat(0))
	<-h.rounds
	batch := bulk(512 << 10)
	for range 128 { // 64 MiB
		a.Send(b.Addr(), batch)
	}
	until(t, func() bool { return h.bulk.Load() > 0 }, "bulk flows")
	var worst time.Duration
	for round := range uint64(30) {
		start := time.Now()
		a.Send(b.Addr(), heartbeat(round))
		require.Equal(t, round, <-h.rounds)
		worst = max(worst, time.Since(start))
	}
	require.Less(t, h.bulk.Load(), int64(128), "the queue was still full of bulk")
	t.Logf("slowest of 30 heartbeats: %v, behind %d of 128 appends", worst, 128-h.bulk.Load())
	require.Less(t, worst, 250*time.Millisecond)
}

// blackHole accepts connections and never reads.
func blackHole(t *testing.T) string {
	l, err := net.Listen("tcp", local)
	require.NoError(t, err)
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

func TestSendNeverBlocks(t *testing.T) {
	a := openWith(t, func(o *options) { o.times.connect = 200 * time.Millisecond }, WithCluster("c"))
	addr := blackHole(t)
	batch := bulk(1 << 20)
	var worst time.Duration
	for range 3000 {
		start := time.Now()
		a.Send(addr, batch)
		a.Send(addr, heartbeat(1))
		worst = max(worst, time.Since(start))
	}
	t.Logf("slowest of 3000 sends: %v", worst)
	require.Less(t, worst, 200*time.Millisecond)
	require.Positive(t, a.Stats().Peers[addr].Dropped)
	until(t, func() bool { return a.Stats().Peers[addr].LastError != nil }, "the attempt is given up")
	start := time.Now()
	require.NoError(t, a.Close())
	require.Less(t, time.Since(start), 2*time.Second)
}

// frozen is a connection whose writes vanish and whose reads hang once the switch is thrown, as
// when the other machine has lost power.
type frozen struct {
	net.Conn
	off *atomic.Bool
}

func (c frozen) Write(b []byte) (int, error) {
	if c.off.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func TestHalfOpenConnectionsAreGivenUp(t *testing.T) {
	var off atomic.Bool
	shorter := func(o *options) {
		o.times.ping, o.times.silence = 20*time.Millisecond, 200*time.Millisecond
		o.times.bulkSilence = time.Hour
		o.times.orphan = 400 * time.Millisecond
	}
	dial := WithDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		return frozen{c, &off}, err
	})
	a := openWith(t, shorter, WithCluster("c"), dial)
	b := openWith(t, shorter)
	in := member(t, b, "c", "B")
	for range 3 {
		off.Store(false)
		arrives(t, a, b.Addr(), in)
		appends := func() (n int) {
			for _, m := range in.Messages() {
				if m.Bulk() {
					n++
				}
			}
			return n
		}
		before := appends()
		until(t, func() bool {
			a.Send(b.Addr(), bulk(100))
			return appends() > before
		}, "bulk arrives")
		failures := a.Stats().Peers[b.Addr()].Failures
		off.Store(true)
		until(t, func() bool {
			return a.Stats().Peers[b.Addr()].Failures >= failures+2
		}, "both streams are given up")
		require.ErrorIs(t, a.Stats().Peers[b.Addr()].LastError, errSilent)
	}
}

func TestStreamsWithoutPingsAreGivenUp(t *testing.T) {
	b := openWith(t, func(o *options) { o.times.orphan = 50 * time.Millisecond })
	member(t, b, "c", "B")
	stream := dialRaw(t, b.Addr(), helloOf("c", ""))
	_, err := stream.Header()
	require.NoError(t, err)
	var f incoming
	require.ErrorContains(t, stream.RecvMsg(&f), "no ping")
}

func TestIdleStreamsAreClosed(t *testing.T) {
	a := openWith(t, func(o *options) {
		o.times.ping, o.times.idle = 10*time.Millisecond, 50*time.Millisecond
	}, WithCluster("c"))
	b := open(t, local)
	in := member(t, b, "c", "B")
	for range 2 {
		arrives(t, a, b.Addr(), in)
		p := a.peer(b.Addr())
		until(t, func() bool {
			return p.idle() && !a.Stats().Peers[b.Addr()].Connected
		}, "the stream is closed")
	}
	require.Zero(t, a.Stats().Peers[b.Addr()].Failures)
	for i := range 2 * maxPeers {
		a.peer(fmt.Sprint("peer-", i))
	}
	require.LessOrEqual(t, len(a.Stats().Peers), maxPeers)
	arrives(t, a, b.Addr(), in)
}

// breaks is a handler that is told of broken streams.
type breaks struct {
	transporttest.Inbox
	from chan raft.PeerID
}

func (h *breaks) StreamBroken(from raft.PeerID) { h.from <- from }

func TestBrokenStreamsAreToldAtOnce(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	h := &breaks{from: make(chan raft.PeerID, 10)}
	require.NoError(t, b.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	arrives(t, a, b.Addr(), &h.Inbox)
	start := time.Now()
	require.NoError(t, a.Close())
	require.Equal(t, raft.PeerID("A"), <-h.from)
	t.Logf("told after %v", time.Since(start))
	require.Less(t, time.Since(start), time.Second)
}

func TestDialerIsUsed(t *testing.T) {
	b := open(t, local)
	in := member(t, b, "c", "B")
	var asked atomic.Value
	a := open(t, local, WithCluster("c"), WithDialer(func(
		ctx context.Context, addr string,
	) (net.Conn, error) {
		asked.Store(addr)
		var d net.Dialer
		return d.DialContext(ctx, "tcp", b.Addr())
	}))
	const name = "[fe80::1%eth0]:77/what?ever"
	arrives(t, a, name, in)
	require.Equal(t, name, asked.Load())
}

// echo is a second service on a shared server: it answers with its own name.
var echo = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	Methods: []grpc.MethodDesc{{
		MethodName: "Name",
		Handler: func(_ any, _ context.Context, decode func(any) error,
			_ grpc.UnaryServerInterceptor) (any, error) {
			var in healthpb.HealthCheckRequest
			err := decode(&in)
			return &healthpb.HealthCheckRequest{Service: "echo " + in.Service}, err
		},
	}},
}

func TestSharedServer(t *testing.T) {
	s := grpc.NewServer(ServerOptions(DefaultMaxMessageBytes)...)
	defer s.Stop()
	s.RegisterService(&echo, nil)
	b := open(t, local, WithServer(s))
	_, err := Listen(local, WithServer(s))
	require.ErrorContains(t, err, "already")
	in := member(t, b, "c", "B")
	a := open(t, local, WithCluster("c"))
	arrives(t, a, b.Addr(), in)

	for _, tr := range []*Transport{a, b} {
		cc, err := dialPlain(tr.Addr())
		require.NoError(t, err)
		h, err := healthpb.NewHealthClient(cc).Check(t.Context(),
			&healthpb.HealthCheckRequest{Service: serviceName})
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_SERVING, h.Status)
		var out healthpb.HealthCheckRequest
		err = cc.Invoke(t.Context(), "/test.Echo/Name", &healthpb.HealthCheckRequest{Service: "x"}, &out)
		if tr == b {
			require.NoError(t, err)
			require.Equal(t, "echo x", out.Service)
			require.NoError(t, b.Close())
			err = cc.Invoke(t.Context(), "/test.Echo/Name", &healthpb.HealthCheckRequest{Service: "x"}, &out)
			require.NoError(t, err, "the application's server is not ours to stop")
		} else {
			require.Equal(t, codes.Unimplemented, status.Code(err))
		}
		require.NoError(t, cc.Close())
	}
}

func TestServerWithoutServerOptions(t *testing.T) {
	s := grpc.NewServer()
	defer s.Stop()
	b := open(t, local, WithServer(s))
	member(t, b, "c", "B")
	a := open(t, local, WithCluster("c"))
	until(t, func() bool {
		a.Send(b.Addr(), heartbeat(1))
		return a.Stats().Peers[b.Addr()].Failures > 0
	}, "the attempt fails")
	require.ErrorContains(t, a.Stats().Peers[b.Addr()].LastError, "not created with ServerOptions")
}
