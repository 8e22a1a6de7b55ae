package grpctransport

import (
	"sync/atomic"
)

// Stats is a copy of a transport's counters.
type Stats struct {
	Peers map[string]PeerStats // by address
	// Refused counts streams of peers that were refused: another cluster, another wire version, a certificate
	// that names no member.
	Refused uint64
}

// PeerStats counts what went to and came from one peer address. Counts are of messages unless they say bytes.
type PeerStats struct {
	Sent, SentBytes         uint64 // handed to gRPC; what a broken connection takes with it is counted too
	Received, ReceivedBytes uint64 // handed to a member
	Dropped                 uint64 // not sent: queue full, peer unreachable, or too large
	TooLarge                uint64 // those of Dropped that are larger than the limit
	Refused                 uint64 // received, but malformed, of a false sender, or for no member here
	Failures                uint64 // attempts to connect that failed, and streams that broke
	Connected               bool   // at least one stream to the peer is open
	LastError               error  // why an attempt failed or a stream broke, the last time; nil if never
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
	s := Stats{Peers: make(map[string]PeerStats), Refused: t.refused.Load()}
	t.peers.Range(func(addr, p any) bool {
		s.Peers[addr.(string)] = p.(*peer).counters.copy()
		return true
	})
	return s
}
