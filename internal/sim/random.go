package sim

import (
	"github.com/jraft-go/jraft/internal/sim/witness"
	"math"
	"math/rand/v2"
	"time"
)

// stream is one source of chance. Every link direction, disk, member, fault class and client has
// its own, so that taking one fault away (which shrinking does) leaves the draws of all others
// alone. Every method draws exactly once, and a decision makes the same number of draws whatever
// its outcome.
type stream struct{ pcg rand.PCG }

// newStream returns the stream of that id under a seed.
func newStream(seed, id uint64) *stream {
	s := &stream{}
	s.pcg.Seed(witness.Mix(seed^0x9e3779b97f4a7c15), witness.Mix(id+0x632be59bd9b4e019))
	return s
}

// unit returns a number in [0, 1).
func (s *stream) unit() float64 { return float64(s.pcg.Uint64()>>11) / (1 << 53) }

// chance is true with probability p.
func (s *stream) chance(p float64) bool { return s.unit() < p }

// pick returns a number in [0, n).
func (s *stream) pick(n int) int { return scale(s.unit(), n) }

// between returns a duration in [lo, hi), log-uniformly: each order of magnitude is as likely as
// another.
func (s *stream) between(lo, hi time.Duration) time.Duration {
	return time.Duration(spread(s.unit(), float64(lo), float64(hi)))
}

// number returns a number in [lo, hi], log-uniformly.
func (s *stream) number(lo, hi int) int {
	return int(spread(s.unit(), float64(lo), float64(hi)+0.999))
}

// rate returns a probability in [lo, hi), log-uniformly.
func (s *stream) rate(lo, hi float64) float64 { return spread(s.unit(), lo, hi) }

// wait returns an exponentially distributed duration with that mean, at least a microsecond.
func (s *stream) wait(mean time.Duration) time.Duration { return exponential(s.unit(), mean) }

// scale maps u in [0, 1) to [0, n).
func scale(u float64, n int) int { return min(int(u*float64(n)), n-1) }

// spread maps u in [0, 1) to [lo, hi), log-uniformly.
func spread(u, lo, hi float64) float64 { return lo * math.Exp(u*math.Log(hi/lo)) }

// exponential maps u in [0, 1) to an exponentially distributed duration.
func exponential(u float64, mean time.Duration) time.Duration {
	return time.Microsecond + time.Duration(-math.Log(1-u)*float64(mean))
}
