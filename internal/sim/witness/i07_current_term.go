package witness

import "github.com/jraft-go/jraft/raft"

// currentTermOnly is I7 (§5.4.2, Figure 8): a leader counts replicas only for entries of its own
// term.
func (h *History) currentTermOnly(m *Member, i raft.Index, term raft.Term) {
	h.Check(i <= m.Vol.Last() && m.Vol.log[i-1].term == term, "I7 only the current term is counted",
		"m%d, leader of term %d, commits %d, which is not of that term", m.Index, term, i)
}
