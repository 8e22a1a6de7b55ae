package sim

import (
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// recoveryIsPrefix is I28: what a store comes back with is what was durable, and of the write that was under way a
// prefix of its parts: never a gap, never an entry that was not appended or that was durably truncated.
func (h *history) recoveryIsPrefix(m *member, got shadow, maybe []logmanager.Write) {
	could := m.dur.copyOf()
	if got.same(&could) {
		return
	}
	for i := range maybe {
		w := maybe[i]
		if w.HardState != nil {
			could.hard = *w.HardState
			if got.same(&could) {
				return
			}
		}
		if w.Truncate > 0 {
			could.truncate(w.Truncate)
			if got.same(&could) {
				return
			}
		}
		for n := range w.Entries {
			could.append(&w.Entries[n])
			if got.same(&could) {
				return
			}
		}
	}
	h.c.fail("I28 recovery is a prefix", "m%d comes back with %v and %d entries; durable were %v and %d, "+
		"then %d writes were under way", m.index, got.hard, got.last(), m.dur.hard, m.dur.last(), len(maybe))
}

// fetched: entries read back are those that were written.
func (h *history) fetched(m *member, got []raft.Entry) {
	for i := range got {
		e := &got[i]
		h.c.check(e.Index <= m.dur.last() && m.dur.log[e.Index-1].term == e.Term &&
			m.dur.log[e.Index-1].serial == serialOf(e), "I28 recovery is a prefix",
			"m%d reads %v, its disk holds something else there", m.index, e.ID())
	}
}
