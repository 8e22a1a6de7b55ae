package logmanager

import (
	"errors"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

const (
	// batchBytes is how much payload a batch gets before the next one is begun; a single record may
	// be larger. It bounds what a reader must go through to find an entry.
	batchBytes = 64 << 10

	// keepBytes bounds the buffer that is kept from one write to the next.
	keepBytes = 4 << 20
)

var errUnfinished = errors.New("log store: a write was not finished")

// Write appends the writes to the stream: one overwrite of zeros and one sync. See [Store].
func (s *Segments) Write(batch []Write) error {
	if s.failed != nil {
		return s.failed
	}
	s.failed = errUnfinished // stays if an invariant turns out to be broken half-way
	for i := range batch {
		if s.failed = s.add(&batch[i]); s.failed != nil {
			return s.failed
		}
	}
	s.failed = s.flush()
	if s.failed == nil && s.frontFree {
		s.retireFront()
	}
	return s.failed
}

// add encodes one write into the buffer, and begins new segments as needed.
func (s *Segments) add(w *Write) error {
	if w.HardState == nil && w.Reset == (raft.LogID{}) && w.Truncate == 0 && w.Compact == 0 &&
		len(w.Entries) == 0 {
		return nil
	}
	g, err := s.group(w.Group)
	if err != nil {
		return err
	}
	if w.HardState != nil {
		if err := s.addHardState(g, *w.HardState); err != nil {
			return err
		}
	}
	if w.Reset != (raft.LogID{}) {
		if err := s.addReset(g, w.Reset); err != nil {
			return err
		}
	}
	if w.Truncate != 0 && w.Truncate <= g.last.Index {
		if err := s.addTruncate(g, w.Truncate); err != nil {
			return err
		}
	}
	for i := range w.Entries {
		if err := s.addEntry(g, &w.Entries[i]); err != nil {
			return err
		}
	}
	if w.Compact > g.base.Index {
		s.compact(g, w.Compact)
	}
	// Only now: a segment begun on the way has flushed, and shown what was dirty then.
	if !g.dirty {
		g.dirty = true
		s.dirty = append(s.dirty, g)
	}
	return nil
}

// group returns the group, after declaring it if it is new.
func (s *Segments) group(id raft.GroupID) (*group, error) {
	g := s.byID[id]
	if g == nil {
		invariant.Check(id.Validate() == nil, "a group's id is valid", uint64(len(id)))
		g = &group{id: id}
		g.number = uint32(len(s.groups) + 1)
		if err := s.reserve(g.number, recordHead+4+len(id)); err != nil {
			return nil, err
		}
		s.buf = appendGroup(s.buf, g.number, id)
		s.open.records++
		s.adopt(g)
	}
	return g, nil
}

// adopt makes a group known.
func (s *Segments) adopt(g *group) {
	s.groups = append(s.groups, g)
	s.byID[g.id] = g
}

func (s *Segments) addHardState(g *group, hs raft.HardState) error {
	invariant.Check(hs.Term >= g.hard.Term, "a hard state's term does not go back",
		uint64(g.hard.Term), uint64(hs.Term))
	invariant.Check(len(hs.Vote) <= raft.MaxIDBytes, "a vote is a peer id", uint64(len(hs.Vote)))
	if err := s.reserve(g.number, recordHead+8+len(hs.Vote)); err != nil {
		return err
	}
	s.buf = appendHardState(s.buf, hs)
	s.open.records++
	g.hard = hs
	return nil
}

func (s *Segments) addTruncate(g *group, from raft.Index) error {
	invariant.Check(from > g.base.Index, "only entries above the base can be truncated",
		uint64(g.base.Index), uint64(from))
	// Invariant: no batch holds an entry before a truncation, so that a reader that begins at a
	// batch meets no entry of the truncated ones first.
	s.endBatch()
	if err := s.reserve(g.number, recordHead+8); err != nil {
		return err
	}
	s.buf = appendTruncate(s.buf, from)
	s.open.records++
	g.truncate(from, s.last())
	return nil
}

func (s *Segments) addReset(g *group, id raft.LogID) error {
	invariant.Check(id.Index > 0 && id.Index >= g.base.Index && id.Term >= g.base.Term,
		"a reset does not take the log back", uint64(g.base.Index), uint64(id.Index), uint64(id.Term))
	invariant.Check(id.Term <= g.hard.Term, "a reset's term is not above the hard state's",
		uint64(g.hard.Term), uint64(id.Term))
	s.endBatch() // as for a truncation
	if err := s.reserve(g.number, recordHead+16); err != nil {
		return err
	}
	s.buf = appendReset(s.buf, id)
	s.open.records++
	s.mayFree(g)
	g.reset(id, s.last())
	return nil
}

// compact writes nothing: the next segment's first batch will tell.
func (s *Segments) compact(g *group, to raft.Index) {
	invariant.Check(to <= g.last.Index, "only entries that are there can be compacted",
		uint64(g.last.Index), uint64(to))
	s.mayFree(g)
	g.compact(to)
}

func (s *Segments) addEntry(g *group, e *raft.Entry) error {
	invariant.Check(e.Index == g.last.Index+1, "entries have no gap",
		uint64(g.last.Index), uint64(e.Index))
	invariant.Check(e.Term >= g.last.Term && e.Term <= g.hard.Term,
		"an entry's term is between the last entry's and the hard state's",
		uint64(g.last.Term), uint64(e.Term), uint64(g.hard.Term))
	invariant.Check(len(e.Data) <= raft.MaxFrameData, "an entry fits into a frame",
		uint64(len(e.Data)))
	if err := s.reserve(g.number, e.FrameBytes()); err != nil {
		return err
	}
	s.buf = append(s.buf, e.Frame()...)
	s.open.records++
	g.extend(e, s.last(), s.end+int64(s.head))
	return nil
}

// last returns the segment that is written to.
func (s *Segments) last() *segment { return s.segments[len(s.segments)-1] }

// fresh reports whether the last segment still lacks its first batch.
func (s *Segments) fresh() bool { return s.end == segmentHead && len(s.buf) == 0 }

// reserve makes sure that the open batch is one of the group and has room for a record of n bytes,
// at the end of the buffer, in the last segment.
func (s *Segments) reserve(number uint32, n int) error {
	if s.head >= 0 {
		payload := len(s.buf) - s.head - batchHead
		if s.open.group != number || payload > 0 && payload+n > batchBytes {
			s.endBatch()
		}
	}
	need := int64(n + closeBytes + alignment)
	if s.head < 0 {
		need += batchHead
	}
	if s.fresh() {
		need += s.openingBytes()
	}
	if s.end+int64(len(s.buf))+need > s.last().size {
		if err := s.rotate(int64(n)); err != nil {
			return err
		}
	}
	if s.fresh() {
		s.addOpening()
	}
	if s.head < 0 {
		s.beginBatch(number)
	}
	return nil
}

// rotate goes on to the next segment, which has room for a record of n bytes. What is in the buffer
// goes into the old one and is durable before the new one has its name.
func (s *Segments) rotate(n int64) error {
	if err := s.flush(); err != nil {
		return err
	}
	need := segmentHead + s.openingBytes() + batchHead + n + alignment + closeBytes
	seg, err := s.spares.take(need)
	if err != nil {
		return err
	}
	s.segments = append(s.segments, seg)
	s.end = segmentHead
	s.frontFree = true // a group without entries that needed the old one may not need it any more
	return nil
}

func (s *Segments) openingBytes() int64 {
	n := int64(batchHead + alignment)
	for _, g := range s.groups {
		n += int64(stateBytes(g))
	}
	return n
}

// addOpening adds the batch that every segment begins with: the state of every group, so that this
// segment and those after it are enough to go on from.
func (s *Segments) addOpening() {
	s.beginBatch(0)
	for _, g := range s.groups {
		s.buf = appendState(s.buf, g)
		s.open.records++
	}
	s.endBatch()
}

func (s *Segments) beginBatch(number uint32) {
	s.head = len(s.buf)
	s.open = batch{segment: s.last().number, sequence: s.sequence + 1, back: s.back, group: number}
	s.buf = append(s.buf, make([]byte, batchHead)...)
}

// endBatch completes the open batch, if there is one.
func (s *Segments) endBatch() {
	if s.head < 0 {
		return
	}
	payload := s.head + batchHead
	s.open.payload = uint32(len(s.buf) - payload)
	for len(s.buf)%alignment != 0 { // the buffer begins at an aligned offset
		s.buf = append(s.buf, 0)
	}
	s.open.sum = raft.Checksum(s.buf[payload:])
	s.open.encode(s.buf[s.head:], s.last().salt)
	s.sequence++
	s.back++
	s.head = -1
	s.clean = false
}

// flush writes the buffer, makes it durable, and shows it to readers.
func (s *Segments) flush() error {
	s.endBatch()
	if len(s.buf) > 0 {
		if err := s.sync(); err != nil {
			return err
		}
	}
	for i, g := range s.dirty {
		g.dirty = false
		s.views.publish(g)
		s.dirty[i] = nil
	}
	s.dirty = s.dirty[:0]
	return nil
}

// sync writes the buffer and makes it durable.
func (s *Segments) sync() error {
	seg := s.last()
	if _, err := seg.file.WriteAt(s.buf, s.end); err != nil {
		return storageError("write "+seg.name, err)
	}
	if err := seg.file.SyncData(); err != nil {
		return storageError("sync "+seg.name, err)
	}
	s.end += int64(len(s.buf))
	s.buf = s.buf[:0]
	if cap(s.buf) > keepBytes {
		s.buf = nil
	}
	s.back = 0
	return nil
}

// writeClose ends the stream with a batch that says so: damage to anything before it will then be
// told apart from a write that was cut short. There is room for it in every segment.
func (s *Segments) writeClose() error {
	if s.fresh() {
		return nil // the segment before is sealed, which says as much
	}
	s.beginBatch(0)
	at := len(s.buf)
	s.buf = endRecord(append(beginRecord(s.buf, recordClose), make([]byte, 7)...), at)
	s.open.records++
	return s.flush()
}
