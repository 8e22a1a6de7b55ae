package sim

import (
	"fmt"
	"strings"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/record"
)

// finish fills in what is known only at the end of a run.
func (c *Cluster) finish(r *record.Report) {
	r.Members, r.Hash, r.Virtual = c.swarm.Members, c.trace.Hash, c.now
	if h := c.history; h != nil {
		r.Writes, r.Reads, r.Elections, r.Outcomes = h.Writes, h.Reads, h.Elections, h.Outcomes
	}
	for _, m := range c.members {
		r.Term = max(r.Term, uint64(m.Status.Term))
	}
}

// sketch is the state of all members in a few lines, for failures to converge.
func (c *Cluster) sketch() string {
	var b strings.Builder
	for _, m := range c.members {
		s := &m.Status
		fmt.Fprintf(&b, "\n    m%d up=%v %s term %d leader %q last %v durable %d committed %d "+
			"applied %d, open %d "+
			"placed %d reads %d pending %d, %v of %d", m.Index, m.core != nil, s.Role, s.Term,
			s.Leader, s.Last, s.Durable,
			s.Committed, s.Applied, len(m.open), len(m.placed), len(m.reads), s.PendingBytes,
			&s.Configuration, s.Configuration.Index)
		if s.Role == core.Leader {
			fmt.Fprintf(&b, " %+v", s.Peers)
		}
	}
	return b.String()
}
