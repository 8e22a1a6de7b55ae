package logmanager

import (
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Reset forgets all entries: a snapshot that covers more takes their place, and the log goes on
// after it. The snapshot must be durable already, so that a crash at any moment finds either the
// old log or a snapshot that NewTail resets the log to.
func (t *Tail) Reset(snapshot raft.SnapshotMeta) {
	invariant.Check(snapshot.Last.Index >= t.base.Index, "a snapshot never takes the log back",
		uint64(snapshot.Last.Index), uint64(t.base.Index))
	t.base, t.last = snapshot.Last, snapshot.Last
	t.runs, t.entries, t.bytes, t.weights = nil, nil, 0, weights{}
	t.configurations = []raft.Configuration{snapshot.Configuration.Clone()}
	t.durable = snapshot.Last.Index
	for m := range t.marks {
		// The writes under way are of entries that are no more; what is durable is the snapshot.
		t.marks[m].agrees = snapshot.Last.Index
	}
	t.reset, t.truncate, t.compact = snapshot.Last, 0, 0
	t.firstNew, t.gathered = snapshot.Last.Index+1, true
	if snapshot.Last.Term > t.hard.Term {
		t.hard, t.hardChanged = raft.HardState{Term: snapshot.Last.Term}, true
	}
}

// Compact gives up the entries up to index to, all of which a durable snapshot covers. They stay in
// memory, and on disk, as long as it suits cache and store; nobody asks for them any more.
func (t *Tail) Compact(to raft.Index) {
	invariant.Check(to <= t.durable, "only durable entries are compacted",
		uint64(to), uint64(t.durable))
	if to <= t.base.Index {
		return
	}
	term, ok := t.TermAt(to)
	invariant.Check(ok, "the log ends not before its base", uint64(to), uint64(t.last.Index))
	t.runs = t.runs.compact(to, t.last.Index)
	t.weights.compact(to)
	t.base = raft.LogID{Term: term, Index: to}
	keep := 0
	for keep+1 < len(t.configurations) && t.configurations[keep+1].Index <= to {
		keep++
	}
	t.configurations = t.configurations[keep:]
	t.compact, t.gathered = to, true
}

// ConfigurationAt returns the configuration in force at index i, which is at or above that of the
// newest snapshot (or of the base).
func (t *Tail) ConfigurationAt(i raft.Index) *raft.Configuration {
	for n := len(t.configurations) - 1; n >= 0; n-- {
		if t.configurations[n].Index <= i {
			return &t.configurations[n]
		}
	}
	return &t.none
}
