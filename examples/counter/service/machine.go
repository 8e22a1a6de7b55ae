package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
)

// Command is what the log carries: one increment. Client and Seq name it for ever, so that the
// state machine can tell a retry from a new increment. JSON keeps the example readable; a
// service that counts bytes would choose a denser encoding.
type Command struct {
	Client string `json:"client"`
	Seq    uint64 `json:"seq"`
	Delta  int64  `json:"delta"`
}

// Added is what Apply returns, and so what the proposer finds in node.Result.Value.
type Added struct {
	Total     int64  `json:"total"`               // the counter after this increment
	Duplicate bool   `json:"duplicate,omitempty"` // a repetition: Total is the first answer again
	Refused   string `json:"refused,omitempty"`   // why it was not applied
}

// Session is what the state machine remembers of a client: its last increment and the answer to
// it (thesis §6.3). A client has one increment under way at a time, so remembering one is
// enough. Sessions are kept for ever here; a real service expires them, by a command, so that
// all members do so at the same entry.
type Session struct {
	Seq   uint64 `json:"seq"`
	Total int64  `json:"total"`
}

// State is everything that is replicated.
type State struct {
	Total      int64              `json:"total"`
	Sessions   map[string]Session `json:"sessions"`
	Duplicates uint64             `json:"duplicates"` // retries recognised, and not applied again
	Gaps       uint64             `json:"gaps"`       // increments refused: one before them was missing
}

// Counter is the replicated state machine. Apply, Snapshot and Restore come from one goroutine
// of the library, but reads come from the HTTP handlers, hence the lock.
type Counter struct {
	mu       sync.RWMutex
	s        State
	restored uint64 // the last entry of the snapshot that s began with; 0: with nothing
}

var _ fsm.StateMachine = (*Counter)(nil)

// NewCounter returns one at 0.
func NewCounter() *Counter { return &Counter{s: State{Sessions: map[string]Session{}}} }

// Apply carries out one committed command. Every member applies the same commands in the same
// order, so it may depend on nothing but the state and the command: no clock, no randomness, no
// map order. A command that can't be read is refused in the same way everywhere; it must not be
// a panic, which would fail every member.
func (c *Counter) Apply(e raft.Entry) any {
	var cmd Command
	if err := json.Unmarshal(e.Data, &cmd); err != nil || cmd.Seq == 0 {
		return Added{Refused: "not a command of this counter"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.add(cmd)
}

// add applies an increment once, however often it is in the log. It can be there twice: a
// client whose leader died before it answered can't know what became of its increment, and must
// ask again.
func (s *State) add(cmd Command) Added {
	last := s.Sessions[cmd.Client]
	switch {
	case cmd.Seq == last.Seq+1:
		s.Total += cmd.Delta
		s.Sessions[cmd.Client] = Session{Seq: cmd.Seq, Total: s.Total}
		return Added{Total: s.Total}
	case cmd.Seq == last.Seq:
		s.Duplicates++
		return Added{Total: last.Total, Duplicate: true}
	case cmd.Seq < last.Seq:
		// A retry that was overtaken: the client has its answer, and nobody waits for this one.
		s.Duplicates++
		return Added{Refused: fmt.Sprintf("seq %d is old, the last was %d", cmd.Seq, last.Seq)}
	default:
		s.Gaps++
		return Added{Refused: fmt.Sprintf("seq %d leaves a gap, the last was %d", cmd.Seq, last.Seq)}
	}
}

// Reading is what a read answers.
type Reading struct {
	Total      int64             `json:"total"`
	Hash       string            `json:"hash"`
	Clients    map[string]uint64 `json:"clients"` // the last sequence applied, by client
	Duplicates uint64            `json:"duplicates"`
	Gaps       uint64            `json:"gaps"`
}

// Read returns the state of now. Whether "now" is fresh is the caller's business: see member.get.
func (c *Counter) Read() (Reading, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	seqs := make(map[string]uint64, len(c.s.Sessions))
	for id, last := range c.s.Sessions {
		seqs[id] = last.Seq
	}
	return Reading{
		Total: c.s.Total, Hash: c.s.Hash(), Clients: seqs, Duplicates: c.s.Duplicates, Gaps: c.s.Gaps,
	}, nil
}

// Hash is equal on two members exactly if the total and every session are. Clients are visited
// in order, because the order of a Go map differs from process to process.
func (s *State) Hash() string {
	h := sha256.New()
	fmt.Fprintln(h, s.Total)
	for _, id := range slices.Sorted(maps.Keys(s.Sessions)) {
		fmt.Fprintf(h, "%q %d %d\n", id, s.Sessions[id].Seq, s.Sessions[id].Total)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// restoredFrom tells which snapshot the state began with.
func (c *Counter) restoredFrom() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.restored
}

// Snapshot pins the state. It must be quick, because no command is applied meanwhile: it
// copies, and leaves the encoding to saved.Save, which runs beside later Applies.
func (c *Counter) Snapshot() (fsm.Saver, error) {
	pinned := c.s // the applying goroutine is the only writer, and this is it
	pinned.Sessions = maps.Clone(c.s.Sessions)
	return saved{pinned}, nil
}

// saved is one pinned state.
type saved struct{ s State }

// Save writes the state. The library adds the checksum. encoding/json sorts the sessions, so
// equal states are equal bytes.
func (s saved) Save(_ context.Context, w fsm.SnapshotWriter) error {
	if err := json.NewEncoder(w).Encode(s.s); err != nil {
		return fmt.Errorf("counter: write snapshot: %w", err)
	}
	return nil
}

// Release has nothing to give back: the copy is garbage now.
func (saved) Release() {}

// Restore replaces the whole state by what Save wrote, or leaves it alone and fails.
func (c *Counter) Restore(r fsm.SnapshotReader) error {
	s := State{Sessions: map[string]Session{}}
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return fmt.Errorf("counter: read snapshot: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s, c.restored = s, uint64(r.Meta().Last.Index)
	return nil
}
