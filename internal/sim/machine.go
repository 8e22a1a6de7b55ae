package sim

import (
	"errors"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// cell is one key's value: who wrote it, and where that stands in the log.
type cell struct {
	serial uint64
	index  raft.Index
}

// machine is the replicated state: a register for each key. Its hash is that of all commands
// applied, in order.
type machine struct {
	cells []cell
	hash  uint64
}

var errNoSnapshots = errors.New("sim: the machine has no snapshots")

func newMachine(keys int) *machine { return &machine{cells: make([]cell, keys)} }

// Apply implements fsm.StateMachine.
func (s *machine) Apply(e raft.Entry) any {
	serial := witness.Serial(&e)
	s.hash = witness.Mix(witness.Mix(s.hash^uint64(e.Index)) ^ witness.Mix(uint64(e.Term)) ^ serial)
	s.cells[witness.Key(&e)%len(s.cells)] = cell{serial, e.Index}
	return serial
}

// Snapshot implements fsm.StateMachine.
func (s *machine) Snapshot() (fsm.Saver, error) { return nil, errNoSnapshots }

// Restore implements fsm.StateMachine.
func (s *machine) Restore(fsm.SnapshotReader) error { return errNoSnapshots }
