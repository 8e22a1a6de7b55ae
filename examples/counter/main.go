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
// With --reconfigure the members change under load: from three to five, two of them replaced while
// the leader is killed in the middle of the change, and back to three. The longest pause in writes
// is measured.
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
//	./counter members
//	curl http://127.0.0.1:8101/status
//	curl -X POST 'http://127.0.0.1:8101/add?client=me&seq=1&delta=5&forward=1'
//
// A fourth member joins, and the first one goes:
//
//	./counter node --id n4 --join --addr 127.0.0.1:7104
//	./counter add-member n4 127.0.0.1:7104
//	./counter remove-member n1
//
// Where to read: service/machine.go is what a user of the library writes, service/member.go is how
// it is run, service/membership.go how its members change, and service/client.go how to retry
// safely. The rest makes a show of it.
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

	"github.com/jraft-go/jraft/examples/counter/service"
)

const usage = `counter: a replicated counter, and a proof that nothing is lost when its leader dies.

usage:
  counter [flags]                the demo: start, write, kill -9 the leader, restart, check
    --nodes N                    members, 1 to 9 (3)
    --clients N                  clients that write at once (8)
    --duration D                 how long they write (5s, and 3s for each kill)
    --kills N                    how often the leader is killed (1); each time is measured from the
                                 kill to the next acknowledged increment
    --reconfigure                the demo of membership changes: from 3 members to 5, two replaced
                                 with a kill -9 of the leader in the middle, back to 3, leadership
                                 transferred twice; the longest pause in writes is measured
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
    --peers n1=host:port,...     the first members, same list everywhere (` + defaultPeers + `)
    --join                       it is none of these: it starts empty, and waits to be added
    --addr host:port             where the others reach it (as in --peers); clients come in at a port
                                 1000 above
    --http n1=host:port,...      where clients come in, if not there
    --election-timeout D         (600ms)
    --snapshot-every N           entries between snapshots (100,000)

  counter add [--delta N]        add to the counter, and print it
  counter get                    print the counter, by a linearizable read
    --from n2                    ask this member only
  counter members                print who is a member, and who leads
  counter add-member ID ADDR     make it a voter, once it has caught up; ADDR is where it speaks Raft
    --learner                    as a learner, which gets the log but has no vote
  counter promote ID             make a learner a voter, once it has caught up
  counter remove-member ID       take it out; its process can be ended then
  counter transfer [ID]          hand leadership to it, or to the best one
    --http n1=host:port,...      the members to ask, for all of these (` + defaultHTTP + `)

three terminals:
  go build -o counter ./examples/counter
  ./counter node --id n1         in the first; n2 in the second, n3 in the third
  ./counter add --delta 5        in a fourth
  ./counter get --from n2

and a fourth member:
  ./counter node --id n4 --join --addr 127.0.0.1:7104
  ./counter add-member n4 127.0.0.1:7104
  ./counter transfer n4
  ./counter remove-member n1

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
	if _, ok := admin[name]; ok {
		return runAdmin(ctx, name, args)
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
			o.ID, o.Addr, service.ClientAddr(o.HTTP, o.ID, o.Addr), o.Dir)
	}
	return service.Run(ctx, o.Options)
}

// runCall is one increment or one read, from the command line.
func runCall(ctx context.Context, name string, args []string) error {
	o, err := parseCall(name, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*service.AnswerWithin)
	defer cancel()
	// A fresh client for each call: its one increment has sequence number 1, however often it
	// is retried.
	var members []string
	for _, a := range o.HTTP {
		members = append(members, a.Addr)
	}
	c := service.NewClient("cli-"+strconv.FormatUint(rand.Uint64(), 36), members, 0)
	if name == "add" {
		c.Forward = true
		res, err := c.Add(ctx, o.Delta)
		if err == nil {
			fmt.Println(res.Total)
		}
		return err
	}
	total, err := readAny(ctx, c.HTTP, o.HTTP)
	if err == nil {
		fmt.Println(total)
	}
	return err
}

// readAny asks one member after the other, until one answers; else the error has what each said.
func readAny(ctx context.Context, hc *http.Client, members service.Addresses) (int64, error) {
	failed := errors.New("no answer from any of these")
	for _, a := range members {
		var read service.Reading
		err := service.Call(ctx, hc, http.MethodGet, "http://"+a.Addr+"/get", &read)
		if err == nil {
			return read.Total, nil
		}
		failed = fmt.Errorf("%w\n  %s: %w", failed, a.ID, err)
	}
	return 0, failed
}
