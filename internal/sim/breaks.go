package sim

import (
	"time"

	"github.com/jraft-go/jraft/internal/sim/record"
	"github.com/jraft-go/jraft/internal/sim/swarm"
)

// breaks tells the receiver of a link that the connection has ended, after all that was delivered
// over it. A link that is cut delivers not even that.
func (l *link) breaks() {
	wait := swarm.Exponential(l.draw.Unit(), l.c.swarm.LinkDelay)
	if l.isCut() {
		return
	}
	at := max(l.c.now+min(wait, 8*l.c.swarm.LinkDelay), l.free[control], l.free[bulk])
	from, to := l.c.members[l.from], l.c.members[l.to]
	l.c.after(at-l.c.now, func() {
		if to.core == nil || l.isCut() {
			return
		}
		to.after(0, func() {
			l.c.report.Membership.Breaks++
			leader := to.Status.Leader == from.ID
			to.note("broken", uint64(from.Index), record.Bit(leader))
			l.c.report.Membership.Suspicions += int(record.Bit(leader))
			to.input(nil, func(now time.Duration) { to.core.Broken(now, from.ID) })
		})
	})
}

// noticed tells the others that a process is gone, because the system it ran on closes its
// connections; where that has lost power, nobody does.
func (m *member) noticed(power bool) {
	w := &m.c.swarm
	told := m.c.fire(swarm.Noticed, m.Index, m.draw.Chance(w.Rate[swarm.Noticed]) && !power)
	for _, i := range m.c.others(m.Index) {
		if l := m.c.links[m.Index*len(m.c.members)+i]; told {
			l.breaks()
		}
	}
}

// breakSome ends connections for no reason: one, all from a member, or all of the cluster.
func (c *Cluster) breakSome(e *episode) {
	from := c.someone(e).Index
	for n, l := range c.links {
		switch {
		case l.from == l.to:
		case e.more < 0.5 && l.from == from && e.sides[l.to] < 0.5,
			e.more >= 0.5 && e.more < 0.8 && l.from == from, e.more >= 0.95,
			e.more >= 0.8 && e.sides[n%len(e.sides)] < 0.3:
			l.breaks()
		}
	}
}
