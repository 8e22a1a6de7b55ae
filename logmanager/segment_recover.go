package logmanager

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// recover reads the stream and brings the store to where the stream ends. It changes nothing on
// disk before everything was found to be right, and then only what no reader will miss.
func (s *Segments) recover() error {
	files, dir := s.files, s.dir
	numbers, err := s.list()
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		s.end = segmentHead
		first, err := s.spares.take(0)
		if err == nil {
			s.segments = append(s.segments, first)
		}
		return err
	}
	var data []byte // of the segment at hand, in the end the last one
	var tail int64  // where the last append begins in it
	for i, number := range numbers {
		name := path.Join(dir, segmentName(number)+segmentSuffix)
		seg := &segment{number: number, name: name}
		if seg.file, err = files.Open(name); err != nil {
			return storageError("open "+name, err)
		}
		s.segments = append(s.segments, seg)
		if data, err = seg.readAll(data); err != nil {
			return err
		}
		if tail, err = s.scan(seg, data, i == len(numbers)-1); err != nil {
			return err
		}
	}
	for _, g := range s.groups {
		if g.hard.Term < g.last.Term {
			return corrupt(s.last().name, s.end, fmt.Sprintf(
				"group %s has entries of term %d and a hard state of term %d", g.id, g.last.Term, g.hard.Term))
		}
		s.views.publish(g)
	}
	s.spares.maker.follow(s.last())
	if err := s.settle(data, tail); err != nil {
		return err
	}
	return storageError("sync "+dir, files.SyncDir(dir)) // the last rename may not be durable
}

// readAll returns the whole file, in buf if it has the room.
func (s *segment) readAll(buf []byte) ([]byte, error) {
	size, err := s.file.Size()
	if err != nil {
		return nil, storageError("size of "+s.name, err)
	}
	s.size = size
	buf = slices.Grow(buf[:0], int(size))[:size]
	return buf, s.readAt(buf, 0)
}

// scan replays one segment's batches, decides what the end of them means, and returns where the
// last append begins.
func (s *Segments) scan(seg *segment, data []byte, last bool) (tail int64, err error) {
	if err := seg.readHead(data, s.who); err != nil {
		return 0, err
	}
	before := s.end
	s.end = segmentHead
	tail = s.end
	for s.end < int64(len(data)) {
		var h batch
		rest := data[s.end:]
		if !h.decode(rest, seg) {
			break
		}
		if s.cutOff() && s.sequence == 0 {
			s.sequence = h.sequence - 1 // the stream begins here
		}
		if h.sequence != s.sequence+1 {
			break
		}
		if h.padded() > int64(len(rest)-batchHead) {
			break
		}
		if raft.Checksum(rest[batchHead:batchHead+h.padded()]) != h.sum {
			break
		}
		if err := s.replay(seg, &h, rest[batchHead:batchHead+int(h.payload)]); err != nil {
			return 0, err
		}
		if h.back == 0 {
			tail = s.end
		}
		s.sequence = h.sequence
		s.end += batchHead + h.padded()
	}
	if s.cutOff() && s.end == segmentHead && len(s.segments) == 1 {
		return 0, corrupt(seg.name, s.end, "the first segment left does not say where the log begins")
	}
	return tail, s.checkEnd(seg, data, last, before)
}

// cutOff reports whether the beginning of the stream was compacted.
func (s *Segments) cutOff() bool { return s.segments[0].number > 1 }

// checkEnd is called where the batches of a segment end. What follows is
//
//   - zeros: the end, or, if the next segment goes on with a later batch, damage;
//   - in a segment that has a successor anything else is damage, for the segment was durable before
//     the successor got its name;
//   - in the last segment it is an append that was under way when the machine stopped, unless a
//     batch of a later append is there: that one was begun after this one was durable, so this is
//     damage.
func (s *Segments) checkEnd(seg *segment, data []byte, last bool, before int64) error {
	rest := data[s.end:]
	rest = rest[:lastNonZero(rest)]
	if len(rest) == 0 {
		return nil
	}
	if s.end == segmentHead && len(s.segments) > 1 {
		var h batch
		if h.decode(data[s.end:], seg) && h.first() > s.sequence+1 {
			sealed := s.segments[len(s.segments)-2]
			return corrupt(sealed.name, before, fmt.Sprintf(
				"batches %d to %d are missing, %s goes on with the next one",
				s.sequence+1, h.first()-1, seg.name))
		}
	}
	if !last {
		return corrupt(seg.name, s.end, fmt.Sprintf(
			"batch %d is damaged, in a segment that was complete", s.sequence+1))
	}
	for at := 0; at < len(rest); at += alignment {
		var h batch
		if h.decode(data[s.end+int64(at):], seg) && h.first() > s.sequence+1 {
			return corrupt(seg.name, s.end, fmt.Sprintf(
				"batch %d is damaged, and batch %d was written after it", s.sequence+1, h.sequence))
		}
	}
	return nil
}

// lastNonZero returns the length of b without the zeros at its end.
func lastNonZero(b []byte) int {
	for len(b) >= 8 && binary.LittleEndian.Uint64(b[len(b)-8:]) == 0 {
		b = b[:len(b)-8]
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return len(b)
}

// settle makes the end of the stream durable before anyone builds on it. It writes the last append
// again, for it may be in the page cache only: after a process was killed, or after a sync that
// failed, which some kernels forget about. And it puts zeros over an append that was not finished;
// without that, a part of it could follow the next append so exactly that it would pass for its
// continuation.
//
// A crash meanwhile does no harm: the bytes are the same as before, or belong to the unfinished
// append.
func (s *Segments) settle(data []byte, tail int64) error {
	seg, n := s.last(), int64(lastNonZero(data[s.end:]))
	if n > 0 {
		s.log.Info("log store: cut off an append that was not complete when the machine stopped",
			"file", seg.name, "offset", s.end, "bytes", n)
		clear(data[s.end : s.end+n])
	}
	if tail == s.end+n {
		return nil
	}
	if _, err := seg.file.WriteAt(data[tail:s.end+n], tail); err != nil {
		return storageError("write "+seg.name, err)
	}
	return storageError("sync "+seg.name, seg.file.SyncData())
}

// replay carries out the records of a batch whose checksums are right. What does not fit together
// is damage, or a program's mistake, but never an interrupted write.
func (s *Segments) replay(seg *segment, h *batch, payload []byte) error {
	bad := func(what string) error {
		return corrupt(seg.name, s.end, fmt.Sprintf("batch %d: %s", h.sequence, what))
	}
	opening := s.end == segmentHead
	b := replayed{s: s, seg: seg, opening: opening, first: s.cutOff() && len(s.segments) == 1}
	if opening && (h.group != 0 || !b.first && int(h.records) != len(s.groups)) {
		return bad("the segment does not begin with the state of all groups")
	}
	s.clean = false
	if !opening && h.group > 0 && int(h.group) <= len(s.groups) {
		b.g = s.groups[h.group-1]
	}
	for i := range h.records {
		n, kind, ok := recordSize(payload)
		if !ok {
			return bad(fmt.Sprintf("record %d is cut off", i))
		}
		body, ok := recordBody(payload[:n])
		if !ok {
			return bad(fmt.Sprintf("record %d has a wrong checksum", i))
		}
		if what := b.record(int(i), h, kind, payload[:n], body); what != "" {
			return bad(fmt.Sprintf("record %d: %s", i, what))
		}
		payload = payload[n:]
	}
	if len(payload) != 0 {
		return bad("bytes after the last record")
	}
	return nil
}

// replayed is a batch being replayed.
type replayed struct {
	s       *Segments
	seg     *segment
	g       *group // nil: none yet, or the batch is the store's own
	opening bool
	first   bool // the segment is what is left of a stream that was cut off before it
	entries bool // there were some
}

// record carries out one record, and returns what is wrong with it.
func (b *replayed) record(i int, h *batch, kind byte, record, body []byte) string {
	switch {
	case b.opening:
		g, ok := decodeState(body)
		if kind != recordState || !ok {
			return "not a group's state"
		}
		if b.first {
			return b.begin(g)
		}
		was := b.s.groups[i]
		if g.number != was.number || g.id != was.id || g.hard != was.hard || g.last != was.last ||
			!b.s.couldBegin(was, g.base) {
			return fmt.Sprintf("the state of group %s is not what the segments before have led to", g.id)
		}
	case h.group == 0:
		if kind != recordClose || len(body) != 7 || h.records != 1 {
			return "not the end of the stream"
		}
		b.s.clean = true
	case kind == recordGroup:
		return b.declare(h, body)
	case b.g == nil:
		return fmt.Sprintf("group %d was not declared", h.group)
	case kind == recordHardState:
		if len(body) < 8 || len(body)-8 > raft.MaxIDBytes {
			return "not a hard state"
		}
		term := raft.Term(binary.LittleEndian.Uint64(body))
		hs := raft.HardState{Term: term, Vote: raft.PeerID(body[8:])}
		if hs.Term < b.g.hard.Term {
			return fmt.Sprintf("the term goes back from %d to %d", b.g.hard.Term, hs.Term)
		}
		b.g.hard = hs
	case kind == recordTruncate:
		return b.truncate(body)
	case kind == recordReset:
		return b.reset(body)
	default:
		return b.entry(record)
	}
	return ""
}

// begin adopts a group as the first segment left describes it. The entries up to the last one of
// that time are gone, so that is the base now.
func (b *replayed) begin(g *group) string {
	if int(g.number) != len(b.s.groups)+1 || b.s.byID[g.id] != nil || g.id.Validate() != nil ||
		g.hard.Term < g.last.Term {
		return "not a group's state to begin with"
	}
	g.base = g.last
	b.s.adopt(g)
	return ""
}

// couldBegin reports whether a state that was written earlier can have had this base: the log had
// been compacted up to there, and may have been compacted further since.
func (s *Segments) couldBegin(g *group, base raft.LogID) bool {
	if base.Index < g.base.Index {
		return s.cutOff()
	}
	return base.Index <= g.last.Index && g.termAt(base.Index) == base.Term
}

func (b *replayed) declare(h *batch, body []byte) string {
	if len(body) < 5 || binary.LittleEndian.Uint32(body) != h.group ||
		int(h.group) != len(b.s.groups)+1 {
		return "not a new group"
	}
	g := &group{id: raft.GroupID(body[4:])}
	g.number = h.group
	if b.s.byID[g.id] != nil || g.id.Validate() != nil {
		return "not a new group's id"
	}
	b.s.adopt(g)
	b.g = g
	return ""
}

func (b *replayed) truncate(body []byte) string {
	if len(body) != 8 || b.entries {
		return "not a truncation"
	}
	from := raft.Index(binary.LittleEndian.Uint64(body))
	if from <= b.g.base.Index || from > b.g.last.Index {
		return fmt.Sprintf("truncates from %d, entries are %d to %d",
			from, b.g.base.Index+1, b.g.last.Index)
	}
	b.g.truncate(from, b.seg)
	return ""
}

func (b *replayed) reset(body []byte) string {
	if len(body) != 16 || b.entries {
		return "not a reset"
	}
	id := raft.LogID{
		Term:  raft.Term(binary.LittleEndian.Uint64(body)),
		Index: raft.Index(binary.LittleEndian.Uint64(body[8:])),
	}
	if id.Index == 0 || id.Index < b.g.base.Index || id.Term > b.g.hard.Term {
		return fmt.Sprintf("reset to %v, the base is %v, the term %d", id, b.g.base, b.g.hard.Term)
	}
	b.g.reset(id, b.seg)
	return ""
}

func (b *replayed) entry(record []byte) string {
	e, _, err := raft.DecodeFrame(record)
	if err != nil {
		return err.Error()
	}
	if e.Index != b.g.last.Index+1 || e.Term < b.g.last.Term {
		return fmt.Sprintf("entry %v follows entry %v", e.ID(), b.g.last)
	}
	b.g.extend(&e, b.seg, b.s.end)
	b.entries = true
	return ""
}
