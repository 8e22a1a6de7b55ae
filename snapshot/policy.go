package snapshot

import "time"

// Policy says when a member takes a snapshot of its own accord, and what it keeps. A
// snapshot is due when the first of the thresholds is reached; each is drawn anew each time, up to
// a quarter more or less, so that members don't do it together. It corresponds to NodeOptions'
// snapshotIntervalSecs and snapshotLogIndexMargin.
//
// Nothing is taken by itself where Entries and Bytes are negative and Every is 0; Node.Snapshot of
// package node works all the same, and so does fetching the leader's.
type Policy struct {
	Entries int           // take one after so many applied entries; default 100,000; negative: never
	Bytes   int64         // or after so many bytes of applied entries; default 64 MiB; negative: never
	Every   time.Duration // or when this has passed since and anything was applied; 0: never

	Keep int // how many snapshots are kept; default 2
	// TrailingEntries is how many entries stay in the log although a snapshot covers them, so that a
	// follower that lags a little needs none. Default 10,000; negative: none.
	TrailingEntries int
	// TrailingBytes bounds them by their size, roughly, as far as they were appended since the member
	// started. Default 64 MiB; negative: no bound.
	TrailingBytes int64
	// BytesPerSecond bounds what is sent to others and what is fetched, each, so that an install does
	// not hold up the leader's writes. Default 16 MiB; negative: no bound.
	BytesPerSecond int64
}

// maxThreshold is for ever, and a quarter more of it is a number still.
const maxThreshold = 1 << 62

// WithDefaults fills the fields that are zero.
func (p Policy) WithDefaults() Policy {
	if p.Entries == 0 {
		p.Entries = 100_000
	}
	if p.Bytes == 0 {
		p.Bytes = 64 << 20
	}
	if p.Keep == 0 {
		p.Keep = 2
	}
	if p.TrailingEntries == 0 {
		p.TrailingEntries = 10_000
	}
	if p.TrailingBytes == 0 {
		p.TrailingBytes = 64 << 20
	}
	if p.BytesPerSecond == 0 {
		p.BytesPerSecond = 16 << 20
	}
	p.BytesPerSecond = max(p.BytesPerSecond, 0)
	p.TrailingEntries, p.TrailingBytes = max(p.TrailingEntries, 0), max(p.TrailingBytes, 0)
	p.Entries = int(min(int64(p.Entries), maxThreshold))
	p.Bytes, p.Every = min(p.Bytes, maxThreshold), min(p.Every, maxThreshold)
	return p
}
