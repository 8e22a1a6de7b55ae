// Package fsm is the border to the user's state machine: the interfaces a user implements, and the
// applier that feeds committed entries to them in log order, each once.
package fsm

import (
	"context"
	"io"

	"github.com/jraft-go/jraft/raft"
)

// StateMachine is what a user replicates. All members apply the same entries in the same order, so
// Apply must depend on nothing but the state and the entry: no clock, no randomness, no map order.
// It corresponds to com.alipay.sofa.jraft.StateMachine.
//
// Apply, Snapshot and Restore are never called at once: Restore may be by the goroutine that starts
// the member, and all of them are by one goroutine after that. A panic in any of them fails this
// member, and only this member, with the panic as its cause.
type StateMachine interface {
	// Apply carries out one command and returns what its proposer gets as Result.Value. It is called
	// for commands only, in log order. The entry's data is read-only; it may be kept.
	Apply(e raft.Entry) any
	// Snapshot pins the state between two Applies and returns quickly; the saver writes it out beside
	// later ones. An error means that there is no snapshot this time: the member goes on and tries
	// again later.
	Snapshot() (Saver, error)
	// Restore replaces the whole state by what a Saver wrote, here or on another member, or long ago:
	// a backup may take the place of the state of a running group (Node.Restore). The reader is of no
	// use after it returns. An error fails the member.
	Restore(r SnapshotReader) error
}

// Saver writes out one pinned state.
type Saver interface {
	// Save writes the state. It runs beside later Applies, or even a Restore, and returns early, with
	// an error, when ctx ends. After an error the snapshot is discarded and another one taken later;
	// a panic fails the member.
	Save(ctx context.Context, w SnapshotWriter) error
	// Release is called once after Save, or instead of it, and not from the applying goroutine.
	Release()
}

// Bytes is the [Saver] of a state that is pinned by encoding it, as is best with a small one.
type Bytes []byte

// Save implements Saver.
func (b Bytes) Save(_ context.Context, w SnapshotWriter) error {
	_, err := w.Write(b)
	return err
}

// Release implements Saver.
func (Bytes) Release() {}

// SnapshotWriter receives a snapshot: one stream, and any number of files.
type SnapshotWriter interface {
	io.Writer
	// AddFile adds the file at path under a name; it is hard-linked where possible, else copied. Its
	// content must never change again; removing or replacing it is fine. The name is a relative path
	// with slashes.
	AddFile(name, path string) error
}

// SnapshotReader gives a snapshot back.
type SnapshotReader interface {
	io.Reader
	// Meta describes the snapshot.
	Meta() raft.SnapshotMeta
	// Files returns the names of its files, sorted. The slice is the caller's.
	Files() []string
	// OpenFile opens one of its files for reading; the caller closes it.
	OpenFile(name string) (io.ReadCloser, error)
}

// BatchApplier is implemented by state machines that gain from several entries at once. ApplyBatch
// replaces Apply. An error fails the member before any entry of the batch counts as applied.
type BatchApplier interface{ ApplyBatch(b *Batch) error }

// LeaderWatcher is implemented by state machines that want to know when this member leads.
// OnLeaderStart is called from the applying goroutine, after every entry of earlier terms was
// applied; OnLeaderStop when leadership is over, with the reason. Both come in turn, and neither
// delays the protocol.
type LeaderWatcher interface {
	OnLeaderStart(t raft.Term)
	OnLeaderStop(cause error)
}

// ConfigurationWatcher is implemented by state machines that want to see committed configurations,
// in log order. After Restore they see that of the snapshot, and none of those before it.
type ConfigurationWatcher interface{ OnConfiguration(c raft.Configuration) }

// Batch is a run of committed commands. Set the result of command i with SetResult; one never set
// is nil.
type Batch struct {
	Entries []raft.Entry // commands only, in log order; read-only, and the slice is not yours to keep
	results []any
}

// SetResult gives the proposer of Entries[i] its Result.Value.
func (b *Batch) SetResult(i int, value any) { b.results[i] = value }
