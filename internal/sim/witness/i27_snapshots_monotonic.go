package witness

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// Published notes that a snapshot of a member is durable, its own or another's.
func (h *History) Published(m *Member, meta raft.SnapshotMeta) {
	h.described(m, meta)
	m.snaps = append(m.snaps, meta.Last)
	m.snap = max(m.snap, meta.Last.Index)
}

// Found: after a restart the newest snapshot is at least the newest that was durable, unless what
// the disk held was damaged. The log begins at or before the entry after it; if it was damaged, the
// member must refuse to start.
func (h *History) Found(m *Member, meta raft.SnapshotMeta, damaged bool) {
	i := meta.Last.Index
	h.Check(damaged || i >= m.snap, "I27 snapshots never go back",
		"m%d comes back with the snapshot at %d, one at %d was durable", m.Index, i, m.snap)
	h.Check(damaged || m.Dur.base <= i, "I27 snapshots never go back",
		"m%d comes back with a log after %d, and a snapshot at %d", m.Index, m.Dur.base, i)
	m.snap, m.snaps = i, []raft.LogID{meta.Last}
}

// snapshotsMonotonic is I27 (§7): a log is reset to what a durable snapshot covers and compacted no
// further than that, and installing a snapshot takes nothing back. What is committed is never
// replaced by a snapshot.
func (h *History) snapshotsMonotonic(s *step) {
	const name = "I27 snapshots never go back"
	a, b, w := &s.before, &s.after, &s.out.Write
	if w.Reset.Index > 0 {
		h.Check(slices.Contains(s.m.snaps, w.Reset), name,
			"m%d resets its log to %v, without a durable snapshot", s.m.Index, w.Reset)
		h.Check(w.Reset.Index >= a.Committed && w.Reset.Index >= s.m.Vol.base, name,
			"m%d resets its log to %v, it begins after %d, and %d is committed", s.m.Index, w.Reset,
			s.m.Vol.base, a.Committed)
	}
	h.Check(w.Compact <= s.m.snap, name, "m%d compacts up to %d, its newest snapshot is at %d",
		s.m.Index, w.Compact, s.m.snap)
	h.Check(w.Compact <= s.m.Dur.Last() && w.Compact <= b.Applied, name,
		"m%d compacts up to %d, durable is %d, applied %d", s.m.Index, w.Compact,
		s.m.Dur.Last(), b.Applied)
	if r := s.out.Restore; r != nil {
		h.Check(slices.Contains(s.m.snaps, r.Last), name,
			"m%d restores a snapshot at %v that it does not have", s.m.Index, r.Last)
		h.Check(r.Last.Index > a.Committed && r.Configuration.Index >= h.configurationAt(a.Committed),
			name, "m%d goes back from %d to a snapshot at %v", s.m.Index, a.Committed, r.Last)
	}
	h.Check(b.First >= a.First && b.Applied >= a.Applied && b.Snapshot.Last.Index <= s.m.snap &&
		b.Snapshot.Last.Index >= a.Snapshot.Last.Index, name,
		"m%d: first entry %d, then %d; applied %d, then %d; snapshot %d, then %d of %d", s.m.Index,
		a.First, b.First, a.Applied, b.Applied, a.Snapshot.Last.Index, b.Snapshot.Last.Index, s.m.snap)
}
