package witness

import (
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// slot is what a Shadow keeps of one entry. Chain is a hash of the entry and of everything before
// it: two logs whose chains agree at an index agree up to there.
type slot struct {
	term   raft.Term
	kind   raft.EntryKind
	serial uint64
	bytes  int                 // of its frame
	conf   string              // encoded, of a configuration entry
	piece  string              // the head of a piece of a backup
	force  *raft.Configuration // in force here
	chain  uint64
}

// Shadow is a checker's own copy of a member's hard state and log, built from what the member
// asked to be written. Entries that were compacted stay here, and those that a snapshot stands for
// are filled in from what was committed: that a durable snapshot covers them is a check of its own
// (I27), so all others need not know.
type Shadow struct {
	Hard  raft.HardState
	log   []slot     // of index i+1
	base  raft.Index // the store may have given up what is up to here
	reset raft.Index // and has certainly given up this
}

// apply carries out a write, as the store must.
func (s *Shadow) apply(w *logmanager.Write, committed []commitment) {
	if w.HardState != nil {
		s.Hard = *w.HardState
	}
	if w.Reset.Index > 0 {
		s.startOver(w.Reset.Index, committed)
	}
	if w.Truncate > 0 {
		s.truncate(w.Truncate)
	}
	for i := range w.Entries {
		s.Append(&w.Entries[i])
	}
	s.base = max(s.base, w.Compact)
}

// startOver makes the log the one that a snapshot stands for.
func (s *Shadow) startOver(i raft.Index, committed []commitment) {
	s.log = make([]slot, i)
	for n := range s.log {
		s.log[n] = committed[n].slot
	}
	s.base, s.reset = i, i
}

// truncate removes the entry at i and all after it. The log below is copied, because others may
// share it.
func (s *Shadow) truncate(i raft.Index) {
	if int(i) <= len(s.log) {
		s.log = append([]slot(nil), s.log[:i-1]...)
	}
}

// Append adds an entry.
func (s *Shadow) Append(e *raft.Entry) {
	x := slot{term: e.Term, kind: e.Kind, serial: Serial(e), bytes: e.FrameBytes()}
	x.force = s.inForce(s.Last())
	if e.Kind == raft.EntryConfiguration {
		x.conf = string(e.Data)
		if c, err := raft.DecodeConfiguration(e.Index, e.Data); err == nil {
			x.force = &c
		}
	}
	if e.Kind == raft.EntryRestore {
		x.piece = string(e.Data[:raft.RestoreHead])
	}
	x.chain = Mix(s.chain(raft.Index(len(s.log))) ^ Mix(uint64(e.Term)<<8|uint64(e.Kind)))
	x.chain = Mix(x.chain ^ uint64(len(e.Data))<<32 ^ uint64(raft.Checksum(e.Data)))
	s.log = append(s.log, x)
}

// Last returns the index of the last entry.
func (s *Shadow) Last() raft.Index { return raft.Index(len(s.log)) }

// TermAt returns the term of the entry at i, which must be there.
func (s *Shadow) TermAt(i raft.Index) raft.Term { return s.log[i-1].term }

// chain returns the hash of the log up to i; that of index 0, or beyond the end, is 0.
func (s *Shadow) chain(i raft.Index) uint64 {
	if i == 0 || int(i) > len(s.log) {
		return 0
	}
	return s.log[i-1].chain
}

// Same reports whether two shadows are equal, whatever was compacted.
func (s *Shadow) Same(t *Shadow) bool {
	return s.Hard == t.Hard && len(s.log) == len(t.log) && s.chain(s.Last()) == t.chain(t.Last())
}

// copyOf returns an independent copy.
func (s *Shadow) copyOf() Shadow {
	return Shadow{s.Hard, append([]slot(nil), s.log...), s.base, s.reset}
}
