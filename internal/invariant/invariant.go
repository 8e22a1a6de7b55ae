// Package invariant holds the assertions of the protocol. They are always on: a member that finds
// one broken stops at once, because going on could lose what was acknowledged, and stopping can't.
package invariant

import "fmt"

// Violation is what a failed check panics with. The loops that run a member recover it and fail
// that member alone; the simulator recovers it and reports the seed.
type Violation struct {
	What string
	Vals []uint64
}

// Error names the broken invariant and the values that broke it.
func (v *Violation) Error() string {
	return fmt.Sprintf("invariant broken: %s %v", v.What, v.Vals)
}

// Check panics with a [*Violation] unless ok. What is a sentence that must hold; vals are the
// numbers in it. It allocates nothing while ok.
func Check(ok bool, what string, vals ...uint64) {
	if !ok {
		fail(what, append([]uint64(nil), vals...))
	}
}

//go:noinline
func fail(what string, vals []uint64) { panic(&Violation{what, vals}) }
