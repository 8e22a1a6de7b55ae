package logmanager

import (
	"fmt"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Tail is the log of one member as the protocol sees it (§5.3): all of its terms and
// configurations, its newest entries, and which part of it is durable. It does no I/O: changes
// gather into a [Write], which the owner takes with TakeWrite, has carried out, and reports with
// Written. It corresponds to the in-memory half of
// com.alipay.sofa.jraft.storage.impl.LogManagerImpl.
//
// A Tail is owned by one goroutine. The entries that it hands out are shared and never change.
type Tail struct {
	base raft.LogID // the entry before the first one in the log
	last raft.LogID
	runs runs

	// entries are the newest ones, without a gap up to last; older ones are on disk only.
	entries    []raft.Entry
	bytes      int // of their frames
	cacheBytes int // how many to keep when they need not be kept
	// dropped is what was released from the front of entries since their array was made. The array
	// still refers to all that, and can't be cleared: what was handed out shares it.
	dropped int

	configurations []raft.Configuration // every one in the log, oldest first
	none           raft.Configuration   // in force while there is none

	weights weights

	hard    raft.HardState
	durable raft.Index

	// seq is the number of the write that is being gathered. Invariant: every write taken before
	// has a lower one.
	seq         uint64
	gathered    bool // something was gathered under seq
	hardChanged bool
	reset       raft.LogID // reset gathered; zero: none
	truncate    raft.Index // truncation gathered; 0: none
	compact     raft.Index // compaction gathered; 0: none
	firstNew    raft.Index // first index gathered; entries from here on go into the next write
	marks       []mark     // writes taken and not yet reported as durable, oldest first
}

// mark remembers of an outstanding write up to which index it still agrees with the log of now. A
// truncation lowers it: what the write makes durable beyond is no longer what the log says.
type mark struct {
	seq    uint64
	agrees raft.Index
}

// NewTail returns the log that a store holds, on top of the newest snapshot (zero: there is none).
// It keeps up to cacheBytes of the newest entries in memory beyond those that have to be there.
//
// A log that does not reach the snapshot, or that differs from it, is what a crash between
// publishing a snapshot and resetting the log leaves behind: it is reset now.
func NewTail(s Stored, snapshot raft.SnapshotMeta, cacheBytes int) (*Tail, error) {
	t := &Tail{
		base: s.Base, last: s.Last, hard: s.HardState, durable: s.Last.Index,
		runs: append(runs{}, s.Runs...), cacheBytes: cacheBytes, seq: 1, firstNew: s.Last.Index + 1,
	}
	if err := t.runs.validate(s.Base, s.Last); err != nil {
		return nil, err
	}
	if s.HardState.Term < s.Last.Term {
		return nil, fmt.Errorf("%w: the log ends in term %d, the hard state is of term %d",
			raft.ErrCorrupt, s.Last.Term, s.HardState.Term)
	}
	if s.Base.Index > snapshot.Last.Index {
		return nil, fmt.Errorf("%w: the log begins after entry %d, the newest snapshot covers up to %d: "+
			"restore the missing snapshot, or remove this member and add it anew",
			raft.ErrCorrupt, s.Base.Index, snapshot.Last.Index)
	}
	if snapshot.Last.Index > 0 {
		t.configurations = append(t.configurations, snapshot.Configuration.Clone())
	}
	if term, ok := t.TermAt(snapshot.Last.Index); !ok || term != snapshot.Last.Term {
		t.Reset(snapshot)
		return t, nil
	}
	for i := range s.Configurations {
		if e := &s.Configurations[i]; e.Index > snapshot.Configuration.Index || snapshot.Last.Index == 0 {
			if err := t.adopt(e); err != nil {
				return nil, fmt.Errorf("%w: %w", raft.ErrCorrupt, err)
			}
		}
	}
	return t, nil
}

// adopt takes a stored configuration, if it is one of the log: one that a store failed to truncate
// together with its entry must never come into force again.
func (t *Tail) adopt(e *raft.Entry) error {
	if term, ok := t.TermAt(e.Index); !ok || e.Index == t.base.Index || term != e.Term {
		return fmt.Errorf("configuration %v is not in the log", e.ID())
	}
	if n := len(t.configurations); n > 0 && t.configurations[n-1].Index >= e.Index {
		return fmt.Errorf("configurations out of order at index %d", e.Index)
	}
	if e.Kind != raft.EntryConfiguration {
		return fmt.Errorf("entry %d is of kind %d, not a configuration", e.Index, e.Kind)
	}
	c, err := raft.DecodeConfiguration(e.Index, e.Data)
	if err != nil {
		return err
	}
	t.configurations = append(t.configurations, c)
	return nil
}

// Last returns the last entry's id.
func (t *Tail) Last() raft.LogID { return t.last }

// First returns the index of the first entry that the log still has (or will have, when it is
// empty).
func (t *Tail) First() raft.Index { return t.base.Index + 1 }

// Durable returns the last index up to which the log of now is durable.
func (t *Tail) Durable() raft.Index { return t.durable }

// HardState returns the term and vote as last set, durable or not.
func (t *Tail) HardState() raft.HardState { return t.hard }

// Configuration returns the newest configuration in the log, committed or not; it is in force (§6).
// Without any it is the zero configuration: the member waits to be added. It is shared and must not
// be written to; the pointer is good until the next Append or Truncate.
func (t *Tail) Configuration() *raft.Configuration {
	if n := len(t.configurations); n > 0 {
		return &t.configurations[n-1]
	}
	return &t.none
}

// TermAt returns the term of the entry at i; false if the log does not have it. The base counts as
// there.
func (t *Tail) TermAt(i raft.Index) (raft.Term, bool) {
	switch {
	case i == t.last.Index:
		return t.last.Term, true
	case i == t.base.Index:
		return t.base.Term, true
	case i < t.base.Index || i > t.last.Index:
		return 0, false
	}
	return t.runs.termAt(i), true
}

// NewestWithin returns the last entry at or below index i whose term is at most term: where two
// logs that differ at i can agree at best. It skips whole terms (§5.3, last paragraph).
func (t *Tail) NewestWithin(i raft.Index, term raft.Term) raft.LogID {
	i = min(i, t.last.Index)
	if i <= t.base.Index {
		return t.base
	}
	for n := len(t.runs) - 1; n >= 0; n-- {
		run := t.runs[n]
		if run.First <= i && run.Term <= term {
			return raft.LogID{Term: run.Term, Index: i}
		}
		i = min(i, run.First-1)
	}
	return t.base
}

// Append adds entries after the last one and gathers them for the next write. The entries are kept.
func (t *Tail) Append(entries ...raft.Entry) error {
	if len(entries) > cap(t.entries)-len(t.entries) {
		t.renew(len(entries))
	}
	for i := range entries {
		e := &entries[i]
		invariant.Check(e.Index == t.last.Index+1, "an appended entry follows the last one",
			uint64(e.Index), uint64(t.last.Index))
		invariant.Check(e.Term >= t.last.Term, "terms in the log never fall",
			uint64(e.Term), uint64(t.last.Term))
		if e.Kind == raft.EntryConfiguration {
			c, err := raft.DecodeConfiguration(e.Index, e.Data)
			if err != nil {
				return err
			}
			t.configurations = append(t.configurations, c)
		}
		t.entries = append(t.entries, *e)
		t.bytes += e.FrameBytes()
		t.weights.add(e)
		t.runs = t.runs.extend(e.Index, e.Term)
		t.last = e.ID()
		t.gathered = true
	}
	return nil
}

// renew moves the entries to an array of their own, with room for more and for as many again:
// Release takes from the front, so this happens for ever.
func (t *Tail) renew(more int) {
	t.entries = append(make([]raft.Entry, 0, 2*len(t.entries)+more), t.entries...)
	t.dropped = 0
}

// Truncate removes the entry at i and all after it, and gathers that for the next write.
func (t *Tail) Truncate(i raft.Index) {
	invariant.Check(i > t.base.Index && i <= t.last.Index,
		"a truncation removes entries that are there",
		uint64(i), uint64(t.base.Index), uint64(t.last.Index))
	first := t.FirstInMemory()
	if i > first {
		kept := t.entries[:i-first]
		for _, e := range t.entries[i-first:] {
			t.bytes -= e.FrameBytes()
		}
		// A new array: the old one is shared with writes and messages that are under way.
		t.entries = append(make([]raft.Entry, 0, cap(kept)), kept...)
	} else {
		t.entries, t.bytes = nil, 0
	}
	t.dropped = 0
	t.runs = t.runs.truncate(i)
	t.weights.truncate(i)
	t.last = raft.LogID{Term: t.base.Term, Index: i - 1}
	if i-1 > t.base.Index {
		t.last.Term = t.runs[len(t.runs)-1].Term
	}
	for n := len(t.configurations); n > 0 && t.configurations[n-1].Index >= i; n-- {
		t.configurations = t.configurations[:n-1]
	}
	t.lowerMarks(i - 1)
	if i < t.firstNew {
		t.truncate, t.firstNew, t.gathered = i, i, true
	}
}

// lowerMarks notes that nothing above i is durable any more, whatever the writes under way will
// make durable.
func (t *Tail) lowerMarks(i raft.Index) {
	t.durable = min(t.durable, i)
	for m := range t.marks {
		t.marks[m].agrees = min(t.marks[m].agrees, i)
	}
}

// SetHardState changes term and vote and gathers that for the next write.
func (t *Tail) SetHardState(h raft.HardState) {
	invariant.Check(h.Term > t.hard.Term || (h.Term == t.hard.Term && t.hard.Vote == ""),
		"a term never falls, and a vote is given once in a term", uint64(h.Term), uint64(t.hard.Term))
	t.hard, t.hardChanged, t.gathered = h, true, true
}
