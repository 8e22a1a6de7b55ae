package fsm

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/jraft-go/jraft/raft"
)

// Staged is a backup that is being put together out of the entries that bring it
// (raft.EntryRestore).
type Staged interface {
	io.Writer   // appends the next piece
	io.ReaderAt // of what was appended
	// Verify reads all of it. The error wraps [raft.ErrCorrupt] or [raft.ErrWrongCluster] where it is
	// no backup of this group; any other one is about this member alone.
	Verify() error
	SnapshotReader // of use once it is verified
	io.Closer      // discards it
}

// Restoring is why no snapshot can be taken: a backup is being staged. A snapshot in the midst of
// that would not have what is staged, and the log before it might go. It is a [raft.ErrBusy].
type Restoring struct {
	ID     uint64     // of the restore
	First  raft.Index // its first entry
	Newest raft.Index // the newest one that was applied
}

// Error names the entry with which the restore began.
func (r *Restoring) Error() string {
	return fmt.Sprintf("%v: a backup is being restored, since entry %d; it is over in a while",
		raft.ErrBusy, r.First)
}

// Unwrap returns [raft.ErrBusy].
func (r *Restoring) Unwrap() error { return raft.ErrBusy }

// ErrRestoreEnded is the result of a piece of a backup that does not belong to what is staged:
// another restore took its place, or it was given up.
var ErrRestoreEnded = errors.New("the restore was given up, or another one took its place")

// staging is what the entries of a restore have led to so far.
//
// Invariant: it depends on nothing but the entries. So it is the same on every member, and the same
// again after a restart, which applies them again: no snapshot is taken between the first and the
// last of them.
type staging struct {
	Restoring
	next   uint32 // the number of the piece to come
	bytes  uint64
	sum    uint32
	backup Staged // nil: nothing is staged
	// done is the last restore that came to its end here, as far as is known: a member that has
	// started from a later snapshot does not know. So nothing but a result may depend on it.
	done uint64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stage takes a piece of a backup. What it returns is the entry's result, nil or an error that is
// the same on every member; false: this member has failed.
//
// A piece that was staged already comes again when its proposer did not learn what became of it.
// One that is ahead is left out: its proposer sends the missing one and all after it once more.
// Neither does any harm.
func (a *Applier) stage(e *raft.Entry) (result any, ok bool) {
	c, err := raft.DecodeRestoreChunk(e.Data)
	s := &a.staging
	switch {
	case errors.Is(err, raft.ErrCorrupt):
		return err, true
	case err != nil: // others may know what to do with it
	case c.Last && c.ID == s.done:
		return nil, true
	case c.Number == 0 && !c.Abandon && (s.backup == nil || c.ID != s.ID):
		a.discard()
		if a.Stage == nil {
			err = errors.New("there is no place for it")
		} else if s.backup, err = a.Stage(); err == nil {
			s.Restoring = Restoring{ID: c.ID, First: e.Index}
		}
	case s.backup == nil || c.ID != s.ID || c.Number > s.next:
		return ErrRestoreEnded, true
	case c.Abandon:
		a.discard()
		return nil, true
	case c.Number < s.next:
		return nil, true
	}
	if err == nil {
		_, err = s.backup.Write(c.Data)
	}
	if err != nil {
		a.fault = fmt.Errorf("fsm: stage a backup, entry %d: %w", e.Index, err)
		return nil, false
	}
	s.Newest = e.Index
	s.next++
	s.bytes += uint64(len(c.Data))
	s.sum = crc32.Update(s.sum, castagnoli, c.Data)
	if !c.Last {
		return nil, true
	}
	return a.replace(e, &c)
}

// replace replaces the state by the backup, all of which is staged.
func (a *Applier) replace(e *raft.Entry, last *raft.RestoreChunk) (result any, ok bool) {
	s := &a.staging
	defer a.discard()
	if s.bytes != last.Bytes || s.sum != last.Sum {
		return fmt.Errorf("fsm: %w: the pieces of the backup have %d bytes and checksum %08x, not %d "+
			"and %08x", raft.ErrCorrupt, s.bytes, s.sum, last.Bytes, last.Sum), true
	}
	if err := s.backup.Verify(); err != nil {
		// A member that can't read what others may be able to, a format for instance, must not go on.
		foreign := errors.Is(err, raft.ErrCorrupt) || errors.Is(err, raft.ErrWrongCluster)
		if foreign && s.intact() {
			return fmt.Errorf("fsm: the backup can't be restored: %w", err), true
		}
		a.fault = fmt.Errorf("fsm: read a backup that was staged: %w", err)
		return nil, false
	}
	meta := s.backup.Meta()
	meta.Last, meta.Configuration = e.ID(), a.members.Clone()
	if err := a.machine.Restore(restored{s.backup, meta}); err != nil {
		a.fault = fmt.Errorf("fsm: state machine failed to restore the backup of entry %d: %w", e.Index,
			err)
		return nil, false
	}
	s.done = s.ID
	return nil, true
}

// intact reports whether what is staged reads as it was written: then every member finds the same
// wrong with it.
func (s *staging) intact() bool {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, io.NewSectionReader(s.backup, 0, int64(s.bytes)))
	return err == nil && uint64(n) == s.bytes && sum.Sum32() == s.sum
}

// discard forgets what is staged. What can't be removed goes at the next start.
func (a *Applier) discard() {
	if s := &a.staging; s.backup != nil {
		_ = s.backup.Close()
		*s = staging{done: s.done}
	}
}

// restored is a backup as the state machine sees it: as a snapshot of the moment at which it took
// the place of the state.
type restored struct {
	SnapshotReader
	meta raft.SnapshotMeta
}

// Meta implements SnapshotReader.
func (r restored) Meta() raft.SnapshotMeta { return r.meta }
