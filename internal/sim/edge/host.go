package edge

import (
	"errors"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// Host is the member that the edges are of, and the cluster around it, as far as they need them.
type Host struct {
	*witness.Member
	Seed    uint64
	Swarm   *swarm.Swarm
	History *witness.History
	Report  *record.Report

	Note   func(what string, nums ...uint64)           // traces an event of the member
	Clock  func() time.Duration                        // of the member
	After  func(d time.Duration, f func())             // runs f later, in the same life of the member
	Firing func() bool                                 // faults may happen
	Fire   func(class swarm.Class, drawn bool) bool    // a fault that was drawn happens
	Input  func(f func(c *core.Core, t time.Duration)) // gives the core one input
	Call   func(f func(c *core.Core, t time.Duration)) // the same, on behalf of a user

	Powerless func(err error) bool // the file system has stopped, and so the member is taken down
	Fails     func(err error)      // stops the member, as production does
	Postponed func(err error) bool // a restore is why no snapshot is taken
	MayDamage func() bool          // a snapshot of the member may get a wrong bit

	// Carry brings a request to whoever listens at an address, and each of the replies back.
	Carry func(addr string, request []byte, got func(reply []byte))
}

// New returns the edges of a member that is down, and was never up.
func New(h Host) (*Disk, *Keeper) {
	d, k := newDisk(&h), newKeeper(&h)
	d.keeper, k.disk = k, d
	return d, k
}

func (h *Host) check(ok bool, invariant, format string, args ...any) {
	h.History.Check(ok, invariant, format, args...)
}

// Trap is a crash that waits for something to be under way.
type Trap struct {
	Part  float64 // of the time that this takes, before the crash
	Crash func()
}

// spring sets a trap off in the midst of what begins now, and returns what is left of it.
func (h *Host) spring(t *Trap, took time.Duration) *Trap {
	if t == nil || !h.Firing() {
		return t
	}
	h.After(time.Duration(t.Part*float64(took)), t.Crash)
	return nil
}

var errInjected = errors.New("injected write error")

// Injected reports whether the error is one that the simulator has injected.
func Injected(err error) bool {
	return errors.Is(err, errInjected) || errors.Is(err, raft.ErrDiskFull) ||
		errors.Is(err, vfs.ErrNoSpace)
}
