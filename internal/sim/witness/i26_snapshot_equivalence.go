package witness

import "github.com/jraft-go/jraft/raft"

// Cell is one key's value: who wrote it, and where that stands in the log.
type Cell struct {
	Serial uint64
	Index  raft.Index
}

// State is that of the replicated state machine: a hash of all commands, in order, and the cells.
type State struct {
	Hash  uint64
	Cells []Cell
}

// Apply carries out a command.
func (s *State) Apply(key int, serial uint64, at raft.LogID) {
	s.Hash = Mix(Mix(s.Hash^uint64(at.Index)) ^ Mix(uint64(at.Term)) ^ serial)
	s.Cells[key] = Cell{serial, at.Index}
}

// Loaded is I26 (§7): the state that a snapshot gives back is the one after applying all entries
// that it covers, and what the snapshot says of itself is true.
func (h *History) Loaded(m *Member, meta raft.SnapshotMeta, got *State) {
	h.described(m, meta)
	h.equivalent(m, meta.Last.Index, got)
}

// equivalent: a state is the one that the entries up to i make.
func (h *History) equivalent(m *Member, i raft.Index, got *State) {
	want := h.StateAt(i)
	h.Check(got.Hash == want.Hash, "I26 snapshot equivalence",
		"m%d: the state at %d is another one than that of the log", m.Index, i)
	for k := range want.Cells {
		h.Check(got.Cells[k] == want.Cells[k], "I26 snapshot equivalence",
			"m%d: the state at %d holds %v for key %d, not %v", m.Index, i, got.Cells[k], k,
			want.Cells[k])
	}
}

// StateAt returns the state that the committed entries up to i make.
func (h *History) StateAt(i raft.Index) State {
	want, n := State{Cells: make([]Cell, len(h.floor))}, raft.Index(0)
	if r := h.restores.before(i); r != nil {
		want, n = r.State.clone(), r.Index
	}
	for ; n < i; n++ {
		if x := &h.committed[n]; x.serial != 0 {
			want.Apply(h.ops[x.serial-1].Key, x.serial, raft.LogID{Term: x.term, Index: n + 1})
		}
	}
	return want
}

// described: the last entry was committed, and the configuration is the newest up to there.
func (h *History) described(m *Member, meta raft.SnapshotMeta) {
	i := meta.Last.Index
	h.Check(i > 0 && i <= h.Commit() && h.committed[i-1].term == meta.Last.Term,
		"I26 snapshot equivalence", "m%d: a snapshot at %v, which was not committed", m.Index, meta.Last)
	at := h.configurationAt(i)
	h.Check(meta.Configuration.Index == at &&
		string(raft.EncodeConfiguration(meta.Configuration)) == h.committed[at-1].conf,
		"I26 snapshot equivalence", "m%d: the snapshot at %v has the configuration of %d, not of %d",
		m.Index, meta.Last, meta.Configuration.Index, at)
}

// configurationAt returns the index of the newest committed configuration up to i; the first entry
// is one.
func (h *History) configurationAt(i raft.Index) raft.Index {
	for i > 1 && h.committed[i-1].conf == "" {
		i--
	}
	return i
}
