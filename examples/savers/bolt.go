// Package savers shows a state machine that is kept in a bbolt database: how a snapshot is taken of
// it while commands go on, and how one is restored. Those for a map and for files on disk are
// node/example_snapshot_test.go.
package savers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
)

// mapped is how much address space the database gets at once. A transaction that reads, such as a
// snapshot being saved, holds up one that writes if the database has to be mapped anew for that: so
// let it be more than the database will ever need.
const mapped = 1 << 30

var pairs = []byte("pairs")

// Bolt is a replicated map in a bbolt database. A command is "key=value"; its result is the value
// that was there before.
type Bolt struct {
	path string

	mu sync.RWMutex // Restore puts another database in its place
	db *bbolt.DB
}

// OpenBolt returns an empty map with its database at path. What is there is removed: the state is
// made of the snapshot, which is restored when the member starts, and of the log after it. That is
// why the database need not be synced either.
func OpenBolt(path string) (*Bolt, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	b := &Bolt{path: path}
	return b, b.open()
}

func (b *Bolt) open() (err error) {
	o := bbolt.Options{NoSync: true, NoFreelistSync: true, InitialMmapSize: mapped}
	if b.db, err = bbolt.Open(b.path, 0o600, &o); err != nil {
		return err
	}
	return b.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(pairs)
		return err
	})
}

// Close closes the database. It waits for snapshots being saved.
func (b *Bolt) Close() error { return b.db.Close() }

// Get returns the value of a key, nil if there is none. It may be called at any time.
func (b *Bolt) Get(key string) (value []byte, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	err = b.db.View(func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket(pairs).Get([]byte(key)))
		return nil
	})
	return value, err
}

// ApplyBatch implements fsm.BatchApplier: one transaction for many commands. If it fails so does
// this member, with none of them applied; the others go on.
func (b *Bolt) ApplyBatch(batch *fsm.Batch) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(pairs)
		for i, e := range batch.Entries {
			key, value, _ := bytes.Cut(e.Data, []byte("="))
			batch.SetResult(i, string(bucket.Get(key)))
			if err := bucket.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Apply implements fsm.StateMachine; ApplyBatch takes its place.
func (b *Bolt) Apply(raft.Entry) any { return nil }

// Snapshot pins the state by a transaction that reads: it goes on seeing what is there now.
func (b *Bolt) Snapshot() (fsm.Saver, error) {
	tx, err := b.db.Begin(false)
	if err != nil {
		return nil, err
	}
	return boltSaver{tx}, nil
}

type boltSaver struct{ tx *bbolt.Tx }

// Save writes a copy of the database as the stream of the snapshot, beside transactions that write.
// When the member stops w fails, and so does this.
func (s boltSaver) Save(_ context.Context, w fsm.SnapshotWriter) error {
	_, err := s.tx.WriteTo(w)
	return err
}

// Release ends the transaction; until then the database keeps every page that it can see.
func (s boltSaver) Release() { _ = s.tx.Rollback() }

// Restore puts the copy in the place of the database. It waits for a snapshot being saved, which
// still needs the old one.
func (b *Bolt) Restore(r fsm.SnapshotReader) error {
	copied := b.path + ".restored"
	if err := write(copied, r); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.db.Close(); err != nil {
		return err
	}
	if err := os.Rename(copied, b.path); err != nil {
		return err
	}
	return b.open()
}

func write(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
