package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// demo is one run.
type demo struct {
	o     demoOptions
	v     *view
	group *group
	load  *load
	sum   summary
}

// errFailed means that the report has told what went wrong.
var errFailed = errors.New("FAIL")

// runDemo prepares the stage, plays, reports, and tidies up whatever happens.
func runDemo(ctx context.Context, o demoOptions) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dir, err := os.MkdirTemp("", "counter-")
	if err != nil {
		return err
	}
	d := &demo{o: o, v: newView(os.Stdout)}
	if o.JSON {
		d.v = newView(os.Stderr)
	}
	d.sum = summary{Nodes: o.Nodes, Clients: o.Clients, Failovers: []failover{}}
	d.v.print("counter: %d nodes, real processes, real fsync      data: %s\n", o.Nodes, dir)
	defer func() {
		if d.sum.Dir == "" {
			_ = os.RemoveAll(dir) // a temporary one: the system removes it if we can't
		}
	}()
	began := time.Now()
	if d.group, err = newGroup(o, dir, cancel); err == nil {
		defer d.group.stop()
		err = d.play(ctx)
	}
	if o.Keep || err != nil && !errors.Is(err, errInterrupted) {
		d.sum.Dir = dir
	}
	d.sum.Seconds = math.Round(time.Since(began).Seconds()*100) / 100
	if err := d.report(err); err != nil || !o.Serve {
		return err
	}
	return d.serve(ctx)
}

// play is the demo itself: start, write, kill, restart, check.
func (d *demo) play(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	if err := d.startAll(watching); err != nil {
		return err
	}
	d.v.print("\n  writing with %d clients", d.o.Clients)
	fail := d.group.fail
	d.load = startLoad(ctx, d.o.Clients, d.group.webs(), fail)
	defer d.load.cancel(nil)
	drawn := d.followLoad(ctx)
	var err error
	if d.o.Reconfigure {
		err = d.reconfigure(ctx)
	} else {
		err = d.failovers(ctx)
	}
	if err == nil {
		err = d.sleepUntil(ctx, d.o.Duration)
	}
	if err != nil {
		d.load.abandon()
		drawn()
		return err
	}
	d.load.finish()
	drawn()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return d.verify(ctx)
}

// followLoad shows the load until the function that it returns is called.
func (d *demo) followLoad(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.v.follow(ctx, func() frame { return frame{d.group.state(), d.load.progress.rate()} })
	}()
	return func() { cancel(); <-done }
}

// startAll starts the members and waits for their first leader.
func (d *demo) startAll(ctx context.Context) error {
	began := time.Now()
	for _, m := range d.group.state() {
		if err := d.group.start(m.ID); err != nil {
			return err
		}
	}
	go d.group.watch(ctx)
	err := d.group.await(ctx, "the first election", func(all []memberState) bool {
		_, ok := leader(all)
		for _, m := range all {
			ok = ok && m.Role != ""
		}
		return ok
	})
	if err != nil {
		return err
	}
	d.introduce(time.Since(began))
	return nil
}

// introduce names the members and their first leader. On a terminal the block does the former.
func (d *demo) introduce(elected time.Duration) {
	for _, m := range d.group.state() {
		switch {
		case m.Role == roleLeader:
			d.v.print("%s   elected %s after the start", memberLine(m), millis(elected))
		case !d.v.live:
			d.v.print("%s", memberLine(m))
		}
	}
}

// failovers kills a leader at an equal distance in time from the last, and each time sees the
// group through it.
func (d *demo) failovers(ctx context.Context) error {
	for i := range d.o.Kills {
		slot := d.o.Duration / time.Duration(d.o.Kills)
		began := time.Duration(i) * slot
		if err := d.sleepUntil(ctx, began+slot/4); err != nil {
			return err
		}
		if err := d.failover(ctx, began+slot*6/10); err != nil {
			return err
		}
	}
	return nil
}

// failover kills the leader, waits for the next one and, not before restartAt, restarts the
// dead member and waits until it has caught up.
func (d *demo) failover(ctx context.Context, restartAt time.Duration) error {
	var old memberState
	err := d.group.await(ctx, "a leader to kill", func(all []memberState) (ok bool) {
		old, ok = leader(all)
		return ok
	})
	if err != nil {
		return err
	}
	d.load.progress.beginPause()
	f, err := d.kill(ctx, old)
	if err != nil {
		return err
	}
	if err := d.sleepUntil(ctx, restartAt); err != nil {
		return err
	}
	var needs uint64
	if d.o.SnapshotEvery > 0 {
		if needs, err = d.awaitCompaction(ctx, old.ID); err != nil {
			return err
		}
	}
	if err := d.rejoin(ctx, old, needs, &f); err != nil {
		return err
	}
	d.sum.Failovers = append(d.sum.Failovers, f)
	return nil
}

// kill ends the leader and waits until another has acknowledged an increment. The time is that of
// the clients: from the kill to the first answer that one of them gets.
func (d *demo) kill(ctx context.Context, old memberState) (f failover, err error) {
	p := d.load.progress
	killed := p.watch(old.web())
	if err := d.group.kill(old.ID); err != nil {
		return f, err
	}
	gone := p.elapsed() - killed
	d.v.event(killed, "kill -9 %d: leader %s is gone", old.PID, old.ID)
	var now memberState
	var next time.Duration
	err = d.group.await(ctx, "an acknowledgement by a new leader", func(all []memberState) (ok bool) {
		now, ok = leader(all)
		next = p.taken()
		return ok && now.Term > old.Term && next > 0
	})
	if err != nil {
		return f, err
	}
	took := next - killed
	d.v.event(next, "%s is LEADER of term %d: first acknowledgement %s after the kill",
		now.ID, now.Term, millis(took))
	pause, _ := p.pause()
	return failover{
		Killed: old.ID, Leader: now.ID, Term: now.Term,
		Failover: inMillis(took), Gone: inMillis(gone), NoAnswers: inMillis(pause),
	}, nil
}

// awaitCompaction waits until the leader's log begins after all that a dead member can have, and
// returns the last entry that is gone: only a snapshot with that entry in it can bring the member
// back.
func (d *demo) awaitCompaction(ctx context.Context, dead string) (gone uint64, err error) {
	var had uint64 // what it knew to be committed, others had in their logs
	for _, m := range d.group.state() {
		had = max(had, m.Last)
	}
	err = d.group.await(ctx, "the compaction of the log", func(all []memberState) bool {
		now, ok := leader(all)
		gone = now.First - min(1, now.First)
		return ok && gone > had
	})
	if err == nil {
		d.v.event(d.load.progress.elapsed(), "the log begins at entry %s now: %s needs a snapshot",
			commas(int(gone)+1), dead)
	}
	return gone, err
}

// rejoin restarts a dead member, on the same directory and addresses, and waits until it has
// applied what the others had by then: with a snapshot that covers the entry needs, if not 0.
func (d *demo) rejoin(ctx context.Context, dead memberState, needs uint64, f *failover) error {
	var target uint64
	for _, m := range d.group.state() {
		target = max(target, m.Applied)
	}
	f.Missed = target - min(target, dead.Applied)
	p := d.load.progress
	began := p.elapsed()
	d.v.event(began, "restart %s, which missed %s entries", dead.ID, commas(int(f.Missed)))
	if err := d.group.start(dead.ID); err != nil {
		return err
	}
	err := d.group.await(ctx, "the catch-up of "+dead.ID, func(all []memberState) bool {
		for _, m := range all {
			if m.ID == dead.ID {
				f.Snapshot = m.Restored
				return m.Applied >= target
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	took := p.elapsed() - began
	f.CatchUp = inMillis(took)
	if needs == 0 {
		f.Snapshot = 0 // if any, its own
		d.v.event(p.elapsed(), "%s is back and has caught up, %s after its start",
			dead.ID, millis(took))
		return nil
	}
	if f.Snapshot < needs {
		return fmt.Errorf("%s has caught up without a snapshot, but entries up to %d were gone: "+
			"its state began with snapshot %d", dead.ID, needs, f.Snapshot)
	}
	d.v.event(p.elapsed(), "%s is back by snapshot %s and has caught up, %s after its start",
		dead.ID, commas(int(f.Snapshot)), millis(took))
	return nil
}

// verify asks every member, and holds their answers against what the clients were told.
func (d *demo) verify(ctx context.Context) error {
	var answers []answer
	for _, m := range d.group.state() {
		a, err := d.group.read(ctx, m)
		if err != nil {
			return err
		}
		answers = append(answers, a)
	}
	took := d.load.latencies()
	d.sum.Acked = len(took)
	d.sum.PerSecond = int(float64(len(took)) / d.load.progress.elapsed().Seconds())
	d.sum.P50, d.sum.P99 = inMillis(quantile(took, 0.5)), inMillis(quantile(took, 0.99))
	for _, c := range d.load.clients {
		d.sum.Unknown += c.Unknown
		d.sum.Refused += c.NotAppended
	}
	d.sum.Duplicates, d.sum.Hash = answers[0].Duplicates, answers[0].Hash

	d.v.print("\n  check  acked %s", commas(d.sum.Acked))
	for _, a := range answers {
		d.v.print("         %-3s counts %s   state hash %s", a.Member, commas(int(a.Total)), a.Hash)
	}
	d.v.print("         outcome unknown and asked again: %d, found already applied: %d",
		d.sum.Unknown, d.sum.Duplicates)
	if wrong := check(d.load.histories(), answers); len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	if err := d.verifyMembers(); err != nil {
		return err
	}
	d.v.print("         no acked increment lost, none applied twice, all in a linear order")
	return nil
}

// serve keeps the group up until Ctrl-C, and says how to talk to it.
func (d *demo) serve(ctx context.Context) error {
	members := d.group.addresses()
	d.v.print("\n  serving until Ctrl-C:")
	d.v.print("  go run ./examples/counter members --http %s", members.String())
	d.v.print("  and so add, get, add-member, promote, remove-member and transfer; or")
	for _, a := range members {
		d.v.print("  curl http://%s/status", a.Addr)
	}
	first := members[0].Addr
	d.v.print("  curl http://%s/get", first)
	d.v.print("  curl -X POST 'http://%s/add?client=me&seq=1&delta=5&forward=1'", first)
	d.v.print("  again with the same seq it is a repetition; the next increment of 'me' has seq=2")
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, errInterrupted) {
		return err
	}
	return nil
}

// sleepUntil waits until the load has run for that long.
func (d *demo) sleepUntil(ctx context.Context, at time.Duration) error {
	select {
	case <-time.After(at - d.load.progress.elapsed()):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
