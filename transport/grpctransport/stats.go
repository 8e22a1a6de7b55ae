package grpctransport

import (
	"sync/atomic"
)

// Stats is a copy of a transport's counters.
type Stats struct {
	Peers map[string]PeerStats // by address
	// Refused counts streams of peers that were refused: another cluster, another wire version, a
	// certificate that names no member.
	Refused uint64
	// BadConnections counts connections to this side that were closed because what came over them was
	// no gRPC, or failed TLS: another program, or a peer with other certificates or without TLS. One
	// that merely ends, as those of health checks and port scans do, is not counted. It stays zero
	// with [WithServer], and where [WithServerOptions] brings credentials.
	BadConnections uint64
	// Dropped counts messages for addresses beyond the number that is kept.
	Dropped uint64
}

// PeerStats counts what went to and came from one peer address. Counts are of messages unless they
// say bytes.
type PeerStats struct {
	// Sent were handed to gRPC; those that a broken connection takes with it are counted too.
	Sent, SentBytes uint64
	// Received were handed to a member.
	Received, ReceivedBytes uint64
	// Dropped were not sent: the queue was full, the peer unreachable, or the message too large.
	Dropped uint64
	// TooLarge are those of Dropped that were larger than the limit.
	TooLarge uint64
	// Refused were received, but malformed, of a false sender, or for no member here.
	Refused uint64
	// Failures are attempts to connect that failed, and streams that broke.
	Failures uint64
	// Connected says that at least one stream to the peer is open.
	Connected bool
	// LastError is why an attempt failed or a stream broke, the last time; nil if none did.
	LastError error
}

// counters are what PeerStats is copied from.
type counters struct {
	sent, sentBytes, received, receivedBytes, dropped, tooLarge, refused, failures atomic.Uint64

	open      atomic.Int32 // streams to the peer
	lastError atomic.Pointer[error]
}

func (c *counters) fail(err error) {
	c.failures.Add(1)
	c.lastError.Store(&err)
}

func (c *counters) copy() PeerStats {
	s := PeerStats{
		Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(),
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(),
		Dropped: c.dropped.Load(), TooLarge: c.tooLarge.Load(), Refused: c.refused.Load(),
		Failures: c.failures.Load(), Connected: c.open.Load() > 0,
	}
	if err := c.lastError.Load(); err != nil {
		s.LastError = *err
	}
	return s
}

// Stats returns a copy of the counters. It takes no lock that sending or receiving waits for.
func (t *Transport) Stats() Stats {
	s := Stats{Peers: make(map[string]PeerStats), Refused: t.refused.Load(),
		BadConnections: t.badConnections.Load(), Dropped: t.dropped.Load()}
	t.peers.Range(func(addr, p any) bool {
		s.Peers[addr.(string)] = p.(*peer).counters.copy()
		return true
	})
	return s
}
