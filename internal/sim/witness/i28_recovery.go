package witness

import (
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// recoveryIsPrefix is I28: what a store comes back with is what was durable, and of the write
// that was under way a prefix of its parts: never a gap, never an entry that was not appended or
// that was durably truncated.
func (h *History) recoveryIsPrefix(m *Member, got Shadow, maybe []logmanager.Write) {
	could := m.Dur.copyOf()
	if got.Same(&could) {
		return
	}
	for i := range maybe {
		w := maybe[i]
		if w.HardState != nil {
			could.Hard = *w.HardState
			if got.Same(&could) {
				return
			}
		}
		if w.Truncate > 0 {
			could.truncate(w.Truncate)
			if got.Same(&could) {
				return
			}
		}
		for n := range w.Entries {
			could.Append(&w.Entries[n])
			if got.Same(&could) {
				return
			}
		}
	}
	h.fail("I28 recovery is a prefix",
		"m%d comes back with %v and %d entries; durable were %v and %d, "+
			"then %d writes were under way", m.Index, got.Hard, got.Last(), m.Dur.Hard, m.Dur.Last(),
		len(maybe))
}

// Fetched: entries read back are those that were written.
func (h *History) Fetched(m *Member, got []raft.Entry) {
	for i := range got {
		e := &got[i]
		h.Check(e.Index <= m.Dur.Last() && m.Dur.log[e.Index-1].term == e.Term &&
			m.Dur.log[e.Index-1].serial == Serial(e), "I28 recovery is a prefix",
			"m%d reads %v, its disk holds something else there", m.Index, e.ID())
	}
}
