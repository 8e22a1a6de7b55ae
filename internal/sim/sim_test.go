package sim

import (
	"flag"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
)

// The flags. What each is for is told in docs/SIMULATION.md.
var (
	seedFlag = flag.Int64("seed", -1,
		"the one seed that TestSeed runs; with -v it prints every event")
	seedsFlag = flag.Int("seeds", 0,
		"how many seeds TestSeeds runs; 0: the default of a quick test")
	fromFlag  = flag.Uint64("from", 1, "the first seed of TestSeeds")
	freshFlag = flag.Bool("fresh", false,
		"TestSeeds starts at a seed drawn from the clock, and prints it")
	stopFlag = flag.Bool("stop-at-first", false, "TestSeeds stops at the first failing seed")
	onlyFlag = flag.String("only", "",
		"the only faults that happen in TestSeed: class/source/ordinal,... or none")
	shrinkFlag = flag.Duration("shrink", 10*time.Second,
		"time to shrink the faults of all failing seeds together; 0: don't")
)

// defaultSeeds is sized for plain go test: some 10 s of processor time.
const defaultSeeds = 160

// TestSeed replays one seed.
func TestSeed(t *testing.T) {
	cfg := Config{Seed: uint64(max(*seedFlag, 0))}
	if *onlyFlag != "" {
		cfg.Only = []swarm.Fault{}
	}
	for s := range strings.SplitSeq(*onlyFlag, ",") {
		if s != "" && s != "none" {
			f, err := swarm.ParseFault(s)
			require.NoError(t, err)
			cfg.Only = append(cfg.Only, f)
		}
	}
	if testing.Verbose() && *seedFlag >= 0 {
		cfg.Log = func(line string) { fmt.Println(line) }
	}
	r := Run(cfg)
	if r.Failure != nil {
		r.Failure.Only = cfg.Only
		t.Fatal(r.Failure)
	}
	t.Logf("%d events, %d writes and %d reads, %d elections, converged in %v; hash %016x",
		r.Events, r.Writes, r.Reads, r.Elections, r.Converged, r.Hash)
}

// TestSeeds runs a range of seeds on all cores, a seed in one goroutine, and adds up what they did.
func TestSeeds(t *testing.T) {
	from, n := *fromFlag, *seedsFlag
	if n == 0 {
		n = defaultSeeds / raceFactor
	}
	if *freshFlag {
		from = uint64(time.Now().UnixNano()) >> 10
	}
	began := time.Now()
	reports := runSeeds(from, n, func(f *record.Failure) { t.Errorf("%v", f) })
	took := time.Since(began)
	var sum totals
	var failures []*record.Failure
	for i := range reports {
		if f := reports[i].Failure; f != nil {
			failures = append(failures, f)
		}
		sum.add(&reports[i])
	}
	shrinkAll(t, failures, *shrinkFlag)
	t.Logf("seeds %d..%d: %.1f seeds/s on %d goroutines", from, from+uint64(n)-1,
		float64(sum.runs)/took.Seconds(), workers())
	t.Log(sum.String())
	sum.requireTraffic(t, n)
}

func workers() int { return min(2, runtime.GOMAXPROCS(0)) }

// runSeeds returns the reports in the order of the seeds, and tells of a failure at once, from
// any goroutine. With -stop-at-first seeds after a failing one may be missing.
func runSeeds(from uint64, n int, failed func(*record.Failure)) []record.Report {
	reports := make([]record.Report, n)
	var next, stop atomic.Int64
	stop.Store(math.MaxInt64)
	var wg sync.WaitGroup
	for range workers() {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) || i > stop.Load() {
					return
				}
				reports[i] = Run(Config{Seed: from + uint64(i), Finish: secondOpinion})
				if f := reports[i].Failure; f != nil {
					failed(f)
					if *stopFlag {
						stop.Store(min(i, stop.Load()))
					}
				}
			}
		})
	}
	wg.Wait()
	return reports
}

// shrinkAll prints the fewest faults that still lead to each failure, as far as the time allows,
// and returns how many failures it got to.
func shrinkAll(t *testing.T, failures []*record.Failure, budget time.Duration) int {
	t.Helper()
	until := time.Now().Add(budget)
	for i, f := range failures {
		left := time.Until(until)
		if left <= 0 {
			t.Logf("%d failing seeds were not shrunk; TestSeeds with -from, -seeds 1 and -shrink does it",
				len(failures)-i)
			return i
		}
		small := Shrink(Config{Seed: f.Seed, Finish: secondOpinion}, f, left)
		t.Logf("seed %d shrunk from %d to %d faults in %d runs: %v\nreplay: %s", f.Seed, small.Before,
			len(small.Left), small.Runs, small.Left, small.Failure.Replay())
	}
	return len(failures)
}

// totals add up the reports of a batch.
type totals struct {
	runs, events, writes, reads, elections, crashes int
	stopped, restarts, fetches, cuts, overflows     int

	snapshots  record.Snapshots
	membership record.Membership
	settled    [witness.Fates]int
	fired      [swarm.Classes]int
	virtual    time.Duration
	members    [8]int
}

func (s *totals) add(r *record.Report) {
	if r.Events == 0 {
		return // not run
	}
	s.runs++
	s.members[r.Members]++
	s.events += r.Events
	s.writes += r.Writes
	s.reads += r.Reads
	s.elections += r.Elections
	s.crashes += r.Crashes
	s.stopped += r.Stopped
	s.restarts += r.Restarts
	s.fetches += r.Fetches
	s.overflows += r.Overflows
	s.cuts += r.Cuts
	s.snapshots.Add(&r.Snapshots)
	s.membership.Add(&r.Membership)
	s.virtual += r.Virtual
	for i := range r.Outcomes {
		s.settled[i] += r.Outcomes[i]
	}
	for i := range r.Fired {
		s.fired[i] += r.Fired[i]
	}
}

func (s *totals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d clusters lived %v: %d events, %d writes acknowledged, %d reads served, "+
		"%d calls refused, "+
		"%d of unknown outcome, %d elections, %d truncations, %d fetches, "+
		"%d overflows of links, %d crashes, %d members "+
		"stopped by disk "+
		"errors, %d restarts\nclusters by size: %v\nsnapshots: %+v\nmembership: %+v\nfaults:", s.runs,
		s.virtual.Round(time.Second),
		s.events,
		s.writes, s.reads, s.settled[witness.NotAppended], s.settled[witness.Unknown], s.elections,
		s.cuts, s.fetches, s.overflows, s.crashes,
		s.stopped, s.restarts, s.members, s.snapshots, s.membership)
	for c := range swarm.Classes {
		fmt.Fprintf(&b, " %s %d,", c, s.fired[c])
	}
	return strings.TrimSuffix(b.String(), ",")
}

// enoughSeeds are those from which on each class of faults must have fired: the rarest fires in one
// seed of eight, so a small batch may miss it by chance.
const enoughSeeds = 500

// requireTraffic is I35: a batch in which a kind of fault never happened, or clients got little
// done, proves nothing.
func (s *totals) requireTraffic(t *testing.T, n int) {
	t.Helper()
	if n < 20 || t.Failed() {
		return
	}
	if silent := s.silent(); n < enoughSeeds {
		t.Logf("I35: that each class of faults fires is asked for from %d seeds on; silent here: %v",
			enoughSeeds, silent)
	} else {
		require.Emptyf(t, silent, "I35 not vacuous: classes of faults that never fired in %d seeds", n)
	}
	require.Greaterf(t, s.writes, 40*n, "I35 not vacuous: writes acknowledged in %d seeds", n)
	require.Greaterf(t, s.reads, 10*n, "I35 not vacuous: reads served in %d seeds", n)
	require.Greater(t, s.elections, 2*n, "I35 not vacuous: elections")
	require.Greater(t, s.overflows, n/4, "I35 not vacuous: messages that a link had no room for")
	require.Greater(t, s.cuts, n/4, "I35 not vacuous: truncations")
	x := &s.snapshots
	for what, count := range map[string]int{
		"taken": x.Saves / 10, "fetched": x.Pulls * 2, "restored": x.Restores * 2,
		"started from": x.Starts / 2, "interrupted": x.Interrupted * 2, "compactions": x.Compactions / 10,
		"resets of logs": x.Resets * 2, "looks after a crash": x.Audits, "pieces": x.Served,
	} {
		require.Greaterf(t, count, n, "I35 not vacuous: snapshots: %s", what)
	}
	require.Greater(t, x.Restored, n/5, "I35 not vacuous: backups restored")
	require.Greater(t, x.Postponed, n, "I35 not vacuous: snapshots postponed")
	if n >= 100 {
		require.Positive(t, x.Abandoned, "I35 not vacuous: restores given up")
		require.Positive(t, x.Measured, "I35 not vacuous: logs measured at the end")
		require.Positive(t, x.Older, "I35 not vacuous: damaged snapshots, passed over")
		require.Positive(t, x.Refused, "I35 not vacuous: damaged snapshots, refused starts")
		require.Positive(t, x.Gone, "I35 not vacuous: snapshots that their source lost midway")
	}
	require.Greater(t, s.fetches, n/4, "I35 not vacuous: old entries read from disk")
	s.requireChanges(t, n)
}

// silent are the classes of faults that never fired.
func (s *totals) silent() (never []swarm.Class) {
	for c := range swarm.Classes {
		if s.fired[c] == 0 {
			never = append(never, c)
		}
	}
	return never
}

func TestSilentClasses(t *testing.T) {
	var s totals
	for c := range swarm.Classes {
		s.fired[c] = 1
	}
	require.Empty(t, s.silent())
	s.fired[swarm.WriteError] = 0
	require.Equal(t, []swarm.Class{swarm.WriteError}, s.silent())
}

func TestShrinkingIsBoundedInAll(t *testing.T) {
	failures := []*record.Failure{{Seed: 1, Invariant: "none"}, {Seed: 2, Invariant: "none"}}
	require.Equal(t, 2, shrinkAll(t, failures, time.Minute))
	require.Zero(t, shrinkAll(t, failures, 0), "no time, no run")
}

// TestDeterminism runs some seeds twice.
func TestDeterminism(t *testing.T) {
	for seed := uint64(1000); seed < 1008; seed++ {
		a, b := Run(Config{Seed: seed}), Run(Config{Seed: seed})
		require.Equal(t, a.Hash, b.Hash, "seed %d is not the same twice", seed)
		require.Equal(t, a.Faults, b.Faults)
		require.Positive(t, a.Events)
	}
}

// TestShrink shrinks a failure that only two faults together lead to, and replays what is left.
func TestShrink(t *testing.T) {
	twoIsolations := func(c *Cluster) {
		n := c.report.Fired[swarm.Isolate]
		c.check(n < 2, "two isolations", "there are %d", n)
	}
	for seed := uint64(1); ; seed++ {
		w := swarm.Draw(seed)
		w.Snapshots, w.Every = false, 0
		w.Members, w.Length, w.On = 3, 3*time.Second, [swarm.Classes]bool{}
		for _, class := range []swarm.Class{swarm.Isolate, swarm.Crash, swarm.Pause, swarm.Stall} {
			w.On[class] = true
		}
		cfg := Config{Seed: seed, Swarm: &w, Finish: twoIsolations}
		r := Run(cfg)
		if r.Failure == nil {
			continue
		}
		small := Shrink(cfg, r.Failure, time.Minute)
		require.Len(t, small.Left, 2)
		require.Equal(t, small.Left, small.Failure.Only)
		cfg.Only = small.Failure.Only
		again := Run(cfg)
		require.Equal(t, "two isolations", again.Failure.Invariant)
		require.Equal(t, small.Left, again.Faults)
		for _, f := range small.Left {
			back, err := swarm.ParseFault(f.String())
			require.NoError(t, err)
			require.Equal(t, f, back)
		}
		return
	}
}
