package raft

import (
	"encoding/binary"
	"fmt"
)

// RestoreChunk is a piece of a backup on its way through the log, the data of an [EntryRestore]. A
// running group gets the state of a backup by a row of them: every member puts them together in the
// order of the log, and replaces its state at the last one.
type RestoreChunk struct {
	ID     uint64 // of the restore, drawn at random
	Number uint32 // 0 is the first
	// Last: nothing follows, and all pieces together have Bytes bytes and the checksum Sum. It is
	// never the first one: that begins a restore, and when the last one comes again, as it may, no
	// other must begin.
	Last  bool
	Bytes uint64
	Sum   uint32
	// Abandon ends the restore, without Data; the state stays as it is.
	Abandon bool
	Data    []byte
}

// The data of an [EntryRestore]. Little endian:
//
//	0   id      uint64
//	8   number  uint32
//	12  flags   uint8   1 last, 2 abandon
//	13  bytes   uint64  with last, else 0
//	21  sum     uint32  likewise
//	25  data
const (
	// RestoreHead is the number of bytes before the data.
	RestoreHead = 25

	restoreLast    = 1
	restoreAbandon = 2
)

// Encode returns the data of the entry, in memory of its own.
func (c *RestoreChunk) Encode() []byte {
	b := make([]byte, 0, RestoreHead+len(c.Data))
	b = binary.LittleEndian.AppendUint64(b, c.ID)
	b = binary.LittleEndian.AppendUint32(b, c.Number)
	flags := byte(0)
	if c.Last {
		flags |= restoreLast
	}
	if c.Abandon {
		flags |= restoreAbandon
	}
	b = binary.LittleEndian.AppendUint64(append(b, flags), c.Bytes)
	b = binary.LittleEndian.AppendUint32(b, c.Sum)
	return append(b, c.Data...)
}

// DecodeRestoreChunk reads what [RestoreChunk.Encode] wrote. The chunk keeps using b's memory.
// Anything malformed is an error that wraps [ErrCorrupt]. Flags that this program does not know are
// one that does not: other members may know them.
func DecodeRestoreChunk(b []byte) (RestoreChunk, error) {
	if len(b) < RestoreHead {
		return RestoreChunk{}, fmt.Errorf("%w: a restore's entry of %d bytes", ErrCorrupt, len(b))
	}
	flags := b[12]
	c := RestoreChunk{
		ID:      binary.LittleEndian.Uint64(b),
		Number:  binary.LittleEndian.Uint32(b[8:]),
		Last:    flags&restoreLast != 0,
		Abandon: flags&restoreAbandon != 0,
		Bytes:   binary.LittleEndian.Uint64(b[13:]),
		Sum:     binary.LittleEndian.Uint32(b[21:]),
		Data:    b[RestoreHead:],
	}
	switch {
	case flags > restoreLast|restoreAbandon:
		return RestoreChunk{}, fmt.Errorf("a restore's entry with flags %#x, this program knows %#x",
			flags, restoreLast|restoreAbandon)
	case c.Last && (c.Abandon || c.Number == 0):
		return RestoreChunk{}, fmt.Errorf("%w: a restore's entry %d with flags %d", ErrCorrupt, c.Number,
			flags)
	case !c.Last && (c.Bytes != 0 || c.Sum != 0):
		return RestoreChunk{}, fmt.Errorf("%w: a restore's entry %d sums up, and is not the last one",
			ErrCorrupt, c.Number)
	case c.Abandon && len(c.Data) > 0:
		return RestoreChunk{}, fmt.Errorf("%w: a restore is abandoned with %d bytes of data", ErrCorrupt,
			len(c.Data))
	}
	return c, nil
}
