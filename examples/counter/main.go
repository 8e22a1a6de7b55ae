// Counter is a replicated counter: the smallest complete service on this library, and a
// demonstration that it keeps its promises.
//
//	go run ./examples/counter
//
// starts three members, each a real process with its own log on disk, lets eight clients
// increment the counter, kills the leader with SIGKILL, restarts it, and then proves from the
// clients' own notes that no acknowledged increment was lost and none was applied twice. It
// takes about ten seconds, after a first compilation of about a minute, and ends with PASS or
// with a reason and exit code 1. Its data is in a directory counter-* in the system's temporary
// one, and is removed at the end; if the demo itself is killed with SIGKILL, its members end, but
// that directory stays.
//
// With --snapshot-every 1000 the dead member stays away until the others have dropped what it
// misses from their logs, and comes back by a snapshot.
//
// To play with a group by hand, build it and use three terminals; kill a member as you like,
// and start it again with the same command:
//
//	go build -o counter ./examples/counter
//	./counter node --id n1
//	./counter node --id n2
//	./counter node --id n3
//
// and from a fourth one:
//
//	./counter add --delta 5
//	./counter get
//	./counter get --from n2
//	curl http://127.0.0.1:8101/status
//	curl -X POST 'http://127.0.0.1:8101/add?client=me&seq=1&delta=5&forward=1'
//
// Where to read: machine.go is what a user of the library writes, member.go is how it is run,
// client.go is how to retry safely. The rest makes a show of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

const usage = `counter: a replicated counter, and a proof that nothing is lost when its leader dies.

usage:
  counter [flags]                the demo: start, write, kill -9 the leader, restart, check
    --nodes N                    members, 1 to 9 (3)
    --clients N                  clients that write at once (8)
    --duration D                 how long they write (2s, and 6s for each kill)
    --kills N                    how often the leader is killed (1)
    --election-timeout D         of the members (600ms)
    --snapshot-every N           entries between snapshots (100,000); with this flag the killed
                                 member stays away until it can come back only by a snapshot
    --serve                      keep the group up afterwards, and say how to talk to it
    --keep                       keep the data directory: counter-* in the system's temporary one
                                 (it also stays after a failure, or if the demo is killed with
                                 SIGKILL; its members end in any case)
    --json                       one line of JSON on stdout, all else on stderr

  counter node --id n1           run one member of a group; Ctrl-C stops it
    --dir DIR                    its data (a directory 'counter' in the system's temporary one)
    --peers n1=host:port,...     where the members meet, same list everywhere (` + defaultPeers + `)
    --http n1=host:port,...      where clients come in (` + defaultHTTP + `)
    --election-timeout D         (600ms)
    --snapshot-every N           entries between snapshots (100,000)

  counter add [--delta N]        add to the counter, and print it
  counter get                    print the counter, by a linearizable read
    --http n1=host:port,...      the members to ask
    --from n2                    ask this member only

three terminals:
  go build -o counter ./examples/counter
  ./counter node --id n1         in the first; n2 in the second, n3 in the third
  ./counter add --delta 5        in a fourth
  ./counter get --from n2

exit code: 0 PASS, 1 failure, 2 wrong command line
`

const (
	exitFailure = 1
	exitUsage   = 2
)

var errInterrupted = errors.New("interrupted")

func main() {
	args, name := os.Args[1:], "demo"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}
	switch err := run(name, args); {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "counter: %v\nrun 'counter --help' for what it takes\n", err)
		os.Exit(exitUsage)
	case errors.Is(err, errFailed):
		os.Exit(exitFailure)
	default:
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(exitFailure)
	}
}

func run(name string, args []string) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // a second Ctrl-C ends the program at once
		cancel(errInterrupted)
	}()

	switch name {
	case "demo":
		o, err := parseDemo(args)
		if err != nil {
			return err
		}
		return runDemo(ctx, o)
	case "node":
		return runNode(ctx, args)
	case "add", "get":
		return runCall(ctx, name, args)
	case "help":
		return flag.ErrHelp
	}
	return usagef("unknown command %q", name)
}

func runNode(ctx context.Context, args []string) error {
	o, err := parseNode(args)
	if err != nil {
		return err
	}
	o.Log = os.Stderr
	if o.Child {
		// Ctrl-C reaches every process of a terminal. The demo that started us decides when we
		// end, and when it ends, however it does, our stdin is closed.
		signal.Reset(os.Interrupt)
		signal.Ignore(os.Interrupt)
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			end()
		}()
	} else {
		fmt.Printf("%s: raft %s, clients http://%s, data %s\n",
			o.ID, o.Addr, clientAddr(o.HTTP, o.ID, o.Addr), o.Dir)
	}
	return runMember(ctx, o.memberOptions)
}

// runCall is one increment or one read, from the command line.
func runCall(ctx context.Context, name string, args []string) error {
	o, err := parseCall(name, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerWithin)
	defer cancel()
	// A fresh client for each call: its one increment has sequence number 1, however often it
	// is retried.
	c := newClient("cli-"+strconv.FormatUint(rand.Uint64(), 36), only(o.HTTP), 0)
	if name == "add" {
		c.forward = true
		res, err := c.add(ctx, o.Delta)
		if err == nil {
			fmt.Println(res.Total)
		}
		return err
	}
	total, err := readAny(ctx, c.http, o.HTTP)
	if err == nil {
		fmt.Println(total)
	}
	return err
}

// readAny asks one member after the other, until one answers; else the error has what each said.
func readAny(ctx context.Context, hc *http.Client, members addresses) (int64, error) {
	failed := errors.New("no answer from any of these")
	for _, a := range members {
		var read reading
		_, err := call(ctx, hc, http.MethodGet, "http://"+a.Addr+"/get", &read)
		if err == nil {
			return read.Total, nil
		}
		failed = fmt.Errorf("%w\n  %s: %w", failed, a.ID, err)
	}
	return 0, failed
}
