package sim

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/internal/sim/agenda"
	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// Config says what to run.
type Config struct {
	Seed   uint64
	Only   []swarm.Fault  // if not nil: no others happen
	Log    func(string)   // gets one line for each event; nil: only the last ones are kept
	Script func(*Cluster) // replaces the two phases
	Budget int            // most events, 0: the default; more is a failure (something never ends)
	Swarm  *swarm.Swarm   // instead of the one that the seed draws
	Finish func(*Cluster) // looks at the finished cluster
}

// Cluster is one simulated cluster. Only one goroutine may use it; clusters share nothing.
type Cluster struct {
	Config
	swarm    swarm.Swarm
	now      time.Duration
	queue    agenda.Queue
	members  []*member
	links    []*link // from*len(members)+to
	clients  []*client
	ops      []*op // by serial - 1
	restores []*restore
	history  *witness.History
	report   record.Report
	trace    record.Trace
	firing   bool // faults may fire
	serving  bool // clients run
	ordinals map[uint32]uint32
	only     map[swarm.Fault]bool // nil: all
	// filter, if a script sets it, says how often a message is delivered.
	filter func(from, to int, data []byte) int
}

// eventBudget is far above what a seed needs: a run that uses it up is one that never ends.
const eventBudget = 4_000_000

// Run runs one seed to its end or to the first violation, and reports.
func Run(cfg Config) (r record.Report) {
	c := &Cluster{Config: cfg, ordinals: map[uint32]uint32{}}
	if cfg.Only != nil {
		c.only = map[swarm.Fault]bool{}
	}
	for _, f := range cfg.Only {
		c.only[f] = true
	}
	c.trace.Log = cfg.Log
	c.report.Seed = cfg.Seed
	defer func() {
		if p := recover(); p != nil {
			c.report.Failure = c.failure(p)
		}
		c.finish(&c.report)
		r = c.report
	}()
	c.build()
	if cfg.Script != nil {
		cfg.Script(c)
		return
	}
	c.safety()
	c.liveness()
	if cfg.Finish != nil {
		cfg.Finish(c)
	}
	return
}

// failure turns what a run panicked with into a report: a checker's finding, a broken invariant
// of the code under test, or any other panic of it.
func (c *Cluster) failure(p any) *record.Failure {
	f := &record.Failure{Seed: c.Seed, At: c.now, Trace: c.trace.Last()}
	switch v := p.(type) {
	case *witness.Broken:
		f.Invariant, f.What = v.Invariant, v.What
	case *invariant.Violation:
		f.Invariant, f.What = v.What, v.Error()
		f.Stack = string(debug.Stack())
	default:
		f.Invariant, f.What = "panic", fmt.Sprint(p)
		f.Stack = string(debug.Stack())
	}
	return f
}

// check ends the run unless ok: the invariant with that name does not hold.
func (c *Cluster) check(ok bool, invariant, format string, args ...any) {
	c.history.Check(ok, invariant, format, args...)
}

// build makes the members, their links and the clients, and boots the members.
func (c *Cluster) build() {
	if c.Swarm != nil {
		c.swarm = *c.Swarm
	} else {
		c.swarm = swarm.Draw(c.Seed)
	}
	if c.Budget == 0 {
		c.Budget = eventBudget
	}
	n := c.swarm.Machines()
	var watched []*witness.Member
	for i := range n {
		watched = append(watched, witness.NewMember(i, raft.PeerID(fmt.Sprintf("m%d", i))))
	}
	c.history = witness.New(watched, c.swarm.Limits, c.swarm.ValueBytes, c.swarm.Keys)
	for _, w := range watched {
		c.members = append(c.members, newMember(c, w))
	}
	for from := range n {
		for to := range n {
			c.links = append(c.links, newLink(c, from, to))
		}
	}
	conf := c.firstConfiguration()
	for _, m := range c.members {
		if m.Index < c.swarm.Members {
			m.disk.Format(conf)
		}
		m.boot()
	}
	c.history.Founded(c.members[0].Member)
	for i := range c.swarm.Clients {
		c.clients = append(c.clients, newClient(c, i))
	}
}

// firstConfiguration has the first machines as voters; the others wait to be added.
func (c *Cluster) firstConfiguration() raft.Configuration {
	var conf raft.Configuration
	draw := swarm.NewStream(c.Seed, 7001)
	for i, p := range c.machines()[:c.swarm.Members] {
		if p.Priority = c.swarm.Priority(draw); i == 0 {
			p.Priority = max(p.Priority, 0) // somebody must be able to lead
		}
		conf.Voters = append(conf.Voters, p)
	}
	return conf
}

// after runs f once d has passed.
func (c *Cluster) after(d time.Duration, f func()) { c.queue.Push(c.now+max(d, 0), f) }

// step runs the next event; false: there is none before the deadline, and the clock stands at it.
func (c *Cluster) step(deadline time.Duration) bool {
	e, ok := c.queue.Pop(deadline)
	if !ok {
		c.now = max(c.now, deadline)
		return false
	}
	c.now = e.At
	c.history.Now = e.At
	c.report.Events++
	c.check(c.report.Events < c.Budget, "I33 convergence", "more than %d events", c.Budget)
	e.Run()
	return true
}

// runUntil runs the events up to a virtual time.
func (c *Cluster) runUntil(deadline time.Duration) {
	for c.step(deadline) {
	}
}

// runWhile runs events while cond holds, at most until the deadline; it reports whether cond ended.
func (c *Cluster) runWhile(cond func() bool, deadline time.Duration) bool {
	for cond() {
		if !c.step(deadline) {
			return !cond()
		}
	}
	return true
}

// safety is the first phase: faults fire and clients work.
func (c *Cluster) safety() {
	c.firing, c.serving = true, true
	c.startFaults()
	c.startOperator()
	for _, cl := range c.clients {
		cl.next(cl.draw.Wait(c.swarm.Election))
	}
	c.runUntil(c.swarm.Length)
}

// leader returns the member that leads in the highest term, nil if none does.
func (c *Cluster) leader() *member {
	var best *member
	for _, m := range c.members {
		if m.core != nil && m.Status.Role == core.Leader && (best == nil ||
			m.Status.Term > best.Status.Term) {
			best = m
		}
	}
	return best
}

// believesToLead returns one of those that take themselves for the leader, the only one or not,
// nil if nobody does.
func (c *Cluster) believesToLead(u float64) *member {
	var all []*member
	for _, m := range c.members {
		if m.core != nil && m.Status.Role == core.Leader {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[swarm.Scale(u, len(all))]
}

func (c *Cluster) member(id raft.PeerID) *member {
	for _, m := range c.members {
		if m.ID == id {
			return m
		}
	}
	return nil
}
