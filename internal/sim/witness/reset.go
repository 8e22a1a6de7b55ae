package witness

import "github.com/jraft-go/jraft/raft"

// reset is what somebody made of the peers by hand when a quorum was lost for good.
type reset struct {
	m      *Member
	target raft.Configuration
	kept   raft.Index // of what was committed before
}

// Reset notes that a member agreed to a reset of its peers. Of what was committed, that is lost
// which its log lacks, and nobody who is left may hold it. Nothing else is excused: that those
// entries are not there (I8, I9, I21), acknowledged writes among them (I25), reads that do not see
// them (I20), a configuration entry that no leader has appended (I5), and that the one of the reset
// decides without those who decided before (I16).
func (h *History) Reset(m *Member, target *raft.Configuration) {
	kept := min(m.Vol.Last(), h.Commit())
	for kept > 0 && m.Vol.chain(kept) != h.committed[kept-1].chain {
		kept--
	}
	for _, p := range target.Voters {
		x := h.member(p.ID)
		h.Check(x.Status.Committed <= kept && (kept == h.Commit() ||
			x.Vol.chain(kept+1) != h.committed[kept].chain), "I25 no lost write",
			"the peers are reset on m%d, which keeps %d of %d, and m%d has more", m.Index, kept,
			h.Commit(), x.Index)
	}
	h.reset = &reset{m, target.Clone(), kept}
	h.targets = append(h.targets, target.Clone())
	h.committed = h.committed[:kept:kept]
	for k := range h.floor {
		h.floor[k] = min(h.floor[k], kept)
	}
	for _, o := range h.ops {
		o.Floor, o.Committed = min(o.Floor, kept), min(o.Committed, kept)
		if o.Logged > kept {
			o.Lost, o.Logged = o.Fate == Acked, 0
		}
	}
	h.restores = restores{known: h.restores.known}
	for i := range h.committed {
		if piece := h.committed[i].piece; piece != "" {
			h.staged(raft.Index(i+1), piece)
		}
	}
}

// resets reports whether the entry is the one by which the member resets the peers.
func (h *History) resets(m *Member, e *raft.Entry) bool {
	if h.reset == nil || h.reset.m != m || e.Kind != raft.EntryConfiguration {
		return false
	}
	conf, err := raft.DecodeConfiguration(e.Index, e.Data)
	return err == nil && conf.SameMembers(&h.reset.target)
}

// replaced reports whether a reset is why the configuration decides over what was committed up to
// an index.
func (h *History) replaced(i raft.Index, by *raft.Configuration) bool {
	return h.reset != nil && i <= h.reset.kept && by.SameMembers(&h.reset.target)
}
