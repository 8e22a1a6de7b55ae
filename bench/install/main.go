// Command install measures how a member catches up with its group: by the log, and by a large
// snapshot. It kills both sides of an install, too. See ../README.md.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "install:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out, usage io.Writer) error {
	if len(args) > 0 && args[0] == memberCommand {
		return runMember(args[1:], in, out)
	}
	return measure(args, out, usage)
}

type options struct {
	size    int64
	clients int
	pause   time.Duration
	entries int
	dir     string
	third   string
	limit   int64 // -1: none; 0: the library's
	time    time.Duration
}

func parseOptions(args []string, usage io.Writer) (o options, err error) {
	f := flag.NewFlagSet("install", flag.ContinueOnError)
	f.SetOutput(usage)
	size := f.String("size", "1GiB", "of the state: a number with MiB or GiB; 0MiB: only the log")
	f.IntVar(&o.clients, "clients", 8, "that write to the leader during the install")
	f.DurationVar(&o.pause, "pause", 10*time.Millisecond, "of each client between two writes")
	f.IntVar(&o.entries, "entries", 200_000, "of 128 bytes, to catch up by the log; 0: not measured")
	f.StringVar(&o.dir, "dir", "", "where to put the data; default: the one for temporary files")
	f.DurationVar(&o.time, "time", 6*time.Second, "how long writes are measured before and after")
	f.StringVar(&o.third, "third", "", "where the member that installs puts its data, for instance "+
		"on a disk of its own; default: with the others")
	limit := f.String("limit", "", "of the transfer in a second; 0MiB: none; default: the library's")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch o.limit, err = parseSize(cmp.Or(*limit, "0MiB")); {
	case err != nil:
		return o, err
	case *limit != "" && o.limit == 0:
		o.limit = -1
	}
	o.size, err = parseSize(*size)
	return o, err
}

func parseSize(text string) (int64, error) {
	for unit, shift := range map[string]int{"MiB": 20, "GiB": 30} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseUint(number, 10, 16)
			return int64(n) << shift, err
		}
	}
	return 0, fmt.Errorf("%q is no size, need a number with MiB or GiB, like 128MiB", text)
}

func measure(args []string, out, usage io.Writer) (err error) {
	o, err := parseOptions(args, usage)
	if err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp(o.dir, "jraft-install-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	if o.entries > 0 {
		if err := measureCatchUp(o, say); err != nil {
			return err
		}
	}
	if o.size == 0 {
		return nil
	}
	g, err := newGroup(filepath.Join(o.dir, "install"))
	if err != nil {
		return err
	}
	g.limit = o.limit
	if o.third != "" {
		if g.members[2].dir, err = os.MkdirTemp(o.third, "jraft-install-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(g.members[2].dir)) }()
	}
	defer func() { err = errors.Join(err, g.killAll()) }()
	if err := measureInstall(g, o, say); err != nil {
		return err
	}
	return measureKills(g, o, say)
}

// measureCatchUp lets two members write while the third is dead, and starts it again.
func measureCatchUp(o options, say func(string, ...any)) (err error) {
	g, err := newGroup(filepath.Join(o.dir, "catch-up"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.killAll()) }()
	late := g.members[2]
	for _, p := range g.members {
		if _, err := g.start(p); err != nil {
			return err
		}
	}
	if err := late.kill(); err != nil {
		return err
	}
	leader, _, err := g.leader(g.members[0], g.members[1])
	if err != nil {
		return err
	}
	if _, err := leader.ask(task{Op: taskFill, Count: o.entries}); err != nil {
		return err
	}
	target, err := leader.ask(task{Op: taskState})
	if err != nil {
		return err
	}
	if _, err := g.start(late); err != nil {
		return err
	}
	begin := time.Now()
	var first time.Time
	var from uint64
	end, err := late.await("catching up", func(s outcome) bool {
		if first.IsZero() && s.Last > 10 {
			first, from = time.Now(), s.Last
		}
		return s.Applied >= target.Last
	})
	if err != nil {
		return err
	}
	say("log: %d entries of 128 B in %v from the start of the member: %.0f/s", o.entries,
		time.Since(begin).Round(time.Millisecond), float64(o.entries)/time.Since(begin).Seconds())
	say("log: from the first entries seen (%d) to the last (%d): %.0f/s", from, end.Applied,
		float64(end.Applied-from)/time.Since(first).Seconds())
	return nil
}

// measureInstall has an empty member fetch the state from a leader that is written to.
func measureInstall(g *group, o options, say func(string, ...any)) error {
	for _, p := range g.members[:2] {
		if _, err := g.start(p); err != nil {
			return err
		}
	}
	leader, _, err := g.leader(g.members[0], g.members[1])
	if err != nil {
		return err
	}
	for _, t := range []task{{Op: taskGrow, Size: o.size}, {Op: taskSnapshot},
		{Op: taskLoad, Count: o.clients, Pause: o.pause}} {
		if _, err := leader.ask(t); err != nil {
			return err
		}
	}
	if err := sayWrites(leader, o.time, "before", say); err != nil {
		return err
	}
	base, err := leader.forgetPeak()
	if err != nil {
		return err
	}
	empty := g.members[2]
	begin := time.Now()
	emptyBase, err := g.start(empty)
	if err != nil {
		return err
	}
	begin = begin.Add(baseAfter)
	fetched, err := empty.await("the fetch", func(s outcome) bool { return s.Snapshot > 0 })
	if err != nil {
		return err
	}
	fetch := time.Since(begin)
	_, err = empty.await("the install", func(s outcome) bool { return s.Restored > 0 })
	if err != nil {
		return err
	}
	whole := time.Since(begin)
	if err := sayWrites(leader, 0, "during", say); err != nil {
		return err
	}
	_, peak := leader.memory()
	_, emptyPeak := empty.memory()
	say("install: %.0f MiB fetched in %v (%.0f MB/s), restored %v after the start (%.0f MB/s)",
		mebibytes(fetched.Bytes), fetch.Round(time.Millisecond), rate(fetched.Bytes, fetch),
		whole.Round(time.Millisecond), rate(fetched.Bytes, whole))
	say("memory: leader %.1f MiB, peak %.1f over it; follower %.1f MiB, peak %.1f over it",
		mebibytes(base), mebibytes(peak-base), mebibytes(emptyBase), mebibytes(emptyPeak-emptyBase))
	if err := sayWrites(leader, o.time, "after", say); err != nil {
		return err
	}
	_, err = leader.ask(task{Op: taskLoad})
	return errors.Join(err, sameState(leader, empty))
}

// sayWrites tells the latency of what was written since the last time, or for d.
func sayWrites(p *process, d time.Duration, when string, say func(string, ...any)) error {
	if d > 0 {
		<-time.After(d / 4) // what went before is not measured
		if _, err := p.ask(task{Op: taskSample}); err != nil {
			return err
		}
		<-time.After(d)
	}
	s, err := p.ask(task{Op: taskSample})
	if err == nil {
		say("writes %s: %d, p50 %.0f us, p99 %.0f us", when, s.Writes, s.P50, s.P99)
	}
	return err
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

func rate(bytes int64, d time.Duration) float64 { return float64(bytes) / 1e6 / d.Seconds() }

func sameState(a, b *process) error {
	x, err := a.ask(task{Op: taskSum})
	if err != nil {
		return err
	}
	y, err := b.ask(task{Op: taskSum})
	if err == nil && x.Sum != y.Sum {
		err = fmt.Errorf("%s and %s have different states", a.ID, b.ID)
	}
	return err
}

// measureKills kills the follower and then the leader amid an install, and sees it through.
func measureKills(g *group, o options, say func(string, ...any)) error {
	late := g.members[2]
	if err := late.kill(); err != nil {
		return err
	}
	leader, other, err := g.leader(g.members[0], g.members[1])
	if err != nil {
		return err
	}
	if _, err := leader.ask(task{Op: taskFill, Count: 1024}); err != nil {
		return err
	}
	at, err := leader.ask(task{Op: taskState})
	if err != nil {
		return err
	}
	_, err = other.await("applying", func(s outcome) bool { return s.Applied == at.Last })
	if err != nil {
		return err
	}
	for _, p := range []*process{leader, other} { // the same one on both
		if _, err := p.ask(task{Op: taskSnapshot}); err != nil {
			return err
		}
	}
	begin := time.Now()
	if err := g.killAmid(late, late, o.size*3/10, say); err != nil {
		return err
	}
	if err := g.killAmid(late, leader, o.size*6/10, say); err != nil {
		return err
	}
	_, err = late.await("the install", func(s outcome) bool { return s.Restored >= at.Last })
	if err != nil {
		return err
	}
	say("kill -9: complete after %v", time.Since(begin).Round(time.Millisecond))
	if err := sameState(other, late); err != nil {
		return err
	}
	_, err = g.start(leader)
	return err
}

// killAmid kills one when that many bytes are there. A killed follower is started again.
func (g *group) killAmid(
	late, victim *process, bytes int64, say func(string, ...any),
) error {
	if late.command == nil {
		if _, err := g.start(late); err != nil {
			return err
		}
	}
	at, err := late.await("fetching so much", func(s outcome) bool { return s.Arrived >= bytes })
	if err != nil {
		return err
	}
	say("kill -9: %s, when %.0f MiB were there", victim.ID, mebibytes(at.Arrived))
	if err := victim.kill(); err != nil || victim != late {
		return err
	}
	if _, err := g.start(late); err != nil {
		return err
	}
	again, err := late.await("going on", func(s outcome) bool { return s.Arrived > 0 })
	if err == nil {
		say("kill -9: %s goes on with %.0f MiB", late.ID, mebibytes(again.Arrived))
	}
	return err
}
