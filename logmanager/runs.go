package logmanager

import (
	"fmt"
	"sort"

	"github.com/jraft-go/jraft/raft"
)

// runs are the terms of a log: one run for each leader that wrote to it, oldest first. A log of
// millions of entries has a handful, so every term can be looked up without touching the disk.
type runs []Run

func (r runs) termAt(i raft.Index) raft.Term {
	n := sort.Search(len(r), func(n int) bool { return r[n].First > i })
	return r[n-1].Term
}

func (r runs) extend(i raft.Index, term raft.Term) runs {
	if n := len(r); n > 0 && r[n-1].Term == term {
		return r
	}
	return append(r, Run{First: i, Term: term})
}

// truncate drops what the log loses when i and all after it are removed.
func (r runs) truncate(i raft.Index) runs {
	for n := len(r); n > 0 && r[n-1].First >= i; n-- {
		r = r[:n-1]
	}
	return r
}

// compact drops what the log, which ends at last, loses when i and all before it are given up.
func (r runs) compact(i, last raft.Index) runs {
	if i >= last {
		return nil
	}
	for len(r) > 1 && r[1].First <= i+1 {
		r = r[1:]
	}
	if len(r) > 0 && r[0].First <= i {
		r = append(runs{{First: i + 1, Term: r[0].Term}}, r[1:]...)
	}
	return r
}

func (r runs) validate(base, last raft.LogID) error {
	if last.Index < base.Index {
		return fmt.Errorf("%w: the log ends at %d before its base %d",
			raft.ErrCorrupt, last.Index, base.Index)
	}
	if last.Index == base.Index {
		if len(r) != 0 || last != base {
			return fmt.Errorf("%w: an empty log with %d terms", raft.ErrCorrupt, len(r))
		}
		return nil
	}
	if len(r) == 0 || r[0].First != base.Index+1 || r[0].Term < base.Term ||
		r[len(r)-1].Term != last.Term {
		return fmt.Errorf("%w: the terms of the log do not fit its ends", raft.ErrCorrupt)
	}
	for n := 1; n < len(r); n++ {
		if r[n].First <= r[n-1].First || r[n].Term <= r[n-1].Term || r[n].First > last.Index {
			return fmt.Errorf("%w: the terms of the log are out of order", raft.ErrCorrupt)
		}
	}
	return nil
}
