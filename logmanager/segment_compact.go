package logmanager

import (
	"slices"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// The front of the log. Each segment begins with the state of every group, so the stream may begin
// with any segment at which, for every group, the log then ended in an entry that still counts and
// is compacted. What the segments before hold is then needed by nobody; they are retired, and their
// files removed.
//
// A compaction is not recorded. In the process that carried it out the base is the compacted entry;
// after a restart it is where the first segment left says that the log ended, which is at or before
// that.

// bar says that the stream may not begin with a segment above after, up to upto: at the beginning
// of those the group's log ended in entries that were removed later, in segment upto.
type bar struct{ after, upto uint64 }

// reset forgets all entries and goes on after id, which is recorded in seg.
func (g *group) reset(id raft.LogID, seg *segment) {
	if id.Index < g.last.Index {
		g.barFrom(id.Index+1, seg)
	}
	g.base, g.last = id, id
	g.runs, g.configurations, g.points = nil, nil, nil
	g.cut = true
}

// barFrom notes that the entries from an index on, which are there, are removed in seg.
func (g *group) barFrom(from raft.Index, seg *segment) {
	if first := g.pointOf(from).segment.number; first < seg.number {
		g.bars = append(g.bars, bar{first, seg.number})
	}
}

// compact makes the entry at index to the base. Slices are copied, so that what they lose is freed.
func (v *view) compact(to raft.Index) {
	v.base = raft.LogID{Term: v.termAt(to), Index: to}
	if to == v.last.Index {
		v.runs, v.configurations, v.points = nil, nil, nil
		return
	}
	v.runs = slices.Clone(runs(v.runs).compact(to, v.last.Index))
	v.points = slices.Clone(v.points[v.pointIndex(to+1):])
	v.configurations = slices.DeleteFunc(slices.Clone(v.configurations), func(e raft.Entry) bool {
		return e.Index <= to
	})
}

// termAt returns the term of an entry that is there, or of the base.
func (v *view) termAt(i raft.Index) raft.Term {
	if i == v.base.Index {
		return v.base.Term
	}
	return runs(v.runs).termAt(i)
}

// needs returns the newest segment, at most number most, that the stream can begin with as far as
// the group is concerned.
//
// Proof, for a result n: the log ended with an entry i at the beginning of n. Entry base+1 is in n
// or later, so i <= base unless an entry base+1 that was there before has been removed since; that
// one was in a segment below n and was removed in n or later, which a bar says. For the same reason
// i itself was not removed since. Bars are in the order of their ends; one that was passed can't
// hold again, since it would have led below the one that did.
func (g *group) needs(most uint64) uint64 {
	n := most
	if g.last.Index > g.base.Index {
		n = min(n, g.points[0].segment.number)
	}
	for _, b := range slices.Backward(g.bars) {
		if b.after < n && n <= b.upto {
			n = b.after
		}
	}
	return n
}

// mayFree is called before a group is compacted or reset, and notes whether that may free segments:
// only if the group needs one that is as old as any that is needed. Without this, each compaction
// would have to ask all groups.
func (s *Segments) mayFree(g *group) {
	s.frontFree = s.frontFree || g.needs(s.last().number) <= s.needed
}

// retireFront retires the segments that no group needs. All that was written is durable, so what
// made them superfluous can't be lost.
func (s *Segments) retireFront() {
	s.frontFree = false
	first := s.last().number
	if s.fresh() && len(s.segments) > 1 {
		first-- // the last one does not yet begin with a state
	}
	s.needed = s.firstFor(first)
	// What suits the one group may be barred by another, so ask until all agree.
	for first = s.needed; s.firstFor(first) < first; {
		first = s.firstFor(first)
	}
	n := int(first - s.segments[0].number)
	if n <= 0 {
		return
	}
	invariant.Check(s.segments[n].number == first, "segments have no gap", first)
	gone := slices.Clone(s.segments[:n])
	s.segments = slices.Clone(s.segments[n:])
	for _, g := range s.groups {
		g.bars = slices.DeleteFunc(g.bars, func(b bar) bool { return b.upto <= first })
	}
	s.retired.add(gone)
	s.spares.ask()
}

// firstFor returns the oldest segment that any group needs if all are content with number most.
func (s *Segments) firstFor(most uint64) uint64 {
	first := most
	for _, g := range s.groups {
		first = min(first, g.needs(most))
	}
	return first
}
