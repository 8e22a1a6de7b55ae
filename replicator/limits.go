package replicator

// Limits bound what is under way to one follower.
type Limits struct {
	WindowMessages int // append messages sent and not answered; default 64
	WindowBytes    int // bytes of entries in them; default 4 MiB
	// BatchBytes are the bytes of entries in one message; default 512 KiB. A larger entry travels
	// alone.
	BatchBytes int
}

// WithDefaults returns the limits with zero fields set to their defaults.
func (l Limits) WithDefaults() Limits {
	if l.WindowMessages == 0 {
		l.WindowMessages = 64
	}
	if l.WindowBytes == 0 {
		l.WindowBytes = 4 << 20
	}
	if l.BatchBytes == 0 {
		l.BatchBytes = 512 << 10
	}
	return l
}
