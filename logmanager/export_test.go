package logmanager

import (
	"encoding/binary"

	"github.com/jraft-go/jraft/raft"
)

// Mend makes the checksums of the first batches in data right, and their segment 1 and their
// sequence what the scanner expects, whatever else they hold.
func Mend(data []byte, batches int) {
	for i := range batches {
		if len(data) < batchHead {
			return
		}
		binary.LittleEndian.PutUint32(data, batchMagic)
		binary.LittleEndian.PutUint64(data[8:], 1)
		binary.LittleEndian.PutUint64(data[16:], uint64(i+1))
		binary.LittleEndian.PutUint32(data[24:], 0)
		payload := min(int64(binary.LittleEndian.Uint32(data[32:])), int64(len(data)-batchHead))
		h := batch{payload: uint32(payload)}
		padded := min(h.padded(), int64(len(data)-batchHead))
		body := data[batchHead : batchHead+padded]
		for rest := body; len(rest) >= recordHead; {
			n, _, ok := recordSize(rest)
			if !ok {
				break
			}
			binary.LittleEndian.PutUint32(rest[4:], raft.Checksum(rest[8:n]))
			rest = rest[n:]
		}
		binary.LittleEndian.PutUint32(data[32:], uint32(payload))
		binary.LittleEndian.PutUint32(data[40:], raft.Checksum(body))
		binary.LittleEndian.PutUint32(data[4:], raft.Checksum(data[8:batchHead]))
		data = data[batchHead+padded:]
	}
}
