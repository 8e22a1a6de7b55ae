package witness

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// effective is I15 (§6): the configuration in force is the newest in the log, committed or not, or
// else the one of the snapshot that the log begins with; also after a truncation and a restart.
func (h *History) effective(s *step) {
	is, want := &s.after.Configuration, s.m.Configuration()
	h.Check(is.Index == want.Index && equal(is, want), "I15 effective configuration",
		"m%d goes by %v of %d, its log says %v of %d", s.m.Index, is, is.Index, want, want.Index)
}

func equal(a, b *raft.Configuration) bool {
	return a == b || slices.Equal(a.Voters, b.Voters) && slices.Equal(a.Learners, b.Learners) &&
		slices.Equal(a.Outgoing, b.Outgoing)
}
