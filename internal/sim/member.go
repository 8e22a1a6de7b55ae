package sim

import (
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/edge"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// member is one member: the core and, as events, the edges that production runs as loops.
type member struct {
	*witness.Member
	c    *Cluster
	draw *swarm.Stream

	core  *core.Core // nil while down
	out   core.Output
	cause error // why it stopped by itself

	addr   string // where it listens
	former string // and where it did before, as long as that is forwarded
	gone   bool   // for good

	offset time.Duration // of the member's clock
	rate   float64
	timer  time.Duration // virtual time of the armed timer, -1: none

	paused bool
	held   []func()        // what happened while it was paused
	calls  []func()        // and what its users called
	taking bool            // a Take is on its way (inputs gather)
	inputs int             // since the last Take
	heard  []*raft.Message // among them

	disk   *edge.Disk
	keeper *edge.Keeper

	applies  []job
	applying bool
	waits    waiting // for a restore to be over, before a snapshot is taken

	placed []*op // placed writes, not yet applied
	reads  []*op // served reads, not yet applied
	open   []*op // what the core owes an answer for
}

func newMember(c *Cluster, watched *witness.Member) *member {
	m := &member{Member: watched, c: c, timer: -1, addr: string(watched.ID) + ":1"}
	m.draw = swarm.NewStream(c.Seed, 3000+uint64(m.Index))
	m.rate = [...]float64{0.9, 1, 1.1, 0.9 + 0.2*m.draw.Unit()}[m.draw.Pick(4)]
	m.disk, m.keeper = edge.New(m.host())
	return m
}

// host is the member as its edges see it.
func (m *member) host() edge.Host {
	c := m.c
	return edge.Host{
		Member: m.Member, Seed: c.Seed, Swarm: &c.swarm, History: c.history, Report: &c.report,
		Note: m.note, Clock: m.clock, After: m.after,
		Firing: func() bool { return c.firing },
		Fire: func(class swarm.Class, drawn bool) bool {
			return c.fire(class, m.Index, drawn)
		},
		Input: func(f func(*core.Core, time.Duration)) {
			m.input(nil, func(now time.Duration) { f(m.core, now) })
		},
		Call: func(f func(*core.Core, time.Duration)) {
			m.call(func(now time.Duration) { f(m.core, now) })
		},
		Powerless: m.powerless, Fails: m.fails, Postponed: m.postponed,
		MayDamage: func() bool { return c.mayDamage(m) },
		Carry: func(addr string, request []byte, got func(reply []byte)) {
			c.carry(m, c.at(addr), request, got)
		},
	}
}

// clock is what the member's monotonic clock shows.
func (m *member) clock() time.Duration {
	return m.offset + time.Duration(float64(m.c.now)*m.rate)
}

// virtual is when the member's clock will show t.
func (m *member) virtual(t time.Duration) time.Duration {
	return time.Duration(float64(t-m.offset)/m.rate) + 2
}

// note traces an event of this member.
func (m *member) note(what string, nums ...uint64) {
	m.c.trace.Note(m.c.now, m.Index, what, nums...)
}

// after runs f after d in this life of the member, or once it is no longer paused.
func (m *member) after(d time.Duration, f func()) {
	life := m.Life
	m.c.after(d, func() {
		switch {
		case m.Life != life:
		case m.paused:
			m.held = append(m.held, f)
		default:
			f()
		}
	})
}

// boot opens the store and starts the core on what it holds.
func (m *member) boot() {
	m.Life++
	m.offset = m.draw.Between(time.Millisecond, time.Hour)
	m.keeper.Damage()
	stored, again, ok := m.disk.Open()
	if !ok {
		m.restartAfter(again)
		return
	}
	newest := m.keeper.Open()
	o := m.c.swarm.Limits
	o.ID = m.ID
	twin := uint64(m.Index)
	if m.c.swarm.SameJitter && m.Index == 1 {
		twin = 0
	}
	o.Seed = witness.Mix(m.c.Seed) + twin
	o.Sender = witness.Mix(m.c.Seed ^ m.Life<<8 ^ twin)
	k, err := core.New(o, m.clock(), stored, newest)
	if err != nil {
		m.cause = err
		m.keeper.Refuse(&stored, newest, err)
		if !m.c.firing { // it was on its way up when the cluster healed
			m.keeper.Repair()
			m.restartAfter(0)
		}
		return
	}
	m.core, m.cause = k, nil
	m.Status = k.Status()
	m.note("boot", uint64(m.Status.Term), uint64(m.Status.Last.Index), uint64(newest.Last.Index),
		uint64(stored.Base.Index))
	m.take()
}

// halt ends this life: the core and all that was under way is gone.
func (m *member) halt() {
	m.Life++
	m.core, m.timer = nil, -1
	m.paused, m.held, m.calls = false, nil, nil
	m.taking, m.inputs, m.heard = false, 0, nil
	m.applies, m.applying = nil, false
	gone := append(append(m.open, m.placed...), m.reads...)
	m.open, m.placed, m.reads = nil, nil, nil
	for _, o := range gone {
		o.crashed()
	}
	m.waits = waiting{}
	m.disk.Halt()
}

// input gives the core one input, and takes its output at once or, where the swarm says so, a
// little later, so that several inputs meet one Take.
func (m *member) input(message *raft.Message, f func(now time.Duration)) {
	linger, wait := m.draw.Chance(m.c.swarm.Linger), m.draw.Unit()
	m.inputs++
	if message != nil {
		m.heard = append(m.heard, message)
	}
	f(m.clock())
	if m.taking {
		return
	}
	if linger {
		m.taking = true
		m.after(time.Duration(wait*float64(m.c.swarm.SendDelay)), func() {
			m.taking = false
			m.take()
		})
		return
	}
	m.take()
}

// take takes the core's output until there is none and has all parts carried out.
func (m *member) take() {
	heard, alone := m.heard, m.inputs == 1
	m.inputs, m.heard = 0, nil
	for rounds := 0; ; rounds++ {
		m.c.check(rounds < 1000, "I33 convergence", "Take never ends")
		more := m.core.Take(&m.out)
		if !more && rounds > 0 {
			break
		}
		m.observe(heard, alone)
		if !more {
			break
		}
		m.carryOut()
		heard, alone = nil, false
	}
	m.arm()
}

// observe has the checkers look at what the member did in its last step.
func (m *member) observe(heard []*raft.Message, alone bool) {
	before := m.Status
	m.c.history.Observe(m.Member, &m.out, m.core.Status(), heard, alone)
	m.watch(&before)
	if m.out.Changed {
		m.note("role "+m.Status.Role.String(), uint64(m.Status.Term))
	}
}

// carryOut starts everything that the output asks for. The parts are independent of each other:
// each goes its own way and takes its own time.
func (m *member) carryOut() {
	o := &m.out
	if o.Write.Truncate > 0 {
		m.c.report.Cuts++
	}
	if o.Write.Compact > 0 {
		m.c.report.Snapshots.Compactions++
	}
	if o.Write.Reset.Index > 0 {
		m.c.report.Snapshots.Resets++
	}
	if o.Write.Seq != 0 {
		m.disk.Write(o.Write)
	}
	for i := range o.Messages {
		m.send(&o.Messages[i])
	}
	if len(o.Apply) > 0 {
		m.applies = append(m.applies, job{entries: append([]raft.Entry(nil), o.Apply...)})
		m.applyNext()
	}
	if o.Restore != nil {
		m.applies = append(m.applies, job{snapshot: m.keeper.Fetched(*o.Restore)})
		m.applyNext()
	}
	if o.Pull != nil {
		m.keeper.Pull(*o.Pull)
	}
	for _, f := range o.Fetches {
		m.disk.Fetch(f)
	}
	for _, p := range o.Placed {
		m.onPlaced(p)
	}
	for _, r := range o.Reads {
		m.onRead(r)
	}
	for i := range o.Changes {
		m.onChanged(&o.Changes[i])
	}
	for i := range o.Transfers {
		m.onTransferred(&o.Transfers[i])
	}
	if o.Lost > 0 {
		m.onLost(o.Lost, o.Committed)
	}
}

// send encodes a message and puts it on its link.
func (m *member) send(msg *raft.Message) {
	to := m.reach(msg.To)
	m.c.check(m.c.member(msg.To) != nil && to != m, "I18 non-members", "m%d sends to %q", m.Index,
		msg.To)
	m.c.check(msg.From == m.ID && msg.Group == swarm.Group && msg.Cluster == "sim", "I18 non-members",
		"m%d sends in the name of %q", m.Index, msg.From)
	m.c.history.Sent(m.Member, msg)
	what, nums := record.Describe(msg, m.c.member(msg.To).Index)
	if to == nil {
		m.note("lose "+what, nums...)
		return
	}
	m.note("send "+what, nums...)
	data := transport.Encode(nil, msg)
	l := m.c.links[m.Index*len(m.c.members)+to.Index]
	delay := time.Duration(m.draw.Unit() * float64(m.c.swarm.SendDelay))
	in := control
	if msg.Bulk() {
		in = bulk
	}
	m.after(delay, func() { l.send(data, in, l.deliver) })
}

// receive decodes a message that a link delivers.
func (m *member) receive(data []byte) {
	if m.core == nil {
		return
	}
	msg, err := transport.Decode(data)
	m.c.check(err == nil, "codec", "decode: %v", err)
	what, nums := record.Describe(&msg, m.c.member(msg.From).Index)
	m.note("recv "+what, nums...)
	m.input(&msg, func(now time.Duration) { m.core.Receive(now, msg) })
}

func (m *member) tick() {
	m.note("tick")
	m.input(nil, func(now time.Duration) { m.core.Tick(now) })
}

// arm sets the timer to the core's next deadline. A deadline that has passed is due now.
func (m *member) arm() {
	at := max(m.virtual(m.core.NextDeadline()), m.c.now)
	if at == m.timer || at > m.c.now+time.Hour {
		return
	}
	m.timer = at
	m.after(at-m.c.now, func() {
		if m.timer == at {
			m.timer = -1
			m.tick()
		}
	})
}

// pause stops the member for d: it gets no events, and finds its clock advanced.
func (m *member) pause(d time.Duration) {
	if m.core == nil || m.paused {
		return
	}
	m.note("pause", uint64(d))
	m.paused = true
	life := m.Life
	m.c.after(d, func() {
		if m.Life == life {
			m.resume()
		}
	})
}

func (m *member) resume() {
	if !m.paused {
		return
	}
	m.note("resume")
	m.paused = false
	held := m.held
	m.held = nil
	// A loop that wakes up finds its channels full and takes from them in any order: as things came,
	// all mixed, or the calls of its own users before what the network brought.
	order := m.draw.Pick(3)
	for i := len(held) - 1; i > 0; i-- {
		if j := swarm.Scale(m.draw.Unit(), i+1); order == 1 {
			held[i], held[j] = held[j], held[i]
		}
	}
	if order == 2 {
		held = append(m.calls, held...)
	} else {
		held = append(held, m.calls...)
	}
	m.calls = nil
	for _, f := range held {
		m.after(0, f)
	}
}
