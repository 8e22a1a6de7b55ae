package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// step is one change of who is a member, or who leads, and what it cost those who wrote meanwhile.
type step struct {
	Name    string    `json:"step"`
	What    string    `json:"what"`
	At      float64   `json:"at_s"`
	Took    float64   `json:"took_ms"`          // until it was done, new processes and restarts included
	Pause   float64   `json:"longest_pause_ms"` // between two acknowledgements, until the next step
	PauseAt float64   `json:"pause_ended_at_s"`
	Asked   int       `json:"asked"`  // how often, until the answer was that it is done
	Voters  string    `json:"voters"` // after it
	Leader  string    `json:"leader"`
	Kill    *failover `json:"kill,omitempty"`
	Stage   string    `json:"killed_in_stage,omitempty"`

	index uint64 // of the configuration that it led to; 0: it changed none
}

// steps are what --reconfigure shows, in this order and at equal distances in time.
var steps = []struct {
	name string
	do   func(*demo, context.Context, *step) error
}{
	{"grow", (*demo).grow},
	{"transfer", (*demo).transferToNewest},
	{"replace", (*demo).replace},
	{"transfer again", (*demo).transferToBest},
	{"shrink", (*demo).shrink},
}

// reconfigure takes the group through the steps, under load.
func (d *demo) reconfigure(ctx context.Context) error {
	slot := d.o.Duration / time.Duration(len(steps)+1)
	p := d.load.progress
	for i, todo := range steps {
		if err := d.sleepUntil(ctx, time.Duration(i+1)*slot-slot/2); err != nil {
			return err
		}
		if pause, _ := p.pause(); i == 0 {
			d.sum.Steady = inMillis(pause)
			d.v.event(p.elapsed(), "longest pause in writes so far, with no change: %s", millis(pause))
		}
		p.beginPause()
		began := p.elapsed()
		s := step{Name: todo.name, At: inSeconds(began)}
		if err := todo.do(d, ctx, &s); err != nil {
			return fmt.Errorf("%s: %w", todo.name, err)
		}
		s.Took = inMillis(p.elapsed() - began)
		if err := d.settle(ctx, &s); err != nil {
			return fmt.Errorf("%s: %w", todo.name, err)
		}
		d.v.event(p.elapsed(), "done: voters %s, leader %s", s.Voters, s.Leader)
		if err := d.sleepUntil(ctx, time.Duration(i+2)*slot-slot/2); err != nil {
			return err
		}
		pause, at := p.pause()
		s.Pause, s.PauseAt = inMillis(pause), inSeconds(at)
		d.v.event(p.elapsed(), "longest pause in writes since: %s, until %.1fs", millis(pause),
			at.Seconds())
		d.sum.Steps = append(d.sum.Steps, s)
	}
	return nil
}

// settle waits until all members agree on who they are and who leads, and notes it.
func (d *demo) settle(ctx context.Context, s *step) error {
	return d.group.await(ctx, "agreement on the members", func(all []memberState) bool {
		now, ok := leader(all)
		for _, m := range all {
			ok = ok && m.Leader == now.ID && m.Configuration.Index == now.Configuration.Index
		}
		if !ok || now.Changing != "" || now.Configuration.Index < s.index ||
			s.Leader != "" && s.Leader != now.ID {
			return false // or what was polled last is older than the step
		}
		s.Voters, s.Leader = now.Configuration.IDs(service.PartVoter), now.ID
		return len(all) == len(now.Configuration.Members)
	})
}

// begin says what a step does.
func (d *demo) begin(s *step, format string, args ...any) {
	s.What = fmt.Sprintf(format, args...)
	d.v.event(d.load.progress.elapsed(), "%s: %s", strings.ToUpper(s.Name), s.What)
}

// invent makes up two new members; they are not started yet.
func (d *demo) invent() ([]memberState, error) {
	err := d.group.add(2, false)
	all := d.group.state()
	return all[max(0, len(all)-2):], err
}

// start runs them, with nothing on their disks and nobody to talk to.
func (d *demo) start(added []memberState) error {
	for _, m := range added {
		if err := d.group.start(m.ID); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) grow(ctx context.Context, s *step) error {
	added, err := d.invent()
	if err != nil {
		return err
	}
	if err := d.start(added); err != nil {
		return err
	}
	d.begin(s, "from 3 to 5 members: %s start empty, and are added in one change", ids(added))
	return d.change(ctx, s, added, nil)
}

func (d *demo) transferToNewest(ctx context.Context, s *step) error {
	_, others := pick(d.group.state(), maxNodes)
	to := others[len(others)-1].ID
	d.begin(s, "leadership to %s", to)
	return d.transfer(ctx, s, to)
}

func (d *demo) transferToBest(ctx context.Context, s *step) error {
	old, _ := leader(d.group.state())
	d.begin(s, "leadership from %s to whom it takes for the best", old.ID)
	err := d.transfer(ctx, s, "")
	if err == nil && s.Asked == 1 && s.Leader == old.ID {
		return fmt.Errorf("%s leads still", old.ID)
	}
	return err
}

// transfer asks for a transfer of leadership, until somebody says that it is done.
func (d *demo) transfer(ctx context.Context, s *step, to string) (err error) {
	var answer service.Transferred
	s.Asked, err = d.group.ask(ctx, "/transfer", url.Values{"to": {to}}, &answer)
	s.Leader = answer.Leader
	return err
}

// change asks for one change of the membership, until somebody says that it is done.
func (d *demo) change(ctx context.Context, s *step, add, remove []memberState) (err error) {
	form := url.Values{}
	for _, m := range add {
		form.Add("add", m.ID+"="+m.Addr)
	}
	for _, m := range remove {
		form.Add("remove", m.ID)
	}
	var answer service.Configuration
	s.Asked, err = d.group.ask(ctx, "/members", form, &answer)
	s.index = answer.Index
	return err
}

// replace changes two members for new ones in a single change, and kills the leader in the middle
// of it: the new ones are started only when it is under way, so that it can't be over before.
// Whoever leads next finds the change half done and finishes it, or knows nothing of it and is
// asked again: the one who asks need not know which.
func (d *demo) replace(ctx context.Context, s *step) error {
	old, out := pick(d.group.state(), 2)
	added, err := d.invent()
	if err != nil {
		return err
	}
	d.begin(s, "%s by %s in one change, and kill -9 in the middle of it", ids(out), ids(added))
	done := make(chan error, 1)
	go func() { done <- d.change(ctx, s, added, out) }()
	stage, err := d.awaitMiddle(ctx, old, done)
	if err != nil {
		return err
	}
	if err := d.start(added); err != nil {
		return err
	}
	d.v.event(d.load.progress.elapsed(), "the change is under way (%s)", stage)
	f, err := d.kill(ctx, old)
	if err != nil {
		return err
	}
	s.Stage, s.Kill = stage, &f
	d.sum.Failovers = append(d.sum.Failovers, f)
	if err := <-done; err != nil {
		return err
	}
	d.v.event(d.load.progress.elapsed(), "the new leader says that the change is done, asked %s",
		times(s.Asked))
	if err := d.rejoin(ctx, old, 0, &f); err != nil {
		return err
	}
	return d.dismiss(ctx, out)
}

// awaitMiddle waits until a change is under way as the leader has it, and returns its stage. It
// looks as often as it can.
func (d *demo) awaitMiddle(
	ctx context.Context, old memberState, done <-chan error,
) (stage string, err error) {
	for {
		var s service.Status
		err := service.Call(ctx, d.group.http, http.MethodGet, "http://"+old.web()+"/status", &s)
		if err != nil || s.Changing != "" {
			return s.Changing, err
		}
		select {
		case err := <-done:
			return "", errors.Join(errors.New("the change was over before its middle was seen"), err)
		default:
		}
	}
}

// shrink removes two members, one of which leads: it goes on until the change is committed, and
// hands over.
func (d *demo) shrink(ctx context.Context, s *step) error {
	old, out := pick(d.group.state(), 1)
	out = append(out, old)
	d.begin(s, "from 5 to 3 members: %s go, of which %s leads", ids(out), old.ID)
	if err := d.change(ctx, s, nil, out); err != nil {
		return err
	}
	return d.dismiss(ctx, out)
}

// pick returns the leader, and the n oldest of the others.
func pick(all []memberState, n int) (lead memberState, out []memberState) {
	lead, _ = leader(all)
	for _, m := range all {
		if m.ID != lead.ID && len(out) < n {
			out = append(out, m)
		}
	}
	return lead, out
}

// dismiss waits until removed members know that they are, and ends their processes.
func (d *demo) dismiss(ctx context.Context, out []memberState) error {
	left := func(m memberState) bool {
		return slices.ContainsFunc(out, func(o memberState) bool { return o.ID == m.ID })
	}
	err := d.group.await(ctx, "the news of their removal to "+ids(out), func(all []memberState) bool {
		for _, m := range all {
			if left(m) && !m.Removed && m.Configuration.Includes(m.ID) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, m := range out {
		d.group.remove(m.ID)
	}
	d.v.event(d.load.progress.elapsed(), "%s know that they were removed; their processes are ended",
		ids(out))
	return nil
}

// ask sends a request to the leader, or to anybody while there is none, until it is answered: all
// that is asked for here may be asked for twice. It returns how often it was.
func (g *group) ask(
	ctx context.Context, path string, form url.Values, out any,
) (asked int, err error) {
	late := time.Now().Add(readyWithin)
	for {
		all := slices.DeleteFunc(g.state(), func(m memberState) bool { return !m.Alive })
		to, ok := leader(all)
		if !ok {
			to = all[asked%len(all)]
		}
		asked++
		attempt, cancel := context.WithTimeout(ctx, service.AttemptTimeout)
		err = service.Call(attempt, g.http, http.MethodPost, "http://"+to.web()+path+"?"+form.Encode(), out)
		cancel()
		var f *service.Failure
		if err == nil || ctx.Err() != nil || time.Now().After(late) || errors.As(err, &f) && f.Final {
			return asked, err
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
		}
	}
}

// verifyMembers holds what the members say of the membership against what was asked for.
func (d *demo) verifyMembers() error {
	if len(d.sum.Steps) == 0 {
		return nil
	}
	want := d.sum.Steps[len(d.sum.Steps)-1].Voters
	all := d.group.state()
	for _, m := range all {
		got := m.Configuration.IDs(service.PartVoter)
		if got != want || len(all) != len(m.Configuration.Members) {
			return fmt.Errorf("%s takes %s for the voters, not %s", m.ID, got, want)
		}
	}
	d.v.print("         all say that the voters are %s", want)
	return nil
}

// longest returns the step with the longest pause.
func longest(all []step) (worst step) {
	for _, s := range all {
		if s.Pause > worst.Pause {
			worst = s
		}
	}
	return worst
}

func ids(list []memberState) string {
	var all []string
	for _, m := range list {
		all = append(all, m.ID)
	}
	return strings.Join(all, " and ")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
