package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// The addresses of a group that is run by hand.
const (
	defaultPeers = "n1=127.0.0.1:7101,n2=127.0.0.1:7102,n3=127.0.0.1:7103"
	defaultHTTP  = "n1=127.0.0.1:8101,n2=127.0.0.1:8102,n3=127.0.0.1:8103"

	// Short enough for a quick failover, long enough for a laptop that is busy with something else.
	defaultElectionTimeout = 600 * time.Millisecond
)

// errUsage marks an error in the command line: exit code 2.
var errUsage = errors.New("wrong command line")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// parse reads the flags of a command that takes no further arguments.
func parse(fs *flag.FlagSet, args []string) error {
	_, err := parseMixed(fs, args, 0)
	return err
}

// parseMixed reads flags and up to so many arguments between them.
func parseMixed(fs *flag.FlagSet, args []string, most int) (found []string, err error) {
	fs.SetOutput(io.Discard)
	for {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, err
		case err != nil:
			return nil, usagef("%v", err)
		case fs.NArg() == 0:
			return found, nil
		case len(found) == most:
			return nil, usagef("unexpected argument %q", fs.Arg(0))
		}
		found, args = append(found, fs.Arg(0)), fs.Args()[1:]
	}
}

// demoOptions are the flags of the demo.
type demoOptions struct {
	Nodes, Clients, Kills int
	Duration              time.Duration
	ElectionTimeout       time.Duration
	SnapshotEvery         int
	JSON, Keep, Serve     bool
	Reconfigure           bool
}

const (
	maxNodes = 9
	// timePerKill is what one kill, failover, restart and catch-up need at the very least.
	timePerKill = 2 * time.Second
	// timePerStep is the same for one change of the membership.
	timePerStep = 500 * time.Millisecond
)

func parseDemo(args []string) (o demoOptions, err error) {
	fs := flag.NewFlagSet("counter", flag.ContinueOnError)
	fs.IntVar(&o.Nodes, "nodes", 3, "")
	fs.IntVar(&o.Clients, "clients", 8, "")
	fs.IntVar(&o.Kills, "kills", 1, "")
	fs.DurationVar(&o.Duration, "duration", 0, "")
	fs.DurationVar(&o.ElectionTimeout, "election-timeout", defaultElectionTimeout, "")
	fs.IntVar(&o.SnapshotEvery, "snapshot-every", 0, "")
	fs.BoolVar(&o.JSON, "json", false, "")
	fs.BoolVar(&o.Keep, "keep", false, "")
	fs.BoolVar(&o.Serve, "serve", false, "")
	fs.BoolVar(&o.Reconfigure, "reconfigure", false, "")
	if err := parse(fs, args); err != nil {
		return o, err
	}
	if o.Reconfigure {
		return o, o.validateReconfigure(fs)
	}
	if o.Duration == 0 {
		o.Duration = 5*time.Second + time.Duration(max(o.Kills, 1))*3*time.Second
	}
	return o, o.validate()
}

// validateReconfigure fixes what the demo of membership changes is about, and refuses to be told
// otherwise.
func (o *demoOptions) validateReconfigure(fs *flag.FlagSet) (err error) {
	fs.Visit(func(f *flag.Flag) {
		if f.Name == "nodes" || f.Name == "kills" {
			err = usagef("--%s doesn't go with --reconfigure, which has its own", f.Name)
		}
	})
	if err != nil {
		return err
	}
	o.Nodes, o.Kills = 3, 0
	if o.Duration == 0 {
		o.Duration = 15 * time.Second
	}
	if least := time.Duration(len(steps)+1) * timePerStep; o.Duration < least {
		return usagef("--duration is %v, need at least %v with --reconfigure", o.Duration, least)
	}
	return o.validate()
}

func (o *demoOptions) validate() error {
	switch {
	case o.Nodes < 1 || o.Nodes > maxNodes:
		return usagef("--nodes is %d, need 1 to %d", o.Nodes, maxNodes)
	case o.Clients < 1 || o.Clients > 256:
		return usagef("--clients is %d, need 1 to 256", o.Clients)
	case o.Kills < 0:
		return usagef("--kills is %d, need 0 or more", o.Kills)
	case o.Kills > 0 && o.Nodes < 3:
		return usagef("--kills needs --nodes 3 or more: %d can't spare one", o.Nodes)
	case o.Duration < max(time.Second, time.Duration(o.Kills)*timePerKill):
		return usagef("--duration is %v, need at least 1s, and %v per kill", o.Duration, timePerKill)
	case o.ElectionTimeout < 50*time.Millisecond || o.ElectionTimeout > 10*time.Second:
		return usagef("--election-timeout is %v, need 50ms to 10s", o.ElectionTimeout)
	case o.SnapshotEvery < 0:
		return usagef("--snapshot-every is %d, need 1 or more, or 0 for 100,000", o.SnapshotEvery)
	}
	return nil
}

// nodeFlags are the flags of `counter node`.
type nodeFlags struct {
	service.Options
	Child bool // started by the demo: ends when its stdin does
	Join  bool // it has no first members, and waits to be added
}

func parseNode(args []string) (o nodeFlags, err error) {
	var peers, web service.Addresses
	_ = peers.Set(defaultPeers)
	fs := flag.NewFlagSet("counter node", flag.ContinueOnError)
	fs.StringVar(&o.ID, "id", "", "")
	fs.StringVar(&o.Dir, "dir", "", "")
	fs.StringVar(&o.Addr, "addr", "", "")
	fs.BoolVar(&o.Join, "join", false, "")
	fs.Var(&peers, "peers", "")
	fs.Var(&web, "http", "")
	fs.DurationVar(&o.ElectionTimeout, "election-timeout", defaultElectionTimeout, "")
	fs.IntVar(&o.SnapshotEvery, "snapshot-every", 0, "")
	fs.BoolVar(&o.Child, "child", false, "")
	if err := parse(fs, args); err != nil {
		return o, err
	}
	if o.SnapshotEvery < 0 {
		return o, usagef("--snapshot-every is %d, need 1 or more, or 0 for 100,000", o.SnapshotEvery)
	}
	o.Peers, o.HTTP = peers, web
	if o.Dir == "" {
		o.Dir = filepath.Join(os.TempDir(), "counter", o.ID)
	}
	if o.Addr == "" {
		o.Addr = service.Find(peers, o.ID)
	}
	_, port, err := net.SplitHostPort(o.Addr)
	n, notNumber := strconv.Atoi(port)
	switch {
	case o.Join && (o.ID == "" || o.Addr == ""):
		return o, usagef("--join needs --id, and --addr host:port for the other members to reach it")
	case !o.Join && service.Find(peers, o.ID) == "":
		return o, usagef("--id is %q, need a member listed in --peers, or --join", o.ID)
	case err != nil || notNumber != nil || n < 1 || n > 65535-service.ClientPorts:
		return o, usagef("--addr is %q, need host:port with a port of 1 to %d: clients come in %d above",
			o.Addr, 65535-service.ClientPorts, service.ClientPorts)
	}
	if o.Join {
		o.Peers = nil
	}
	return o, nil
}

// callFlags are the flags of `counter add` and `counter get`.
type callFlags struct {
	HTTP  service.Addresses
	From  string // ask this member only
	Delta int64
}

func parseCall(name string, args []string) (o callFlags, err error) {
	_ = o.HTTP.Set(defaultHTTP)
	fs := flag.NewFlagSet("counter "+name, flag.ContinueOnError)
	fs.Var(&o.HTTP, "http", "")
	fs.StringVar(&o.From, "from", "", "")
	if name == "add" {
		fs.Int64Var(&o.Delta, "delta", 1, "")
	}
	if err := parse(fs, args); err != nil {
		return o, err
	}
	if o.From != "" {
		addr := service.Find(o.HTTP, o.From)
		if addr == "" {
			return o, usagef("--from is %q, need a member listed in --http: %s=HOST:PORT in it, "+
				"with the port that the member printed at its start", o.From, o.From)
		}
		o.HTTP = service.Addresses{{ID: o.From, Addr: addr}}
	}
	return o, nil
}
