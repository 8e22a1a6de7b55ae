package node

import (
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/petition"
	"github.com/jraft-go/jraft/raft"
)

// feedPetitions gives the core what members ask of their leader, and resets of the peers.
func (l *loop) feedPetitions(now time.Duration) {
	w := &l.work
	for _, p := range w.petitions {
		l.petition++
		p.Ticket = l.petition
		l.petitions[p.Ticket] = p
		if p.Op == petition.OpTransfer {
			l.log.Info("raft: leadership is to be transferred", "to", string(p.To))
			l.core.Transfer(now, p.Ticket, p.To)
			continue
		}
		l.core.Change(now, core.Change{ID: p.Ticket, Edits: p.Edits, IfIndex: p.IfIndex})
		if s := l.core.Status(); s.Changing != nil {
			l.log.Info("raft: the membership is to be changed", "from", s.Configuration.String(),
				"to", s.Changing.String())
		}
	}
	w.petitions = w.petitions[:0] // in l.petitions from here on
	for _, g := range w.withdrawn {
		switch {
		case l.petitions[g.Ticket] != g.Petition: // decided meanwhile
		case g.Op == petition.OpChange:
			l.core.AbandonChange(now, g.Ticket, g.cause)
		default:
			l.settle(g.Ticket, petition.Reply{Err: g.cause, Unknown: true})
		}
	}
	for _, r := range w.resets {
		l.reset(now, r)
	}
	w.resets = w.resets[:0]
}

// decide passes on what became of petitions.
func (l *loop) decide(now time.Duration) {
	if len(l.out.Changes)+len(l.out.Transfers) > 0 {
		l.publish(now) // the status is never older than a result
	}
	for i := range l.out.Changes {
		c := &l.out.Changes[i]
		if c.Err != nil {
			l.log.Info("raft: a change of the membership has failed", "cause", c.Err)
		} else {
			l.log.Info("raft: the membership has changed", "to", c.Configuration.String())
		}
		l.settle(c.ID, petition.Reply{
			Configuration: c.Configuration, Err: c.Err, Unknown: c.Unknown,
		})
	}
	for i := range l.out.Transfers {
		t := &l.out.Transfers[i]
		if t.Err != nil {
			l.log.Info("raft: a transfer of leadership has failed", "cause", t.Err)
		} else {
			l.log.Info("raft: leadership was transferred", "to", string(t.To))
		}
		l.settle(t.ID, petition.Reply{To: t.To, Err: t.Err, Unknown: t.Unknown})
	}
}

func (l *loop) settle(ticket uint64, r petition.Reply) {
	if p := l.petitions[ticket]; p != nil { // or nobody waits for it any more
		delete(l.petitions, ticket)
		p.Decide(r)
	}
}

// drainPetitions completes all when the member ends.
func (l *loop) drainPetitions(cause error) {
	for ticket := range l.petitions {
		l.settle(ticket, petition.Reply{Err: cause, Unknown: true})
	}
	for _, p := range l.work.petitions {
		p.Decide(petition.Reply{Err: cause})
	}
	for _, r := range append(l.resets, l.work.resets...) {
		r.finish(raft.Unknown, cause)
	}
	l.work.petitions, l.resets, l.work.resets = nil, nil, nil
}
