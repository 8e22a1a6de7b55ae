package sim

import (
	"encoding/binary"
	"errors"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
)

// commandHead is the least size of a command: its serial, which no other command has, and its key.
const commandHead = 9

// command encodes a write of a key. The value is the serial; the rest fills the entry up to size.
func command(serial uint64, key, size int) []byte {
	b := make([]byte, max(size, commandHead))
	binary.LittleEndian.PutUint64(b, serial)
	b[8] = byte(key)
	for i := commandHead; i < len(b); i++ {
		b[i] = byte(serial) + byte(i)
	}
	return b
}

// serialOf returns the serial of an entry's command, 0 if it carries none.
func serialOf(e *raft.Entry) uint64 {
	if e.Kind != raft.EntryCommand || len(e.Data) < commandHead {
		return 0
	}
	return binary.LittleEndian.Uint64(e.Data)
}

// cell is one key's value: who wrote it, and where that stands in the log.
type cell struct {
	serial uint64
	index  raft.Index
}

// machine is the replicated state: a register for each key. Its hash is that of all commands applied, in order.
type machine struct {
	cells []cell
	hash  uint64
}

var errNoSnapshots = errors.New("sim: the machine has no snapshots")

func newMachine(keys int) *machine { return &machine{cells: make([]cell, keys)} }

// Apply implements fsm.StateMachine.
func (s *machine) Apply(e raft.Entry) any {
	serial := serialOf(&e)
	s.hash = mix(mix(s.hash^uint64(e.Index)) ^ mix(uint64(e.Term)) ^ serial)
	s.cells[int(e.Data[8])%len(s.cells)] = cell{serial, e.Index}
	return serial
}

// Snapshot implements fsm.StateMachine.
func (s *machine) Snapshot() (fsm.Saver, error) { return nil, errNoSnapshots }

// Restore implements fsm.StateMachine.
func (s *machine) Restore(fsm.SnapshotReader) error { return errNoSnapshots }
