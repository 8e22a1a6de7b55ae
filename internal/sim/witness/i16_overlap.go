package witness

import "github.com/jraft-go/jraft/raft"

// overlaps is I16 (§6): what decides now, an election or a commitment of a leader of that term, can
// decide nothing that a quorum of the newest configuration committed up to that term does not know
// of.
func (h *History) overlaps(m *Member, c *raft.Configuration, term raft.Term, what string) {
	i := h.Commit()
	for i > 0 && h.committed[i-1].by > term {
		i--
	}
	if i == 0 {
		return
	}
	known := h.committed[i-1].force
	if known == c || known.SameMembers(c) || h.replaced(i, c) {
		return
	}
	h.Check(Overlap(known, c), "I16 overlap",
		"m%d %s in term %d by %v, committed was %v at %d: both may decide", m.Index, what, term, c,
		known, known.Index)
}
