package raft

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// EntryKind says what an entry's data is.
type EntryKind uint8

// The kinds of entry. The numbers are part of the disk and wire format.
const (
	EntryCommand       EntryKind = 1 // a command for the state machine
	EntryConfiguration EntryKind = 2 // a configuration, see EncodeConfiguration
	EntryNoop          EntryKind = 3 // nothing
	EntryRestore       EntryKind = 4 // a piece of a backup, see RestoreChunk
)

// Entry is one entry of the log (§5.3). An entry never changes once made: its Data may be shared by
// the log, the state machine and every replication stream, so nobody may write to it.
type Entry struct {
	Term  Term
	Index Index
	Kind  EntryKind
	Data  []byte

	frame []byte // the encoded form, with Data as its tail; nil: not encoded yet
}

// ID returns the entry's log id.
func (e *Entry) ID() LogID { return LogID{e.Term, e.Index} }

// An entry's frame is its one encoded form: the log writes it, the wire carries it, both as the
// same bytes, and it is checksummed once, when the entry is made. Little endian:
//
//	0   size   uint32  bytes after the first 8
//	4   crc    uint32  CRC-32C of those bytes
//	8   kind   uint8
//	9   term   uint64
//	17  index  uint64
//	25  data
const (
	frameSizeAt  = 0
	frameCRCAt   = 4
	frameKindAt  = 8
	frameTermAt  = 9
	frameIndexAt = 17

	// FrameHead is the number of bytes of a frame before its data.
	FrameHead = 25
	// MaxFrameData is the most data that a frame may carry, whatever a member's own limits are.
	MaxFrameData = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C that everything this module writes to disk or wire is guarded with.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// FrameBytes returns the size of the entry's frame.
func (e *Entry) FrameBytes() int { return FrameHead + len(e.Data) }

// MakeEntry returns an entry whose frame is encoded into buf, which must have room for
// [FrameHead]+len(data) bytes beyond its length, and the extended buf. Data is copied, so the
// caller keeps its own.
func MakeEntry(buf []byte, term Term, index Index, kind EntryKind, data []byte) (Entry, []byte) {
	at := len(buf)
	buf = append(buf, make([]byte, FrameHead)...)
	buf = append(buf, data...)
	f := buf[at:len(buf):len(buf)]
	binary.LittleEndian.PutUint32(f[frameSizeAt:], uint32(len(f)-8))
	f[frameKindAt] = byte(kind)
	binary.LittleEndian.PutUint64(f[frameTermAt:], uint64(term))
	binary.LittleEndian.PutUint64(f[frameIndexAt:], uint64(index))
	binary.LittleEndian.PutUint32(f[frameCRCAt:], Checksum(f[8:]))
	return Entry{Term: term, Index: index, Kind: kind, Data: f[FrameHead:], frame: f}, buf
}

// Frame returns the entry's encoded form; the caller must not write to it. It is kept from when the
// entry was made or decoded; an entry built by hand is encoded anew at each call.
func (e *Entry) Frame() []byte {
	if e.frame != nil {
		return e.frame
	}
	made, _ := MakeEntry(make([]byte, 0, e.FrameBytes()), e.Term, e.Index, e.Kind, e.Data)
	return made.frame
}

// DecodeFrame reads the frame at the start of b, verifies it, and returns the entry and the frame's
// size. The entry keeps using b's memory. Anything malformed is an error that wraps [ErrCorrupt]; b
// too short for the frame that it announces is one too.
func DecodeFrame(b []byte) (Entry, int, error) {
	if len(b) < FrameHead {
		return Entry{}, 0, fmt.Errorf("%w: entry frame cut off at %d bytes", ErrCorrupt, len(b))
	}
	size := int(binary.LittleEndian.Uint32(b[frameSizeAt:]))
	if size < FrameHead-8 || size-(FrameHead-8) > MaxFrameData {
		return Entry{}, 0, fmt.Errorf("%w: entry frame announces %d bytes", ErrCorrupt, size)
	}
	if len(b)-8 < size {
		return Entry{}, 0, fmt.Errorf("%w: entry frame announces %d bytes, %d are there",
			ErrCorrupt, size, len(b)-8)
	}
	f := b[: 8+size : 8+size]
	if got, want := Checksum(f[8:]), binary.LittleEndian.Uint32(f[frameCRCAt:]); got != want {
		return Entry{}, 0, fmt.Errorf("%w: entry frame has checksum %08x, says %08x",
			ErrCorrupt, got, want)
	}
	e := Entry{
		Kind:  EntryKind(f[frameKindAt]),
		Term:  Term(binary.LittleEndian.Uint64(f[frameTermAt:])),
		Index: Index(binary.LittleEndian.Uint64(f[frameIndexAt:])),
		Data:  f[FrameHead:],
		frame: f,
	}
	if e.Kind < EntryCommand || e.Kind > EntryRestore || e.Index == 0 {
		return Entry{}, 0, fmt.Errorf("%w: entry frame has kind %d, index %d",
			ErrCorrupt, e.Kind, e.Index)
	}
	return e, len(f), nil
}

// SnapshotMeta describes a snapshot: the last entry it covers, the configuration at that entry, and
// its size.
type SnapshotMeta struct {
	Last          LogID
	Configuration Configuration
	Bytes         int64
	Files         int
}
