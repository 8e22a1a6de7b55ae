package grpctransport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Option configures [Listen]. One that is nil, or that was given nil where something is needed,
// fails Listen with an error that names it.
type Option func(*options)

type options struct {
	cluster         string
	pinned          bool
	advertise       string
	serverTLS       *tls.Config
	clientTLS       *tls.Config
	dialer          func(ctx context.Context, addr string) (net.Conn, error)
	server          *grpc.Server
	serverOptions   []grpc.ServerOption
	dialOptions     []grpc.DialOption
	maxMessageBytes int
	queueBytes      int
	logger          *slog.Logger
	times           times
	errs            []error // what options were given wrongly; all of it fails Listen
}

// require notes an error unless ok.
func (o *options) require(ok bool, problem string) {
	if !ok {
		o.errs = append(o.errs, errors.New("grpctransport: "+problem))
	}
}

// times are the time limits of streams.
type times struct {
	connect    time.Duration // for dialing, TLS and the handshake
	backoffMin time.Duration // before the second attempt in a row; doubles
	backoffMax time.Duration
	ping       time.Duration // between two pings of a stream
	silence    time.Duration // without an answer to a ping until a control stream is given up
	// the same for a bulk stream, where an answer may be behind a large message
	bulkSilence time.Duration
	idle        time.Duration // without a message until a stream is closed
	orphan      time.Duration // without a ping until the receiving side gives a stream up
	fetch       time.Duration // for one fetch
}

func defaults() options {
	return options{
		maxMessageBytes: DefaultMaxMessageBytes,
		queueBytes:      DefaultQueueBytes,
		logger:          slog.New(slog.DiscardHandler),
		dialer: func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		},
		times: times{
			connect:     2 * time.Second,
			backoffMin:  50 * time.Millisecond,
			backoffMax:  500 * time.Millisecond,
			ping:        time.Second,
			silence:     3 * time.Second,
			bulkSilence: 15 * time.Second,
			idle:        time.Minute,
			orphan:      20 * time.Second,
			fetch:       transport.MaxFetchTime,
		},
	}
}

// Defaults and bounds.
const (
	// DefaultMaxMessageBytes holds a command of 4 MiB, the largest that a member takes by default, and
	// a batch beside it.
	DefaultMaxMessageBytes = 8 << 20
	// DefaultQueueBytes bounds the entries and commands that wait for one peer.
	DefaultQueueBytes = 64 << 20

	queueMessages     = 4096    // waiting in one queue
	controlQueueBytes = 4 << 20 // waiting in a queue of control messages
	frameBytes        = 1 << 20 // messages are put together up to this size
	maxPeers          = 1024    // addresses known at once

	// windowBytes is what may be under way on a stream before the receiver has read it. It is fixed,
	// because gRPC measures what it should be with a ping, and an answer, for every few messages.
	windowBytes = 8 << 20
)

func (o *options) validate() error {
	errs := slices.Clone(o.errs)
	if o.maxMessageBytes < 1<<10 || o.maxMessageBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("grpctransport: MaxMessageBytes is %d, need 1 KiB to 1 GiB",
			o.maxMessageBytes))
	}
	if o.queueBytes < o.maxMessageBytes {
		errs = append(errs,
			fmt.Errorf("grpctransport: QueueBytes is %d, need at least MaxMessageBytes, %d",
				o.queueBytes, o.maxMessageBytes))
	}
	if o.server != nil && len(o.serverOptions) > 0 {
		errs = append(errs,
			errors.New("grpctransport: WithServer brings its own options; drop WithServerOptions"))
	}
	return errors.Join(append(errs, raft.ValidateCluster(o.cluster))...)
}

// WithCluster sets the cluster id. Members of another can't be registered, and peers of another are
// refused. Without it, the first member registered sets it.
func WithCluster(id string) Option {
	return func(o *options) { o.cluster, o.pinned = id, true }
}

// WithTLS proves peers by certificates, both ways: a server certificate of the server
// configuration, and a client certificate of the client configuration, each with a URI name
// "raft://<cluster>/<peer id>" (several where a process runs members of several ids). A message
// whose sender its stream's certificate does not name is refused. Both configurations are copied;
// the server's is made to require and verify client certificates. With [WithServer] the
// application's server does the TLS and must do the same: the server configuration is then not
// used, the check of names is.
func WithTLS(server, client *tls.Config) Option {
	return func(o *options) {
		o.require(server != nil && client != nil,
			"WithTLS needs a server and a client configuration; drop it to go without TLS")
		o.serverTLS, o.clientTLS = server, client
	}
}

// WithDialer makes connections by dial instead of TCP; the context ends with the time allowed.
func WithDialer(dial func(ctx context.Context, addr string) (net.Conn, error)) Option {
	return func(o *options) {
		o.require(dial != nil, "WithDialer(nil); drop it to dial TCP")
		o.dialer = dial
	}
}

// WithServer serves the application's own server, so that one port carries its services and raft.
// Listen registers the raft service on it, and the standard health service unless the application
// has; the application must have registered its own services before, because Listen then serves it
// on the address. Close ends raft's streams and the listener; the server is the application's to
// stop. It must have been created with [ServerOptions], which a server does not tell: where it was
// not, each stream is refused, with a warning here and an error that says so at the peer. It must
// not be serving yet: gRPC ends the process when a service is registered later. What comes over bad
// connections is for its own credentials to see; Stats does not count it.
func WithServer(s *grpc.Server) Option {
	return func(o *options) {
		o.require(s != nil, "WithServer(nil); drop it for a server of the transport's own")
		o.server = s
	}
}

// WithServerOptions adds options for the server that Listen makes, such as interceptors or a
// stats.Handler.
func WithServerOptions(opts ...grpc.ServerOption) Option {
	return func(o *options) {
		o.require(!slices.Contains(opts, nil), "WithServerOptions has an option that is nil")
		o.serverOptions = append(o.serverOptions, opts...)
	}
}

// WithDialOptions adds options for the connections to peers, such as window sizes or a
// stats.Handler.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(o *options) {
		o.require(!slices.Contains(opts, nil), "WithDialOptions has an option that is nil")
		o.dialOptions = append(o.dialOptions, opts...)
	}
}

// WithAdvertise sets the address that peers use, and [Transport.Addr] returns, where it differs
// from the one listened on: always where that is on all interfaces, as ":7000" is. It should be the
// address that the group's configuration has for this process. Empty means the one listened on.
func WithAdvertise(addr string) Option {
	return func(o *options) { o.advertise = addr }
}

// WithMaxMessageBytes bounds one message, both ways. Larger ones are dropped and counted. Use the
// same on all members; it must hold the largest command and [DefaultMaxMessageBytes] does for the
// default limit of a member.
func WithMaxMessageBytes(n int) Option {
	return func(o *options) { o.maxMessageBytes = n }
}

// WithQueueBytes bounds the entries and commands that wait for one peer; what comes beyond is
// dropped and counted.
func WithQueueBytes(n int) Option {
	return func(o *options) { o.queueBytes = n }
}

// WithLogger sets the logger; by default, and with nil, nothing is logged.
func WithLogger(l *slog.Logger) Option {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return func(o *options) { o.logger = l }
}

// ServerOptions returns what a server for [WithServer] must be created with: raft's encoding beside
// protobuf, which its other services keep, room for the largest message, and windows of 8 MiB for
// flow control. maxMessageBytes is that of [WithMaxMessageBytes].
func ServerOptions(maxMessageBytes int) []grpc.ServerOption {
	return []grpc.ServerOption{
		serverCodec(), grpc.MaxRecvMsgSize(maxFrameBytes(maxMessageBytes)),
		grpc.StaticStreamWindowSize(windowBytes), grpc.StaticConnWindowSize(windowBytes),
	}
}

// maxFrameBytes is the size of the largest gRPC message: as many messages as fit in frameBytes, or
// a large one alone.
func maxFrameBytes(maxMessageBytes int) int {
	return frameHeadBytes + max(frameBytes, lengthBytes+maxMessageBytes)
}
