package snapshot

import (
	"errors"
	"io"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// ChunkBytes is the size of the pieces in which the content of a snapshot is checked and fetched;
// the last one of each file may be smaller.
const ChunkBytes = 1 << 20

// MaxReplyBytes bounds the replies of [Store].Serve.
const MaxReplyBytes = replyHead + ChunkBytes

// ErrGone is wrapped by the errors of what needs a snapshot that is not there, or no longer: ask
// for the newest one instead.
var ErrGone = errors.New("no such snapshot")

// Store keeps the snapshots of one group. [Files] is the default. Its methods may be called from
// several goroutines, beside writers, readers and receptions. The errors of all that comes from a
// store wrap [raft.ErrCorrupt] for damaged data, [raft.ErrDiskFull] and [ErrGone] where that is the
// cause.
type Store interface {
	// Create begins a snapshot that covers the log up to last, with the configuration at that entry.
	// raft.ErrBusy: another one is being written.
	Create(last raft.LogID, c raft.Configuration) (Writer, error)
	// Newest describes the newest sound snapshot; false: there is none.
	Newest() (raft.SnapshotMeta, bool)
	// All describes all sound snapshots, the newest first. The slice is the caller's.
	All() []raft.SnapshotMeta
	// Open opens a snapshot for reading. It is not removed before the reader is closed.
	Open(last raft.LogID) (Reader, error)
	// Verify reads all of a snapshot. If anything in it is damaged, the error says what and where, and
	// the snapshot does not count as sound any more.
	Verify(last raft.LogID) error
	// Serve answers a request that a [Reception] of another member made. The reply, at most
	// [MaxReplyBytes], is written into the memory of into if that is large enough. What can't be had
	// is an answer too; an error means that the request makes no sense. The snapshot asked for is not
	// removed within the next minute.
	Serve(now time.Duration, request, into []byte) (reply []byte, err error)
	// Receive begins to fetch a snapshot of another member, or goes on with it, also after a restart.
	// raft.ErrBusy: another reception is not closed yet.
	Receive(meta raft.SnapshotMeta) (Reception, error)
	// Collect removes all but the newest snapshots (as many as the store is to keep), those that are
	// read or were asked for within the last minute excepted, and receptions that are of no use any
	// more. Call it after each Commit, and now and then. It does not disturb readers.
	Collect(now time.Duration) error
	// Export writes a whole snapshot as one stream, every byte checked.
	Export(w io.Writer, last raft.LogID) error
	// Import reads what Export wrote and publishes it, unless anything about it is wrong.
	// raft.ErrWrongCluster: it is of another cluster or group. raft.ErrBusy as with Create.
	Import(r io.Reader) (raft.SnapshotMeta, error)
	// Stage begins to put together, piece by piece, what Export wrote. It has nothing to do with the
	// snapshots in the store.
	Stage() (Staged, error)
	// Close gives the store up. It does not end writers, readers and receptions; end them before.
	Close() error
}

// Writer takes in one snapshot. It is used by one goroutine at a time. After an error it takes no
// more, and Commit fails. It is an fsm.SnapshotWriter.
type Writer interface {
	io.Writer
	// AddFile adds the file at path under a name, as [ValidName] wants it. It is hard-linked where
	// possible, else copied: nobody may change the file's content any more, replacing it is allowed.
	AddFile(name, path string) error
	// Commit publishes the snapshot. It is durable when Commit returns, or else it is gone.
	Commit() (raft.SnapshotMeta, error)
	// Abort discards it. After Commit it does nothing.
	Abort()
}

// Reader gives one snapshot back. Every byte is checked before it is handed out; errors about
// damage wrap [raft.ErrCorrupt] and name file and offset. Read gives the stream. It is used by one
// goroutine at a time, but for the files it opened. It is an fsm.SnapshotReader.
type Reader interface {
	io.ReadCloser
	// Meta describes the snapshot.
	Meta() raft.SnapshotMeta
	// Files returns the names of its files, sorted. The slice is the caller's.
	Files() []string
	// OpenFile opens one of its files for reading; fs.ErrNotExist. The caller closes it, before the
	// reader.
	OpenFile(name string) (io.ReadCloser, error)
}

// Reception fetches one snapshot. It asks for pieces with requests that the caller carries to
// another member's [Store].Serve and whose replies it carries back, in any order and several at
// once. It is used by one goroutine at a time.
//
// What has arrived stays on disk until the snapshot is published or another one is asked for, and
// is checked again when the reception goes on. Files that another snapshot here has with the same
// content are not asked for.
type Reception interface {
	// Next makes the next request; false: all that is missing is asked for, or the reception has
	// failed or is complete. The request is the caller's.
	Next() (request []byte, ok bool)
	// Got takes the reply to a request. A wrong one is refused (raft.ErrCorrupt) and asked for again;
	// too many of them, or a source that does not have the snapshot (ErrGone), fail the reception. The
	// reply is not kept. The call takes long when the last piece of the manifest comes, because what
	// is there already is checked.
	Got(request, reply []byte) error
	// Lost says that a request got no reply; it is made again.
	Lost(request []byte)
	// Err says why the reception has failed; nil: it has not.
	Err() error
	// Bytes tells how much of the content is there, Total of how much.
	Bytes() int64
	// Total tells the size of the content in bytes.
	Total() int64
	// Done reports whether everything is there.
	Done() bool
	// Commit publishes the snapshot once it is Done. It is durable when Commit returns. An error fails
	// the reception.
	Commit() (raft.SnapshotMeta, error)
	// Close ends the reception; what has arrived is kept for the next one.
	Close() error
	// Abandon ends the reception and discards what has arrived.
	Abandon() error
}

// Staged is an exported snapshot that is put together, and read without being published. It is on
// disk, but not durable: the next opening of the store finds nothing of it. It is used by one
// goroutine at a time, and is an fsm.Staged.
type Staged interface {
	io.Writer   // appends the next piece
	io.ReaderAt // of what was appended
	// Verify reads all of it. An error wraps [raft.ErrCorrupt] where it is not one whole and sound
	// snapshot, and raft.ErrWrongCluster where it is of another cluster or group. Nothing may be
	// appended afterwards.
	Verify() error
	Reader // of use once it is verified; Close discards it all
}
