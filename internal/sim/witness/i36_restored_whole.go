package witness

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// restores is what the committed pieces of backups must lead to, on every member.
type restores struct {
	known map[uint64]*State // by id: what the backup holds; nil: it is no sound one

	staging bool
	id      uint64
	next    uint32
	done    uint64 // the last one that took effect
	list    []*Restored
}

// Restored is a backup that took the place of the state.
type Restored struct {
	Index raft.Index // of its last piece
	ID    uint64
	State State
}

// clone returns a copy.
func (s *State) clone() State { return State{s.Hash, slices.Clone(s.Cells)} }

// Backup tells what a restore is about to bring; nil: a stream that is no sound backup.
func (h *History) Backup(id uint64, s *State) { h.restores.known[id] = s }

// Restored are the restores that took effect, in their order.
func (h *History) Restored() []*Restored { return h.restores.list }

// before returns the last restore up to an index; nil: there is none.
func (r *restores) before(i raft.Index) *Restored {
	for n := len(r.list) - 1; n >= 0; n-- {
		if r.list[n].Index <= i {
			return r.list[n]
		}
	}
	return nil
}

// staged follows the pieces in the order of the log.
func (h *History) staged(i raft.Index, head string) {
	c, err := raft.DecodeRestoreChunk([]byte(head))
	h.Check(err == nil, "I36 restored whole", "entry %d: %v", i, err)
	r := &h.restores
	switch {
	case c.Last && c.ID == r.done:
		return
	case c.Number == 0 && !c.Abandon && !(r.staging && c.ID == r.id):
		r.staging, r.id, r.next = true, c.ID, 0
	case !r.staging || c.ID != r.id || c.Number > r.next:
		return
	case c.Abandon:
		r.staging = false
		return
	case c.Number < r.next:
		return
	}
	r.next++
	if c.Last {
		r.staging = false
		if s := r.known[c.ID]; s != nil {
			r.list, r.done = append(r.list, &Restored{i, c.ID, s.clone()}), c.ID
		}
	}
}

// Staged is I36: after pieces of backups were applied the state of the member is the one of the
// log: that of a backup from its last piece on, if all of it came and is sound, and else the old
// one.
func (h *History) Staged(m *Member, applied raft.Index, got *State) {
	h.equivalent(m, applied, got)
}

// PieceAcked notes that the proposer of a last piece learned its result: it is an error unless
// the backup took effect, and reads that begin later see it, or what came after it. The piece may
// have come twice, and the backup of another have taken effect in between.
func (h *History) PieceAcked(id uint64, at raft.Index, failed bool) {
	if failed {
		r := h.restores.before(at)
		h.Check(r == nil || r.Index != at, "I36 restored whole",
			"restore %d at %d is said to have failed, and has not", id, at)
		return
	}
	took := func(r *Restored) bool { return r.ID == id && r.Index <= at }
	n := slices.IndexFunc(h.restores.list, took)
	h.Check(n >= 0, "I36 restored whole", "restore %d at %d is said to be done, and is not", id, at)
	r := h.restores.list[n]
	for k := range h.floor {
		h.floor[k] = max(h.floor[k], r.Index)
	}
}
