package fsm

import "github.com/jraft-go/jraft/raft"

const (
	keptResults = 4096
	keptRuns    = 64
)

// history remembers what was applied last: the results, while they are wanted, and the terms.
type history struct {
	keeping bool
	ring    []kept     // by index modulo its length; nil until wanted for the first time
	lo, hi  raft.Index // Invariant: exactly lo..hi are in the ring; lo > hi: nothing is
	runs    []run      // the terms of the newest entries, oldest first; at most keptRuns
}

type kept struct {
	term  raft.Term
	value any
}

// run is a stretch of applied entries of one term, from first up to the next run.
type run struct {
	first raft.Index
	term  raft.Term
}

func (h *history) keep(on bool) {
	if on && h.ring == nil {
		h.ring = make([]kept, keptResults)
	}
	if h.keeping && !on {
		for i := h.lo; i <= h.hi; i++ {
			h.ring[i%keptResults] = kept{} // let go of the user's values
		}
	}
	if h.keeping != on {
		h.lo, h.hi = 1, 0
	}
	h.keeping = on
}

func (h *history) add(id raft.LogID, value any) {
	if n := len(h.runs); n == 0 || h.runs[n-1].term != id.Term {
		h.begin(run{id.Index, id.Term})
	}
	if !h.keeping {
		return
	}
	if h.lo > h.hi {
		h.lo = id.Index
	}
	h.hi = id.Index
	if h.hi-h.lo >= keptResults {
		h.lo++
	}
	h.ring[id.Index%keptResults] = kept{id.Term, value}
}

func (h *history) begin(r run) {
	if n := len(h.runs); n == keptRuns {
		copy(h.runs, h.runs[1:])
		h.runs = h.runs[:n-1]
	}
	h.runs = append(h.runs, r)
}

// jump goes on after a snapshot took the place of the entries from next up to last.
func (h *history) jump(next raft.Index, last raft.LogID) {
	if h.keeping {
		h.keep(false)
		h.keep(true)
	}
	h.begin(run{next, 0})
	h.begin(run{last.Index, last.Term})
}

// lookup returns the result of the entry at.Index, if it is known and the entry is at; and the term
// of the entry that was applied at that index, 0 if that is not known any more.
func (h *history) lookup(at raft.LogID) (value any, known bool, term raft.Term) {
	for _, r := range h.runs {
		if r.first <= at.Index {
			term = r.term
		}
	}
	if h.lo <= at.Index && at.Index <= h.hi {
		k := h.ring[at.Index%keptResults]
		return k.value, k.term == at.Term, term
	}
	return nil, false, term
}
