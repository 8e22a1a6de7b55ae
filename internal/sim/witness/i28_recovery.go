package witness

import (
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// recoveryIsPrefix is I28: what a store comes back with is what was durable, and of the write
// that was under way a prefix of its parts: never a gap, never an entry that was not appended or
// that was durably truncated. What was compacted may have come back, except what a reset forgot.
func (h *History) recoveryIsPrefix(m *Member, got Shadow, maybe []logmanager.Write) {
	could := m.Dur.copyOf()
	same := func() bool {
		return got.Same(&could) && got.base >= could.reset && got.base <= could.base
	}
	if same() {
		return
	}
	for i := range maybe {
		w := maybe[i]
		if w.HardState != nil {
			could.Hard = *w.HardState
			if same() {
				return
			}
		}
		if w.Reset.Index > 0 {
			could.startOver(w.Reset.Index, h.committed)
			if same() {
				return
			}
		}
		if w.Truncate > 0 {
			could.truncate(w.Truncate)
			if same() {
				return
			}
		}
		for n := range w.Entries {
			could.Append(&w.Entries[n])
			if same() {
				return
			}
		}
		could.base = max(could.base, w.Compact)
		if same() {
			return
		}
	}
	h.fail("I28 recovery is a prefix",
		"m%d comes back with %v and entries %d..%d; durable were %v and up to %d, "+
			"then %d writes were under way", m.Index, got.Hard, got.base+1, got.Last(), m.Dur.Hard,
		m.Dur.Last(),
		len(maybe))
}

// Shadow returns the shadow of a log that begins after base, which must be committed.
func (h *History) Shadow(m *Member, hard raft.HardState, base raft.LogID) Shadow {
	s := Shadow{Hard: hard}
	h.Check(base.Index <= h.Commit() &&
		(base.Index == 0 || h.committed[base.Index-1].term == base.Term), "I28 recovery is a prefix",
		"m%d: its log begins after %v, which was not committed", m.Index, base)
	s.startOver(base.Index, h.committed)
	return s
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
