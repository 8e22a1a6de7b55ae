package swarm

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/jraft-go/jraft/internal/sim/witness"
)

// Stream is one source of chance. Every link direction, disk, member, fault class and client has
// its own, so that taking one fault away (which shrinking does) leaves the draws of all others
// alone. Every method draws exactly once, and a decision makes the same number of draws whatever
// its outcome.
type Stream struct{ Pcg rand.PCG }

// NewStream returns the stream of that id under a seed.
func NewStream(seed, id uint64) *Stream {
	s := &Stream{}
	s.Pcg.Seed(witness.Mix(seed^0x9e3779b97f4a7c15), witness.Mix(id+0x632be59bd9b4e019))
	return s
}

// Unit returns a number in [0, 1).
func (s *Stream) Unit() float64 { return float64(s.Pcg.Uint64()>>11) / (1 << 53) }

// Chance is true with probability p.
func (s *Stream) Chance(p float64) bool { return s.Unit() < p }

// Pick returns a number in [0, n).
func (s *Stream) Pick(n int) int { return Scale(s.Unit(), n) }

// Between returns a duration in [lo, hi), log-uniformly: each order of magnitude is as likely as
// another.
func (s *Stream) Between(lo, hi time.Duration) time.Duration {
	return time.Duration(Spread(s.Unit(), float64(lo), float64(hi)))
}

// Number returns a number in [lo, hi], log-uniformly.
func (s *Stream) Number(lo, hi int) int {
	return int(Spread(s.Unit(), float64(lo), float64(hi)+0.999))
}

// rate returns a probability in [lo, hi), log-uniformly.
func (s *Stream) rate(lo, hi float64) float64 { return Spread(s.Unit(), lo, hi) }

// Wait returns an exponentially distributed duration with that mean, at least a microsecond.
func (s *Stream) Wait(mean time.Duration) time.Duration { return Exponential(s.Unit(), mean) }

// Scale maps u in [0, 1) to [0, n).
func Scale(u float64, n int) int { return min(int(u*float64(n)), n-1) }

// Spread maps u in [0, 1) to [lo, hi), log-uniformly.
func Spread(u, lo, hi float64) float64 { return lo * math.Exp(u*math.Log(hi/lo)) }

// Exponential maps u in [0, 1) to an exponentially distributed duration.
func Exponential(u float64, mean time.Duration) time.Duration {
	return time.Microsecond + time.Duration(-math.Log(1-u)*float64(mean))
}
