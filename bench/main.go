package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// As the first argument these make this process what we start more of.
const (
	memberCommand = "member"
	echoCommand   = "echo"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out, progress io.Writer) error {
	if len(args) > 0 && args[0] == echoCommand {
		return runEcho(in, out)
	}
	if len(args) > 0 && args[0] == memberCommand {
		o, err := parseMember(args[1:])
		if err != nil {
			return err
		}
		return runMember(o, in, out)
	}
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	return runAll(o, out, progress)
}

func parseMember(args []string) (o memberOptions, err error) {
	f := flag.NewFlagSet(memberCommand, flag.ContinueOnError)
	f.StringVar(&o.system, "system", "", "what to run")
	f.StringVar(&o.id, "id", "", "of this member")
	f.StringVar(&o.dir, "dir", "", "its data")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "file")
	f.StringVar(&o.memProfile, "memprofile", "", "file")
	return o, f.Parse(args)
}

// options are those of the command.
type options struct {
	systems    []string
	cells      []cell
	rounds     int
	warm, time time.Duration
	dir        string
	json       string
	cpuProfile string
	memProfile string
}

func parseOptions(args []string, usage io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(usage)
	cells := f.String("cells", defaultCells, "what to measure: bytes x clients (writes), "+
		"r and readers, m and bytes x clients (nine reads to one write)")
	systems := f.String("systems", nameJraft+","+strings.Join(ideals[:], ","),
		"in turn, for each cell")
	f.IntVar(&o.rounds, "rounds", 3, "all cells are measured so many times; medians count")
	f.DurationVar(&o.time, "time", 2*time.Second, "measured, for each cell")
	f.DurationVar(&o.warm, "warm", 500*time.Millisecond, "load before that")
	f.StringVar(&o.dir, "dir", "", "where to put the data, on the disk to measure; "+
		"default: the directory for temporary files")
	f.StringVar(&o.json, "json", "", "write each measurement as a line of JSON to this file; "+
		"-: to standard output, instead of the table")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "CPU profile of each member of "+
		nameJraft+"; the member's id is added to the name")
	f.StringVar(&o.memProfile, "memprofile", "", "profile of the allocations of each member of "+
		nameJraft+"; the member's id is added to the name")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.time <= 0 || o.warm < 0 {
		return o, errors.New("need -rounds of 1 or more, a positive -time, and no other arguments")
	}
	if o.cells, err = parseCells(*cells); err != nil {
		return o, err
	}
	o.systems, err = parseSystems(*systems)
	return o, err
}

// runAll measures everything and removes its data.
func runAll(o options, out, progress io.Writer) (err error) {
	if o.dir, err = os.MkdirTemp(o.dir, "jraft-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	var clusters []*cluster
	defer func() {
		for _, c := range clusters {
			err = errors.Join(err, c.stop())
		}
	}()
	for _, name := range o.systems {
		c, err := startCluster(name, o)
		if err != nil {
			return err
		}
		clusters = append(clusters, c)
	}
	lines, closeLines, err := openLines(o, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLines()) }()
	var all []measurement
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d of %d", round+1, o.rounds)
		for _, c := range clusters {
			leader, err := c.leader()
			if err != nil {
				return err
			}
			fmt.Fprintf(progress, "; %s leads %s", leader.id, c.system)
		}
		fmt.Fprintln(progress)
		some, err := measureRound(o, clusters, round+1, lines)
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	if o.json == "-" {
		return nil
	}
	return writeTable(out, all)
}

func openLines(o options, out io.Writer) (*json.Encoder, func() error, error) {
	switch o.json {
	case "":
		return json.NewEncoder(io.Discard), func() error { return nil }, nil
	case "-":
		return json.NewEncoder(out), func() error { return nil }, nil
	}
	f, err := os.Create(o.json)
	if err != nil {
		return nil, nil, err
	}
	return json.NewEncoder(f), f.Close, nil
}

// measureRound measures the limits and then each cell in each system, so that whatever else the
// machine does meanwhile hits all of them.
func measureRound(
	o options, clusters []*cluster, round int, lines *json.Encoder,
) (all []measurement, err error) {
	note := func(m measurement) error {
		m.Round = round
		all = append(all, m)
		return lines.Encode(m)
	}
	limits, err := measureLimits(o, round)
	if err == nil {
		err = note(limits)
	}
	if err != nil {
		return nil, err
	}
	for _, one := range o.cells {
		order := slices.Clone(clusters)
		if round%2 == 0 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if one.onOwn() && slices.Contains(ideals[:], c.system) {
				continue
			}
			m, err := c.run(one, o)
			if err == nil {
				err = note(m)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
