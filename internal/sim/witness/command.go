package witness

import (
	"encoding/binary"

	"github.com/jraft-go/jraft/raft"
)

// CommandHead is the least size of a command: its serial, which no other command has, and its key.
const CommandHead = 9

// Command encodes a write of a key. The value is the serial; the rest fills the entry up to size.
func Command(serial uint64, key, size int) []byte {
	b := make([]byte, max(size, CommandHead))
	binary.LittleEndian.PutUint64(b, serial)
	b[8] = byte(key)
	for i := CommandHead; i < len(b); i++ {
		b[i] = byte(serial) + byte(i)
	}
	return b
}

// Serial returns the serial of an entry's command, 0 if it carries none.
func Serial(e *raft.Entry) uint64 {
	if e.Kind != raft.EntryCommand || len(e.Data) < CommandHead {
		return 0
	}
	return binary.LittleEndian.Uint64(e.Data)
}

// Key returns the key that a command writes.
func Key(e *raft.Entry) int { return int(e.Data[8]) }

// Mix spreads a number over 64 bits (the finalizer of SplitMix64).
func Mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
