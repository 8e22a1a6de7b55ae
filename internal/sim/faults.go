package sim

import (
	"errors"
	"time"

	"github.com/jraft-go/jraft/internal/sim/edge"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/vfs"
)

// fire decides whether a drawn fault happens: it must be drawn, its class on, and the fault not
// suppressed.
func (c *Cluster) fire(class swarm.Class, source int, drawn bool) bool {
	if !drawn || !c.firing || !c.swarm.On[class] {
		return false
	}
	key := uint32(class)<<16 | uint32(source)
	c.ordinals[key]++
	f := swarm.Fault{Class: class, Source: source, Ordinal: c.ordinals[key]}
	if c.only != nil && !c.only[f] {
		return false
	}
	c.report.Faults = append(c.report.Faults, f)
	c.report.Fired[class]++
	c.trace.Note(c.now, source, "FAULT "+class.String(), uint64(f.Ordinal))
	return true
}

// episode is a fault that starts, lasts and ends. Its draws are made before anything else is known.
type episode struct {
	span  time.Duration
	who   float64
	which float64
	more  float64
	sides [16]float64
}

// startFaults sets the first episode of every class that comes in episodes.
func (c *Cluster) startFaults() {
	for _, x := range []struct {
		class swarm.Class
		run   func(e *episode)
	}{
		{swarm.OneWay, c.oneWay}, {swarm.Partition, c.partition}, {swarm.Bridge, c.bridge},
		{swarm.Isolate, c.isolate}, {swarm.Crash, c.crashOne}, {swarm.Kill, c.killOne},
		{swarm.CrashInWrite, c.crashInWrite}, {swarm.CrashAll, c.crashAll},
		{swarm.Storm, c.storm}, {swarm.Pause, c.pauseOne}, {swarm.Lag, c.lagOne}, {swarm.Snap, c.snapOne},
		{swarm.Compact, c.compactOne}, {swarm.CrashInSnapshot, c.crashInSnapshot},
		{swarm.Restore, c.restoreOld},
		{swarm.Break, c.breakSome},
	} {
		c.schedule(swarm.NewStream(c.Seed, 4000+uint64(x.class)), x.class, x.run)
	}
}

func (c *Cluster) schedule(draw *swarm.Stream, class swarm.Class, run func(e *episode)) {
	gap := draw.Wait(c.swarm.Gap[class])
	longest := float64(c.swarm.Span[class])
	e := episode{span: time.Duration(swarm.Spread(draw.Unit(), longest/20, longest))}
	e.who, e.which, e.more = draw.Unit(), draw.Unit(), draw.Unit()
	for i := range e.sides {
		e.sides[i] = draw.Unit()
	}
	c.after(gap, func() {
		if c.fire(class, 0, true) {
			run(&e)
		}
		if c.firing {
			c.schedule(draw, class, run)
		}
	})
}

// someone picks a member; half of the time the leader if there is one, because that is where
// faults hurt.
func (c *Cluster) someone(e *episode) *member {
	if l := c.leader(); l != nil && e.which < 0.5 {
		return l
	}
	return c.members[swarm.Scale(e.who, len(c.members))]
}

func (c *Cluster) others(i int) (list []int) {
	for j := range c.members {
		if j != i {
			list = append(list, j)
		}
	}
	return list
}

// sides splits the members in two by chance; either side may be empty.
func (c *Cluster) sides(e *episode) (a, b []int) {
	for i := range c.members {
		if e.sides[i] < 0.5 {
			a = append(a, i)
		} else {
			b = append(b, i)
		}
	}
	return a, b
}

// cutFor cuts both directions between a and b for a while.
func (c *Cluster) cutFor(d time.Duration, a, b []int) {
	there, back := c.cut(a, b), c.cut(b, a)
	c.after(d, there)
	c.after(d, back)
}

func (c *Cluster) oneWay(e *episode) {
	a := c.someone(e).Index
	b := (a + 1 + swarm.Scale(e.more, max(len(c.members)-1, 1))) % len(c.members)
	c.after(e.span, c.cut([]int{a}, []int{b}))
}

func (c *Cluster) partition(e *episode) {
	a, b := c.sides(e)
	c.cutFor(e.span, a, b)
}

func (c *Cluster) bridge(e *episode) {
	mid := swarm.Scale(e.who, len(c.members))
	e.sides[mid] = 2
	var a, b []int
	for i := range c.members {
		switch {
		case i == mid:
		case e.sides[i] < 0.5:
			a = append(a, i)
		default:
			b = append(b, i)
		}
	}
	c.cutFor(e.span, a, b)
}

func (c *Cluster) isolate(e *episode) {
	l := c.someone(&episode{who: e.who, which: 0})
	me, rest := []int{l.Index}, c.others(l.Index)
	if c.fire(swarm.Stall, l.Index, c.swarm.On[swarm.Stall] && e.sides[0] < 0.5) {
		// Its disk hangs, too: so a write of what it took alone may end after others led and
		// truncated that.
		l.disk.Hang = time.Duration(2 * e.sides[1] * float64(e.span))
	}
	switch swarm.Scale(e.more, 3) {
	case 0:
		c.cutFor(e.span, me, rest)
	case 1:
		c.after(e.span, c.cut(me, rest))
	default:
		c.after(e.span, c.cut(rest, me))
	}
}

func (c *Cluster) restartAfter(e *episode) time.Duration {
	return time.Duration(swarm.Spread(e.more, float64(time.Millisecond), float64(c.swarm.RestartTime)))
}

func (c *Cluster) crashOne(e *episode) { c.someone(e).crash(true, c.restartAfter(e)) }
func (c *Cluster) killOne(e *episode)  { c.someone(e).crash(false, c.restartAfter(e)) }

func (c *Cluster) crashAll(e *episode) {
	for i, m := range c.members {
		m.crash(true, time.Duration(e.sides[i]*float64(c.restartAfter(e))))
	}
}

// crashInWrite arms a crash that goes off in the middle of the member's next write.
func (c *Cluster) crashInWrite(e *episode) {
	m := c.someone(e)
	m.disk.Trap = m.trap(e.sides[0], c.restartAfter(e))
}

// trap takes the member down in the midst of something.
func (m *member) trap(part float64, restart time.Duration) *edge.Trap {
	return &edge.Trap{Part: part, Crash: func() {
		if m.c.firing {
			m.crash(true, restart)
		}
	}}
}

// storm crashes one member again and again, each time soon after it is back.
func (c *Cluster) storm(e *episode) {
	m := c.someone(e)
	at := time.Duration(0)
	for i := range 2 + swarm.Scale(e.sides[0], 5) {
		at += time.Duration(e.sides[i+1] * float64(c.swarm.Election))
		c.after(at, func() {
			if c.firing {
				m.crash(e.sides[8] < 0.7, time.Duration(e.sides[9]*float64(c.swarm.Election)/2))
			}
		})
	}
}

// lagOne cuts a member off that does not lead, so that it misses entries.
func (c *Cluster) lagOne(e *episode) {
	m := c.members[swarm.Scale(e.who, len(c.members))]
	if m != c.leader() {
		c.cutFor(e.span, []int{m.Index}, c.others(m.Index))
	}
}

// crashInSnapshot arms a crash that goes off in the middle of the member's next step with a
// snapshot.
func (c *Cluster) crashInSnapshot(e *episode) {
	m := c.someone(e)
	m.keeper.Trap = m.trap(e.sides[0], c.restartAfter(e))
}

// snapOne has a member take a snapshot out of turn.
func (c *Cluster) snapOne(e *episode) {
	if m := c.someone(e); m.core != nil && !m.paused && m.keeper.Applier.Applied() > 0 {
		m.keeper.Take()
	}
}

// compactOne has a member compact its log out of turn, with whatever is under way to others.
func (c *Cluster) compactOne(e *episode) {
	c.someone(e).keeper.Retell()
}

func (c *Cluster) pauseOne(e *episode) { c.someone(e).pause(e.span) }

// crash takes a member down, by power loss or by killing its process, and has it restarted later.
// One that is down stays down: its restart is set already.
func (m *member) crash(power bool, restart time.Duration) {
	if m.core == nil {
		return
	}
	m.note("crash", record.Bit(power), uint64(restart))
	m.c.report.Crashes++
	m.stage()
	m.halt()
	m.disk.Crash(power)
	m.noticed(power)
	m.restartAfter(restart)
}

// fails stops the member with a cause, as production does, and has somebody restart it later.
func (m *member) fails(err error) {
	m.note("stops")
	m.cause = err
	m.c.report.Stopped++
	power, restart := m.disk.Stopped()
	m.halt()
	m.disk.Crash(power)
	m.restartAfter(restart)
}

// mayDamage keeps the damage to a minority: more than that no protocol can bear.
func (c *Cluster) mayDamage(m *member) bool {
	damaged := 1
	for _, x := range c.members {
		if x != m && x.keeper.Damaged() {
			damaged++
		}
	}
	return 2*damaged < len(c.members)
}

// powerless takes the member down if its file system has stopped, as a script may have it do.
func (m *member) powerless(err error) bool {
	if !errors.Is(err, vfs.ErrCrashed) {
		return false
	}
	m.crash(true, m.c.swarm.Election/4)
	return true
}

// restartAfter boots the member later, unless something else has booted it by then.
func (m *member) restartAfter(d time.Duration) {
	life := m.Life
	m.c.after(d, func() {
		if m.Life == life && m.core == nil {
			m.c.report.Restarts++
			m.boot()
		}
	})
}
