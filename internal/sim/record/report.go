package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
)

// Report is what one run did. It is the guard against empty runs (I35): a batch in which a class
// of faults never fired, or in which clients got little done, fails.
type Report struct {
	Seed       uint64
	Members    int
	Hash       uint64 // of all events: two runs of a seed have the same
	Events     int
	Virtual    time.Duration
	Converged  time.Duration // after healing
	Writes     int           // acknowledged
	Reads      int           // served
	Outcomes   [witness.Fates]int
	Elections  int // won
	Term       uint64
	Crashes    int
	Stopped    int // members stopped by a write error
	Restarts   int
	Fetches    int
	Overflows  int // messages that a link had no room for
	Cuts       int // truncations
	Snapshots  Snapshots
	Membership Membership
	Fired      [swarm.Classes]int
	Faults     []swarm.Fault
	Failure    *Failure // nil: all invariants held
}

// Snapshots counts what was done with snapshots in a run.
type Snapshots struct {
	Saves       int // taken
	Pulls       int // fetched from others
	Restores    int // in a running member
	Starts      int // of members with one
	Served      int // pieces
	Gone        int // fetches that ended because the source no longer had it
	Interrupted int // by a crash or another snapshot
	Older       int // used at a start because a newer one was damaged
	Refused     int // starts, because it was damaged
	Compactions int
	Resets      int // of logs to a snapshot
	Audits      int
	Measured    int // logs, at the end
	Backups     int // on their way through the log
	Restored    int // of them took effect, for whoever wanted it
	Abandoned   int // given up
	Postponed   int // snapshots, because of a restore
}

// Add adds the counts of another run.
func (s *Snapshots) Add(t *Snapshots) {
	for i, n := range t.all() {
		*s.all()[i] += *n
	}
}

func (s *Snapshots) all() []*int {
	return []*int{&s.Saves, &s.Pulls, &s.Restores, &s.Starts, &s.Served, &s.Gone, &s.Interrupted,
		&s.Older, &s.Refused, &s.Compactions, &s.Resets, &s.Audits,
		&s.Measured, &s.Backups, &s.Restored, &s.Abandoned, &s.Postponed}
}

// Failure says which invariant did not hold, where and when.
type Failure struct {
	Seed      uint64
	Invariant string
	What      string
	At        time.Duration
	Only      []swarm.Fault // if not nil: the faults that are enough
	Trace     []string
	Stack     string // where the code under test panicked
}

// Replay is the command that runs the failing seed again.
func (f *Failure) Replay() string {
	cmd := fmt.Sprintf("go test ./internal/sim -run 'TestSeed$' -v -seed %d", f.Seed)
	if f.Only == nil {
		return cmd
	}
	names := []string{"none"}
	for i, x := range f.Only {
		names = append(names[:i], x.String())
	}
	return cmd + " -only " + strings.Join(names, ",")
}

// String is the failure for people: what broke, how to see it again, and the last events.
func (f *Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "INVARIANT: %s\n  seed %d at %v: %s\n  replay: %s\n", f.Invariant, f.Seed, f.At,
		f.What, f.Replay())
	if f.Stack != "" {
		fmt.Fprintf(&b, "%s\n", f.Stack)
	}
	for _, line := range f.Trace {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}
