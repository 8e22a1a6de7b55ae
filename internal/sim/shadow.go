package sim

import (
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// slot is what a shadow keeps of one entry. Chain is a hash of the entry and of everything before it: two logs
// whose chains agree at an index agree up to there.
type slot struct {
	term   raft.Term
	kind   raft.EntryKind
	serial uint64
	chain  uint64
}

// shadow is a checker's own copy of a member's hard state and log, built from what the member asked to be written.
type shadow struct {
	hard raft.HardState
	log  []slot // of index i+1
}

// apply carries out a write, as the store must.
func (s *shadow) apply(w *logmanager.Write) {
	if w.HardState != nil {
		s.hard = *w.HardState
	}
	if w.Truncate > 0 {
		s.truncate(w.Truncate)
	}
	for i := range w.Entries {
		s.append(&w.Entries[i])
	}
}

// truncate removes the entry at i and all after it. The log below is copied, because others may share it.
func (s *shadow) truncate(i raft.Index) {
	if int(i) <= len(s.log) {
		s.log = append([]slot(nil), s.log[:i-1]...)
	}
}

func (s *shadow) append(e *raft.Entry) {
	x := slot{term: e.Term, kind: e.Kind, serial: serialOf(e)}
	x.chain = mix(s.chain(raft.Index(len(s.log))) ^ mix(uint64(e.Term)<<8|uint64(e.Kind)))
	x.chain = mix(x.chain ^ uint64(len(e.Data))<<32 ^ uint64(raft.Checksum(e.Data)))
	s.log = append(s.log, x)
}

// last returns the index of the last entry.
func (s *shadow) last() raft.Index { return raft.Index(len(s.log)) }

// chain returns the hash of the log up to i; that of index 0, or beyond the end, is 0.
func (s *shadow) chain(i raft.Index) uint64 {
	if i == 0 || int(i) > len(s.log) {
		return 0
	}
	return s.log[i-1].chain
}

// same reports whether two shadows are equal.
func (s *shadow) same(t *shadow) bool {
	return s.hard == t.hard && len(s.log) == len(t.log) && s.chain(s.last()) == t.chain(t.last())
}

// copyOf returns an independent copy.
func (s *shadow) copyOf() shadow {
	return shadow{s.hard, append([]slot(nil), s.log...)}
}
