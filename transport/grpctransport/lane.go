package grpctransport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Causes for which this side gives up on a stream.
var (
	errConnectTime = errors.New("no connection in the time allowed")
	errSilent      = errors.New("no answer from the peer")
	errNoMember    = errors.New("no member runs here yet, so the cluster isn't known")
)

// lane is one of the two ways to a peer: its queue, and while there is something to send, a
// goroutine that keeps a connection of its own with one stream. A connection that stays silent is
// closed as a whole, because a new stream over a half-open one would be as dead: gRPC's own
// keepalive notices that only after ten seconds and more. Each attempt has a new connection, so
// that the pauses between them are the lane's.
type lane struct {
	t       *Transport
	peer    *peer
	name    string
	queue   *queue
	silence time.Duration
	again   chan struct{} // capacity 1: try at once, the peer may be back

	mu      sync.Mutex
	running bool
	abort   context.CancelCauseFunc // ends the session under way; nil while there is none

	// Only the running goroutine uses these.
	backoff  time.Duration
	reported string // what the last error logged was about
	scratch  []raft.Message
}

// send queues messages of this lane's kind.
func (l *lane) send(msgs []raft.Message, bulk bool) {
	queued := false
	for i := range msgs {
		m := &msgs[i]
		if m.Bulk() != bulk {
			continue
		}
		bytes := lengthBytes + transport.EncodedBytes(m)
		if bytes-lengthBytes > l.t.o.maxMessageBytes {
			l.peer.tooLarge(m, bytes)
			continue
		}
		if !l.queue.push(m, bytes) {
			l.peer.counters.dropped.Add(1)
			continue
		}
		queued = true
	}
	if queued {
		l.start()
		l.queue.signal()
	}
}

// start makes sure that the lane's goroutine runs.
func (l *lane) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		l.running = l.t.spawn(l.run)
	}
}

// dormant ends the goroutine when there is nothing to send. What is queued after the check finds it
// not running.
func (l *lane) dormant() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.ctx.Err() != nil || l.queue.empty() {
		l.running = false
	}
	return !l.running
}

func (l *lane) run() {
	for !l.dormant() {
		opened := time.Now()
		connected, err := l.session()
		if err == nil || l.t.ctx.Err() != nil {
			continue
		}
		l.peer.counters.fail(err)
		l.report(err)
		if !connected {
			// What waited for a connection is stale by the next attempt; raft sends anew what matters.
			l.peer.counters.dropped.Add(uint64(l.queue.drain()))
		}
		times := &l.t.o.times
		switch {
		case connected && time.Since(opened) > times.backoffMax:
			l.backoff = 0 // it worked for a while: try again at once
		default:
			l.backoff = min(max(2*l.backoff, times.backoffMin), times.backoffMax)
		}
		select {
		case <-time.After(l.backoff):
		case <-l.again:
			l.backoff = 0
		case <-l.t.ctx.Done():
		}
	}
}

// session connects, and sends until the stream breaks (an error) or has been idle for long (nil).
func (l *lane) session() (connected bool, err error) {
	ctx, cancel := context.WithCancelCause(l.t.ctx)
	defer cancel(nil)
	l.setAbort(cancel)
	defer l.setAbort(nil)
	late := time.AfterFunc(l.t.o.times.connect, func() { cancel(errConnectTime) })
	defer late.Stop()
	cc, err := l.peer.dial()
	if err != nil {
		return false, err
	}
	defer cc.Close()
	stream, ids, err := l.open(ctx, cc)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	if !late.Stop() {
		return false, errConnectTime
	}
	l.peer.counters.open.Add(1)
	defer l.peer.counters.open.Add(-1)
	if l.reported != "" {
		l.t.o.logger.Info("connected to peer", "addr", l.peer.addr, "stream", l.name)
		l.reported = ""
	}
	silent := time.AfterFunc(l.silence, func() { l.peer.lost(l, errSilent) })
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			f := incoming{maxMessageBytes: l.t.o.maxMessageBytes}
			if err := stream.RecvMsg(&f); err != nil {
				cancel(refusal(err, stream.Trailer()))
				return
			}
			silent.Reset(l.silence)
		}
	}()
	err = l.pump(ctx, stream, ids)
	cancel(nil)
	<-received
	silent.Stop()
	return true, err
}

// open starts the stream and completes the handshake.
func (l *lane) open(ctx context.Context, cc *grpc.ClientConn) (grpc.ClientStream, identity, error) {
	cluster, ok := l.t.registry.Cluster()
	if !ok {
		return nil, nil, errNoMember
	}
	hello := helloOf(cluster, l.t.Addr())
	hello.Set(keyLane, l.name)
	ctx = metadata.NewOutgoingContext(ctx, hello)
	stream, err := cc.NewStream(ctx, &streamDesc, methodName, callCodec(), grpc.WaitForReady(false),
		grpc.MaxCallRecvMsgSize(maxFrameBytes(l.t.o.maxMessageBytes)))
	if err != nil {
		return nil, nil, err
	}
	header, err := stream.Header()
	if err != nil {
		return nil, nil, err
	}
	if len(header.Get(keyVersion)) == 0 { // refused: the status says why
		var f incoming
		if err = stream.RecvMsg(&f); err == nil {
			err = fmt.Errorf("%w: the peer did not answer the handshake", raft.ErrCorrupt)
		}
		return nil, nil, refusal(err, stream.Trailer())
	}
	if err := verifyHello(header, cluster); err != nil {
		return nil, nil, err
	}
	if l.t.o.clientTLS == nil {
		return stream, nil, nil
	}
	ids, err := identify(stream.Context(), cluster)
	return stream, ids, err
}

// pump sends what is queued, each time all of it that fits in a frame.
func (l *lane) pump(ctx context.Context, stream grpc.ClientStream, ids identity) error {
	tick := time.NewTicker(l.t.o.times.ping)
	defer tick.Stop()
	ping := byte(flagPing)
	for last := time.Now(); ; {
		f := outgoing{flags: ping, pool: &l.t.frames}
		f.msgs, f.bytes = l.queue.take(l.scratch[:0], frameBytes)
		l.scratch = f.msgs
		if len(f.msgs) > 0 || ping != 0 {
			if len(f.msgs) > 0 {
				last = time.Now()
			}
			if err := l.sendFrame(ctx, stream, &f, ids); err != nil {
				return err
			}
			ping = 0
			continue
		}
		select {
		case <-l.queue.wake:
		case <-tick.C:
			if time.Since(last) > l.t.o.times.idle {
				return nil
			}
			ping = flagPing
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *lane) sendFrame(ctx context.Context, stream grpc.ClientStream, f *outgoing,
	ids identity) error {
	c := &l.peer.counters
	if ids != nil {
		f.msgs = namedReceivers(f.msgs, ids)
		c.dropped.Add(uint64(len(l.scratch) - len(f.msgs)))
	}
	err := stream.SendMsg(f)
	if err != nil {
		// io.EOF: the stream has ended, and the receiving goroutine is about to learn why.
		<-ctx.Done()
		err = context.Cause(ctx)
		c.dropped.Add(uint64(len(f.msgs)))
	} else {
		c.sent.Add(uint64(len(f.msgs)))
		c.sentBytes.Add(uint64(frameHeadBytes + f.bytes))
	}
	clear(l.scratch)
	return err
}

// namedReceivers keeps the messages for peers that the other side's certificate names.
func namedReceivers(msgs []raft.Message, ids identity) []raft.Message {
	kept := msgs[:0]
	for _, m := range msgs {
		if ids.allows(m.To) {
			kept = append(kept, m)
		}
	}
	return kept
}

func (l *lane) setAbort(abort context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abort = abort
}

// retry ends the pause before the next attempt.
func (l *lane) retry() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// end breaks the session under way, if there is one.
func (l *lane) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abort != nil {
		l.abort(cause)
	}
}

// report logs an error once, not at each attempt.
func (l *lane) report(err error) {
	about := "connection"
	for _, known := range []error{raft.ErrWrongCluster, transport.ErrWireVersion, errIdentity} {
		if errors.Is(err, known) {
			about = known.Error()
		}
	}
	if about == l.reported {
		return
	}
	l.reported = about
	l.t.o.logger.Warn("can't reach peer; trying on", "addr", l.peer.addr, "stream", l.name,
		"error", err)
}

// causeOf prefers the reason why this side gave up to the error that this led to.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
