package register

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// Machine is the replicated state: a register for each key. Its hash is that of all commands
// applied, in order.
type Machine struct {
	witness.State
}

// NewMachine returns a machine with all registers zero.
func NewMachine(keys int) *Machine {
	return &Machine{witness.State{Cells: make([]witness.Cell, keys)}}
}

// Apply implements fsm.StateMachine.
func (s *Machine) Apply(e raft.Entry) any {
	serial := witness.Serial(&e)
	s.State.Apply(witness.Key(&e)%len(s.Cells), serial, e.ID())
	return serial
}

const (
	cellBytes = 16
	hashBytes = 8
)

// AppendCell encodes a cell.
func AppendCell(b []byte, c witness.Cell) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, c.Serial),
		uint64(c.Index))
}

func readCell(b []byte) witness.Cell {
	return witness.Cell{Serial: binary.LittleEndian.Uint64(b),
		Index: raft.Index(binary.LittleEndian.Uint64(b[8:]))}
}

// Pinned is the state of one moment, as a save writes it: the hash in the stream, some of the cells
// there, too, and the others in a file each.
type Pinned struct {
	fsm.Saver // the simulator writes it step by step
	Stream    []byte
	Cells     []witness.Cell // of the files
}

// Snapshot implements fsm.StateMachine.
func (s *Machine) Snapshot() (fsm.Saver, error) {
	p := &Pinned{Stream: binary.LittleEndian.AppendUint64(nil, s.Hash)}
	for i, c := range s.Cells {
		if i%2 == 0 {
			p.Stream = AppendCell(p.Stream, c)
		} else {
			p.Cells = append(p.Cells, c)
		}
	}
	return p, nil
}

// CellName is the name of the i-th file of a snapshot.
func CellName(i int) string { return fmt.Sprintf("cells/%d", i) }

var errState = errors.New("sim: a snapshot of another form")

// Restore implements fsm.StateMachine.
func (s *Machine) Restore(r fsm.SnapshotReader) error {
	stream, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	inStream := (len(s.Cells) + 1) / 2
	if len(stream) < hashBytes+inStream*cellBytes || len(r.Files()) != len(s.Cells)/2 {
		return errState
	}
	s.Hash = binary.LittleEndian.Uint64(stream)
	for i := range s.Cells {
		if i%2 == 0 {
			s.Cells[i] = readCell(stream[hashBytes+i/2*cellBytes:])
			continue
		}
		file, err := r.OpenFile(CellName(i / 2))
		if err != nil {
			return err
		}
		b, err := io.ReadAll(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		if len(b) != cellBytes {
			return errState
		}
		s.Cells[i] = readCell(b)
	}
	return nil
}
