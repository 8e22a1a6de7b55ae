package witness

import "github.com/jraft-go/jraft/raft"

// replicasAgree is I30, at the end: all logs are the same to the last byte, and so are the states
// made of them.
func (h *History) replicasAgree(
	group []*Member, back []Shadow, applied []raft.Index, state []uint64,
) {
	commit := h.Commit()
	for i, m := range group {
		h.Check(applied[i] == commit && m.Dur.Last() == commit &&
			m.Dur.chain(commit) == h.committed[commit-1].chain, "I30 replicas agree",
			"m%d: applied %d and durable %d of %d, or another log", m.Index, applied[i], m.Dur.Last(),
			commit)
		h.Check(state[i] == h.StateAt(commit).Hash, "I30 replicas agree",
			"m%d has another state than that of the log", m.Index)
		h.Check(back[i].Same(&m.Dur), "I30 replicas agree",
			"m%d: its store holds %v and %d entries, not the %v and %d that it wrote", m.Index,
			back[i].Hard, back[i].Last(), m.Dur.Hard, m.Dur.Last())
	}
}
