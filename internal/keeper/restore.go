package keeper

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

const (
	// restoreChunkBytes is the size of the pieces in which a backup goes through the log,
	// restoreWindow how many of them are under way.
	restoreChunkBytes = 512 << 10
	restoreWindow     = 4

	firstRestoreBackoff = 10 * time.Millisecond
	maxRestoreBackoff   = time.Second
)

// Propose proposes an entry of a restore. Done is called once, with the entry's result or with a
// [*raft.Error]. It does not block.
type Propose func(data []byte, done func(result any, err error))

// Restore gives the whole group the state of the backup in r. First all of it is read and verified,
// so that a bad one changes nothing. Then it goes through the log, piece by piece and in order.
//
// An error comes with what became of the restore: with raft.NotAppended all members have the state
// that they had.
func (k *Keeper) Restore(ctx context.Context, r io.Reader) (outcome raft.Outcome, err error) {
	chunk := min(restoreChunkBytes, k.o.MaxCommandBytes-raft.RestoreHead)
	if chunk <= 0 {
		return raft.NotAppended, fmt.Errorf("%w: commands of %d bytes can't carry a backup, more than "+
			"%d are needed", raft.ErrTooLarge, k.o.MaxCommandBytes, raft.RestoreHead)
	}
	backup, err := k.o.Store.Stage()
	if err != nil {
		return raft.NotAppended, err
	}
	defer func() {
		if err := backup.Close(); err != nil {
			k.log.Warn("raft: close a backup", "error", err)
		}
	}()
	s := &sender{k: k, backup: backup, chunk: int64(chunk), buffer: make([]byte, chunk)}
	if err := s.read(ctx, r); err != nil {
		return raft.NotAppended, err
	}
	if err := backup.Verify(); err != nil {
		return raft.NotAppended, err
	}
	log := k.log.With("last", backup.Meta().Last.String(), "bytes", s.size)
	log.Info("raft: restoring a backup")
	if outcome, err = s.run(ctx); err != nil {
		k.giveUp(s.id)
		log.Warn("raft: restore a backup", "outcome", outcome.String(), "error", err)
		return outcome, err
	}
	log.Info("raft: restored a backup")
	return raft.Committed, nil
}

// giveUp ends a restore that nobody goes on with, or leaves it as it is: it does not matter what
// becomes of the entry.
func (k *Keeper) giveUp(id uint64) {
	end := raft.RestoreChunk{ID: id, Abandon: true}
	k.o.Propose(end.Encode(), func(any, error) {})
}

// sender sends one backup.
type sender struct {
	k      *Keeper
	backup snapshot.Staged
	size   int64
	sum    uint32
	chunk  int64
	buffer []byte
	id     uint64

	next   uint32 // to be sent
	done   uint32 // so many are staged everywhere, or will be
	flight []chan answer
	// The last one is under way, or it was once and nobody knows what became of it.
	ending, lost bool
}

// answer is what became of an entry.
type answer struct {
	result any
	err    error
}

// read puts the backup on disk, because it can't be verified otherwise before it is sent.
func (s *sender) read(ctx context.Context, r io.Reader) error {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	to := io.MultiWriter(s.backup, sum)
	for {
		if err := s.over(ctx); err != nil {
			return err
		}
		n, err := r.Read(s.buffer)
		if _, err := to.Write(s.buffer[:n]); err != nil {
			return err
		}
		s.size += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("keeper: read the backup: %w", err)
		}
	}
	s.sum = sum.Sum32()
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	s.id = binary.LittleEndian.Uint64(id[:])
	return nil
}

// total is the number of pieces. The last one has no data.
func (s *sender) total() uint32 { return uint32((s.size+s.chunk-1)/s.chunk) + 1 }

// run sends the pieces. Where it is not known what became of one it sends that and those after it
// again: what is staged already is not staged twice. The last one, which takes effect, is alone
// under way.
func (s *sender) run(ctx context.Context) (raft.Outcome, error) {
	backoff := firstRestoreBackoff
	for s.done < s.total() {
		err := s.fill()
		if err == nil {
			err = s.await(ctx)
		}
		if err == nil {
			s.done++
			backoff = firstRestoreBackoff
			continue
		}
		for passing(err) && len(s.flight) > 0 && s.over(ctx) == nil {
			_ = s.await(ctx) // it is sent again, whatever it is
		}
		if !passing(err) || pause(ctx, backoff) != nil {
			if s.ending || s.lost {
				return raft.Unknown, err
			}
			return raft.NotAppended, err
		}
		backoff = min(2*backoff, maxRestoreBackoff)
		s.next = s.done
	}
	return raft.Committed, nil
}

// passing reports whether an entry is to be proposed again after an error.
func passing(err error) bool {
	var e *raft.Error
	return errors.As(err, &e) && !errors.Is(err, raft.ErrStopped) &&
		!errors.Is(err, raft.ErrFailed) && !errors.Is(err, raft.ErrTooLarge)
}

// over tells why there is nothing to wait for any more.
func (s *sender) over(ctx context.Context) error {
	return errors.Join(context.Cause(s.k.life), ctx.Err())
}

// fill sends as much as may be under way.
func (s *sender) fill() error {
	last := s.total() - 1
	for s.next < last && len(s.flight) < restoreWindow || s.next == last && s.done == last {
		c := raft.RestoreChunk{ID: s.id, Number: s.next}
		at := min(int64(s.next)*s.chunk, s.size)
		c.Data = s.buffer[:min(s.chunk, s.size-at)]
		if n, err := s.backup.ReadAt(c.Data, at); n < len(c.Data) {
			return fmt.Errorf("keeper: read the backup again: %w", err)
		}
		if s.next == last {
			c.Last, c.Bytes, c.Sum = true, uint64(s.size), s.sum
			s.ending = true
		}
		came := make(chan answer, 1)
		s.k.o.Propose(c.Encode(), func(result any, err error) { came <- answer{result, err} })
		s.flight = append(s.flight, came)
		s.next++
	}
	return nil
}

// await waits for the oldest entry under way.
func (s *sender) await(ctx context.Context) error {
	var a answer
	select {
	case a = <-s.flight[0]:
	case <-ctx.Done():
		return s.over(ctx)
	case <-s.k.life.Done():
		return s.over(ctx)
	}
	s.flight = s.flight[1:]
	switch refused, _ := a.result.(error); {
	case a.err != nil:
		s.lost = s.lost || s.ending && raft.OutcomeOf(a.err) != raft.NotAppended
		s.ending = false
		return a.err
	case refused != nil && !errors.Is(refused, fsm.ErrRestoreEnded):
		s.ending, s.lost = false, false // no backup at all: it can't have been restored before
		return refused
	default:
		s.ending = false
		return refused
	}
}

// Stage makes room for a backup that comes with entries. Reading it ends when the member does.
func (k *Keeper) Stage() (fsm.Staged, error) {
	s, err := k.o.Store.Stage()
	if err != nil {
		return nil, err
	}
	return staged{s, k.life}, nil
}

type staged struct {
	snapshot.Staged
	life context.Context
}

// Read implements io.Reader.
func (s staged) Read(p []byte) (int, error) { return stoppable{s.Staged, s.life}.Read(p) }

// OpenFile implements fsm.SnapshotReader.
func (s staged) OpenFile(name string) (io.ReadCloser, error) {
	return stoppable{s.Staged, s.life}.OpenFile(name)
}
