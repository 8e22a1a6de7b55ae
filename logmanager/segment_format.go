package logmanager

import (
	"encoding/binary"
	"fmt"

	"github.com/jraft-go/jraft/raft"
)

// The disk format, see docs/FORMAT.md. All numbers are little endian, all checksums CRC-32C.
const (
	segmentMagic   = "JRAFTLOG"
	segmentVersion = 1
	segmentHead    = 512 // bytes before the first batch
	saltAt         = 508 // in the head; zeros here are no salt

	batchMagic = 0x3142464a // "JFB1"
	batchHead  = 48
	alignment  = 8 // of batches

	recordHead = 9 // size, crc, kind

	// closeBytes is the size of the batch that a clean Close writes. So much is kept free at the
	// end of every segment.
	closeBytes = batchHead + 16
)

// Records. 1 to 4 are entries' frames (raft.EntryKind); all share the head size, crc, kind.
const (
	recordTruncate  = 16
	recordHardState = 17
	recordGroup     = 18
	recordState     = 19
	recordClose     = 20
	recordReset     = 21
)

// identity says whose log it is; it is in the head of every segment.
type identity struct {
	cluster string
	peer    raft.PeerID
}

// segmentSalt mixes the salt of a segment from that of the opening, by the finalizer of SplitMix64,
// so that who knows one segment's does not know the next one's. It is 0 only if there is none.
func segmentSalt(salt, number uint64) uint32 {
	if salt == 0 {
		return 0
	}
	x := salt + number*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return max(1, uint32((x^x>>31)>>32))
}

// encodeSegmentHead returns a segment's first bytes:
//
//	0   magic    "JRAFTLOG"
//	8   version  uint32
//	12  crc      uint32  of bytes 0..11; the first 16 bytes keep their meaning in every version
//	16  crc      uint32  of bytes 20..511
//	20  number   uint64  of the segment, from 1
//	28  size     uint64  of the file
//	36  lengths  uint8 of the cluster id, uint8 of the peer id
//	38  cluster id, peer id, zeros
//	508 salt     uint32  of the batches' heads; 0: none
func encodeSegmentHead(s *segment, who identity) []byte {
	b := make([]byte, segmentHead)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], segmentVersion)
	binary.LittleEndian.PutUint32(b[12:], raft.Checksum(b[:12]))
	binary.LittleEndian.PutUint64(b[20:], s.number)
	binary.LittleEndian.PutUint64(b[28:], uint64(s.size))
	b[36], b[37] = byte(len(who.cluster)), byte(len(who.peer))
	copy(b[38:], who.cluster)
	copy(b[38+len(who.cluster):], who.peer)
	binary.LittleEndian.PutUint32(b[saltAt:], s.salt)
	binary.LittleEndian.PutUint32(b[16:], raft.Checksum(b[20:]))
	return b
}

// readHead verifies the head of the segment, whose whole file is b and which must be this member's,
// and takes the salt from it.
func (s *segment) readHead(b []byte, who identity) error {
	name := s.name
	if err := checkHead(name, b); err != nil {
		return err
	}
	found, err := identityIn(name, b)
	if err != nil {
		return err
	}
	if found != who {
		return wrongOwner(name, found, who)
	}
	if n := binary.LittleEndian.Uint64(b[20:]); n != s.number {
		return corrupt(name, 20, fmt.Sprintf("the head says segment %d", n))
	}
	if n := binary.LittleEndian.Uint64(b[28:]); n != uint64(len(b)) {
		return corrupt(name, 28, fmt.Sprintf("the file has %d bytes, its head says %d", len(b), n))
	}
	s.salt = binary.LittleEndian.Uint32(b[saltAt:])
	return nil
}

// checkHead tells what is wrong with a segment's head, whatever segment it is.
func checkHead(name string, b []byte) error {
	if len(b) < segmentHead {
		return corrupt(name, int64(len(b)), "the segment's head is cut off")
	}
	if string(b[:8]) != segmentMagic {
		return corrupt(name, 0, "not a log segment: wrong magic")
	}
	if raft.Checksum(b[:12]) != binary.LittleEndian.Uint32(b[12:]) {
		return corrupt(name, 8, "checksum of magic and version is wrong")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != segmentVersion {
		return fmt.Errorf("log store: %s has format version %d, this program reads version %d: "+
			"run the newer program, or restore what was there before it ran", name, v, segmentVersion)
	}
	if raft.Checksum(b[20:segmentHead]) != binary.LittleEndian.Uint32(b[16:]) {
		return corrupt(name, 16, "checksum of the segment's head is wrong")
	}
	return nil
}

// identityIn returns whose log a head is of.
func identityIn(name string, b []byte) (identity, error) {
	c, p := int(b[36]), int(b[37])
	if c > raft.MaxIDBytes || p > raft.MaxIDBytes {
		return identity{}, corrupt(name, 36, "the ids are too long")
	}
	return identity{string(b[38 : 38+c]), raft.PeerID(b[38+c : 38+c+p])}, nil
}

func wrongOwner(name string, found, wanted identity) error {
	return fmt.Errorf("log store: %w: %s belongs to peer %q of cluster %q, "+
		"this is peer %q of cluster %q",
		raft.ErrWrongCluster, name, found.peer, found.cluster, wanted.peer, wanted.cluster)
}

// batch is the head of a batch:
//
//	0   magic     uint32
//	4   crc       uint32  of bytes 8..47, XOR the segment's salt
//	8   segment   uint64  the number of the segment it was written to
//	16  sequence  uint64  of the batch in the whole stream, from 1
//	24  back      uint32  how many batches before it belong to the same append (one write, one sync)
//	28  group     uint32  the number of the group; 0: the store itself
//	32  payload   uint32  bytes that follow, without padding
//	36  records   uint32  in the payload
//	40  crc       uint32  of payload and padding
//	44  zero      uint32
//
// The salt is what tells a head from a command that looks like one: whoever wrote that could not
// know it. Without it an append that holds such a command, torn by a power loss, would pass for
// damage, see Segments.checkEnd.
type batch struct {
	segment, sequence     uint64
	back, group           uint32
	payload, records, sum uint32
}

// padded is the size of the payload with the zeros that align the next batch.
func (h *batch) padded() int64 { return (int64(h.payload) + alignment - 1) &^ (alignment - 1) }

// first is the sequence of the first batch of the append that h belongs to.
func (h *batch) first() uint64 { return h.sequence - uint64(h.back) }

func (h *batch) encode(b []byte, salt uint32) {
	binary.LittleEndian.PutUint32(b[0:], batchMagic)
	binary.LittleEndian.PutUint64(b[8:], h.segment)
	binary.LittleEndian.PutUint64(b[16:], h.sequence)
	binary.LittleEndian.PutUint32(b[24:], h.back)
	binary.LittleEndian.PutUint32(b[28:], h.group)
	binary.LittleEndian.PutUint32(b[32:], h.payload)
	binary.LittleEndian.PutUint32(b[36:], h.records)
	binary.LittleEndian.PutUint32(b[40:], h.sum)
	binary.LittleEndian.PutUint32(b[44:], 0)
	binary.LittleEndian.PutUint32(b[4:], raft.Checksum(b[8:batchHead])^salt)
}

// decode reads a head that is right in itself and belongs to the segment; false: there is none at
// b.
func (h *batch) decode(b []byte, seg *segment) bool {
	if len(b) < batchHead || binary.LittleEndian.Uint32(b) != batchMagic ||
		binary.LittleEndian.Uint32(b[4:]) != raft.Checksum(b[8:batchHead])^seg.salt {
		return false
	}
	*h = batch{
		segment:  binary.LittleEndian.Uint64(b[8:]),
		sequence: binary.LittleEndian.Uint64(b[16:]),
		back:     binary.LittleEndian.Uint32(b[24:]),
		group:    binary.LittleEndian.Uint32(b[28:]),
		payload:  binary.LittleEndian.Uint32(b[32:]),
		records:  binary.LittleEndian.Uint32(b[36:]),
		sum:      binary.LittleEndian.Uint32(b[40:]),
	}
	return h.segment == seg.number && uint64(h.back) < h.sequence
}

// beginRecord appends the head of a record to b; endRecord completes it once the body is there.
func beginRecord(b []byte, kind byte) []byte { return append(b, 0, 0, 0, 0, 0, 0, 0, 0, kind) }

func endRecord(b []byte, at int) []byte {
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-8))
	binary.LittleEndian.PutUint32(b[at+4:], raft.Checksum(b[at+8:]))
	return b
}

// recordSize returns the size and kind of the record at the start of b; false: b does not hold it
// all.
func recordSize(b []byte) (n int, kind byte, ok bool) {
	if len(b) < recordHead {
		return 0, 0, false
	}
	size := uint64(binary.LittleEndian.Uint32(b))
	if size < recordHead-8 || size > uint64(len(b)-8) {
		return 0, 0, false
	}
	return int(size) + 8, b[8], true
}

// recordBody verifies a whole record and returns what follows its head.
func recordBody(record []byte) ([]byte, bool) {
	if raft.Checksum(record[8:]) != binary.LittleEndian.Uint32(record[4:]) {
		return nil, false
	}
	return record[recordHead:], true
}

// The bodies of the records that are not entries:
//
//	truncate    index uint64: this and all above it are gone
//	hard state  term uint64, vote (the rest)
//	group       number uint32, group id (the rest)
//	state       number uint32, hard state's term uint64, base term and index uint64, last term and
//	            index uint64, length of the vote uint8, vote, group id (the rest)
//	close       7 zeros
//	reset       term uint64, index uint64: all entries are gone, the log goes on after this one
func appendTruncate(b []byte, from raft.Index) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(beginRecord(b, recordTruncate), uint64(from))
	return endRecord(b, at)
}

func appendReset(b []byte, id raft.LogID) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(beginRecord(b, recordReset), uint64(id.Term))
	b = binary.LittleEndian.AppendUint64(b, uint64(id.Index))
	return endRecord(b, at)
}

func appendHardState(b []byte, hs raft.HardState) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(beginRecord(b, recordHardState), uint64(hs.Term))
	return endRecord(append(b, hs.Vote...), at)
}

func appendGroup(b []byte, number uint32, id raft.GroupID) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(beginRecord(b, recordGroup), number)
	return endRecord(append(b, id...), at)
}

func appendState(b []byte, g *group) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(beginRecord(b, recordState), g.number)
	for _, v := range [...]uint64{uint64(g.hard.Term), uint64(g.base.Term), uint64(g.base.Index),
		uint64(g.last.Term), uint64(g.last.Index)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, byte(len(g.hard.Vote)))
	b = append(b, g.hard.Vote...)
	return endRecord(append(b, g.id...), at)
}

const stateHead = 4 + 5*8 + 1

// stateBytes is the size of a group's state record.
func stateBytes(g *group) int { return recordHead + stateHead + len(g.hard.Vote) + len(g.id) }

// decodeState reads the body of a state record into a group that has nothing else.
func decodeState(body []byte) (*group, bool) {
	if len(body) < stateHead || len(body) < stateHead+int(body[stateHead-1]) {
		return nil, false
	}
	u := func(at int) uint64 { return binary.LittleEndian.Uint64(body[at:]) }
	vote := int(body[stateHead-1])
	g := &group{id: raft.GroupID(body[stateHead+vote:])}
	g.number = binary.LittleEndian.Uint32(body)
	g.hard = raft.HardState{Term: raft.Term(u(4)), Vote: raft.PeerID(body[stateHead : stateHead+vote])}
	g.base = raft.LogID{Term: raft.Term(u(12)), Index: raft.Index(u(20))}
	g.last = raft.LogID{Term: raft.Term(u(28)), Index: raft.Index(u(36))}
	return g, g.number > 0 && g.id != "" && g.base.Index <= g.last.Index
}

// corrupt is the error for damage at an offset of a file.
func corrupt(name string, offset int64, what string) error {
	return fmt.Errorf("log store: %w: %s at offset %d: %s. Keep the directory for inspection, and "+
		"let this member start again from an empty one under a new peer id, or from a backup",
		raft.ErrCorrupt, name, offset, what)
}
