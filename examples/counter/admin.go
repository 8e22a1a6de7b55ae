package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"text/tabwriter"

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

// runAdmin carries out one of them, and prints what the group is then.
func runAdmin(ctx context.Context, name string, args []string) error {
	o, err := parseAdmin(name, args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, service.ChangeWithin+service.AnswerWithin)
	defer cancel()
	form := url.Values{}
	switch name {
	case "members":
		return showMembers(ctx, o.HTTP)
	case "transfer":
		if len(o.Args) == 1 {
			form.Set("to", o.Args[0])
		}
		var got service.Transferred
		err := anyMember(o.HTTP, func(at string) error {
			at += "/transfer?" + form.Encode()
			return service.Call(ctx, http.DefaultClient, http.MethodPost, at, &got)
		})
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
	err = anyMember(o.HTTP, func(at string) error {
		at += "/members?" + form.Encode()
		return service.Call(ctx, http.DefaultClient, http.MethodPost, at, &service.Configuration{})
	})
	if err != nil {
		return err
	}
	return showMembers(ctx, o.HTTP)
}

// showMembers prints the membership as the leader has it, or as any member does if none leads.
func showMembers(ctx context.Context, members service.Addresses) error {
	var got service.Members
	ask := func(at string) error {
		return service.Call(ctx, http.DefaultClient, http.MethodGet, at+"/members", &got)
	}
	if err := anyMember(members, ask); err != nil {
		return err
	}
	if got.LeaderHTTP != "" {
		seen := got
		if ask("http://"+got.LeaderHTTP) != nil {
			got = seen
		}
	}
	if got.Leader == "" {
		fmt.Printf("no leader is known in term %d\n", got.Term)
	} else {
		fmt.Printf("%s leads in term %d\n", got.Leader, got.Term)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tADDR\tCLIENTS\tPART\tLOG\tHEARD")
	for _, p := range got.Configuration.Members {
		match := ""
		if p.State != "" {
			match = p.State + " " + strconv.FormatUint(p.Match, 10)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, p.Addr, p.HTTP, p.Part, match, p.Heard)
	}
	return w.Flush()
}

// anyMember asks one member after the other, until one answers. What a member answers is the
// answer, be it an error: another would say the same, or has passed the question on already.
func anyMember(members service.Addresses, ask func(at string) error) error {
	failed := errors.New("no answer from any of these")
	for _, a := range members {
		err := ask("http://" + a.Addr)
		var answered *service.Failure
		if err == nil || errors.As(err, &answered) {
			return err
		}
		failed = fmt.Errorf("%w\n  %s: %w", failed, a.ID, err)
	}
	return failed
}
