package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// adminFlags are the command lines that look at the membership, or change it.
type adminFlags struct {
	HTTP    service.Addresses
	Learner bool
	Args    []string
}

// admin has the commands and the arguments that they take, of which those in brackets may be left
// out.
var admin = map[string][]string{
	"members":       {},
	"add-member":    {"ID", "ADDR"},
	"remove-member": {"ID"},
	"promote":       {"ID"},
	"transfer":      {"[ID]"},
}

func parseAdmin(name string, args []string) (o adminFlags, err error) {
	_ = o.HTTP.Set(defaultHTTP)
	fs := flag.NewFlagSet("counter "+name, flag.ContinueOnError)
	fs.Var(&o.HTTP, "http", "")
	if name == "add-member" {
		fs.BoolVar(&o.Learner, "learner", false, "")
	}
	want := admin[name]
	if o.Args, err = parseMixed(fs, args, len(want)); err != nil {
		return o, err
	}
	if given := len(o.Args); given < len(want) && want[given][0] != '[' {
		return o, usagef("%s needs %s", name, want[given])
	}
	return o, nil
}

// runAdmin carries out one of them.
func runAdmin(ctx context.Context, name string, args []string) error {
	o, err := parseAdmin(name, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, service.ChangeWithin+service.AnswerWithin)
	defer cancel()
	now, err := awaitLeader(ctx, o.HTTP)
	if err != nil || name == "members" {
		return errors.Join(err, showMembers(os.Stdout, now))
	}
	if now.LeaderHTTP == "" {
		return fmt.Errorf("%s: nobody leads in term %d: try again, or see to it that a majority runs",
			name, now.Term)
	}
	form := url.Values{}
	switch name {
	case "transfer":
		if len(o.Args) == 1 {
			form.Set("to", o.Args[0])
		}
		to := "http://" + now.LeaderHTTP + "/transfer?" + form.Encode()
		var got service.Transferred
		err := service.Call(ctx, http.DefaultClient, http.MethodPost, to, &got)
		if err == nil {
			fmt.Println(got.Leader, "leads")
		}
		return err
	case "add-member":
		kind := "add"
		if o.Learner {
			kind = "learner"
		}
		form.Set(kind, o.Args[0]+"="+o.Args[1])
	case "remove-member":
		form.Set("remove", o.Args[0])
	default:
		form.Set(name, o.Args[0])
	}
	to := "http://" + now.LeaderHTTP + "/members?" + form.Encode()
	err = service.Call(ctx, http.DefaultClient, http.MethodPost, to, &now.Configuration)
	if err != nil {
		return err
	}
	fmt.Println("voters:", now.IDs(service.PartVoter))
	if learners := now.IDs(service.PartLearner); learners != "" {
		fmt.Println("learners:", learners)
	}
	return nil
}

// awaitLeader returns what the leader says of the group, or what others say if there is none for a
// while: it may just have been removed, or killed.
func awaitLeader(ctx context.Context, listed service.Addresses) (service.Members, error) {
	late := time.Now().Add(service.AnswerWithin)
	for {
		now, err := askMembers(ctx, listed)
		if err != nil || now.Leader == now.From || time.Now().After(late) {
			return now, err
		}
		select {
		case <-time.After(service.AnswerWithin / 20):
		case <-ctx.Done():
			return now, context.Cause(ctx)
		}
	}
}

// askMembers returns what the leader says of the group, or what the last one says that answers if
// nobody leads. Whoever answers names members to ask on.
func askMembers(ctx context.Context, listed service.Addresses) (best service.Members, err error) {
	failed := errors.New("no answer from any of these")
	asked := map[string]bool{}
	for next := slices.Clone(listed); len(next) > 0; next = next[1:] {
		at := next[0]
		if asked[at.Addr] {
			continue
		}
		asked[at.Addr] = true
		var got service.Members
		attempt, cancel := context.WithTimeout(ctx, service.AnswerWithin)
		from := "http://" + at.Addr + "/members"
		err := service.Call(attempt, http.DefaultClient, http.MethodGet, from, &got)
		cancel()
		if err != nil {
			failed = fmt.Errorf("%w\n  %s: %w", failed, at.ID, err)
			continue
		}
		if got.Leader == got.From {
			return got, nil
		}
		if best = got; got.LeaderHTTP != "" {
			next = slices.Insert(next, 1, service.Address{ID: got.Leader, Addr: got.LeaderHTTP})
		}
		for _, p := range got.Configuration.Members {
			next = append(next, service.Address{ID: p.ID, Addr: p.HTTP})
		}
	}
	if best.From == "" {
		return best, failed
	}
	return best, nil
}

// showMembers prints the membership.
func showMembers(out io.Writer, m service.Members) error {
	if m.From == "" {
		return nil
	}
	if m.Leader == "" {
		fmt.Fprintf(out, "nobody leads in term %d, says %s\n", m.Term, m.From)
	} else {
		fmt.Fprintf(out, "%s leads in term %d\n", m.Leader, m.Term)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tADDR\tCLIENTS\tPART\tLOG\tHEARD")
	for _, p := range m.Configuration.Members {
		state, match := p.State, ""
		if p.ID == m.Leader {
			state = "leader"
		} else if p.State != "" {
			match = " to " + strconv.FormatUint(p.Match, 10)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s%s\t%s\n",
			p.ID, p.Addr, p.HTTP, p.Part, state, match, p.Heard)
	}
	return w.Flush()
}
