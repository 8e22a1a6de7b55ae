package sim

import (
	"time"

	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
)

// Shrunk is the outcome of [Shrink].
type Shrunk struct {
	Failure *record.Failure // of the smallest run
	Before  int             // faults that fired in the first run
	Left    []swarm.Fault   // faults that fire in the smallest one
	Runs    int
}

// Shrink looks for a small set of faults that still breaks the same invariant (delta debugging): it
// leaves out half of those that fired, then smaller and smaller parts, and keeps what still fails.
// Faults that were not in the first run never happen, so the set only shrinks. It ends when nothing
// more can be left out, or when the time is over.
func Shrink(cfg Config, f *record.Failure, budget time.Duration) Shrunk {
	cfg.Log, cfg.Only = nil, nil
	first := Run(cfg)
	s := Shrunk{Failure: f, Runs: 1, Before: len(first.Faults), Left: first.Faults}
	if first.Failure == nil || first.Failure.Invariant != f.Invariant {
		return s // it does not happen again: the simulator is not deterministic, and that is the bug
	}
	until := time.Now().Add(budget)
	for parts := 2; len(s.Left) > 0 && time.Now().Before(until); {
		if s.pass(cfg, parts, until) {
			parts = max(parts/2, 2)
			continue
		}
		if parts >= len(s.Left) {
			break
		}
		parts = min(2*parts, len(s.Left))
	}
	return s
}

// pass tries to leave out each of so many parts of the faults that are left; true: one could be.
func (s *Shrunk) pass(cfg Config, parts int, until time.Time) bool {
	smaller := false
	for i := parts - 1; i >= 0 && time.Now().Before(until); i-- {
		lo, hi := len(s.Left)*i/parts, min(len(s.Left)*(i+1)/parts, len(s.Left))
		if lo >= hi {
			continue
		}
		cfg.Only = append(append([]swarm.Fault{}, s.Left[:lo]...), s.Left[hi:]...)
		s.Runs++
		r := Run(cfg)
		if r.Failure != nil && r.Failure.Invariant == s.Failure.Invariant {
			s.Failure, s.Left, smaller = r.Failure, r.Faults, true
			s.Failure.Only = append([]swarm.Fault{}, r.Faults...)
		}
	}
	return smaller
}
