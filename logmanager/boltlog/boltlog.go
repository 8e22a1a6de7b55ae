// Package boltlog is the log storage of package logmanager in one bbolt file: for those who want
// their log in a widely used format and can pay for it. A write copies and syncs whole pages, where
// the default store overwrites zeros in place.
//
// In the file: bucket "meta" says format version and owner; bucket "hard" has a hard state per
// group; bucket "base" the entry before the first one, once there was a compaction or reset; bucket
// "log/"+group has the group's entries, big-endian index to frame. It corresponds to
// com.alipay.sofa.jraft.storage.impl.RocksDBLogStorage.
package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

const (
	version  = 1
	hardHead = 12 // checksum and term

	baseBytes = 20 // checksum, term, index

	// deleteAtOnce is how many compacted entries a write deletes, at most.
	deleteAtOnce = 10_000
)

var (
	metaBucket = []byte("meta")
	hardBucket = []byte("hard")
	baseBucket = []byte("base")
	versionKey = []byte("version")
	ownerKey   = []byte("owner")
)

// Options say whose log it is. A file of another peer or cluster is refused.
type Options struct {
	Cluster string // the cluster id; may be empty
	Peer    raft.PeerID
}

// Store is a [logmanager.Store] in a bbolt file.
type Store struct {
	db     *bbolt.DB
	failed error // belongs to the goroutine that writes
}

var _ logmanager.Store = (*Store)(nil)

// Open opens the file, or makes it, for this process alone. Errors: raft.ErrWrongCluster;
// raft.ErrCorrupt; an error that says so if another process has the file for more than a second.
func Open(path string, o Options) (*Store, error) {
	if err := errors.Join(o.Peer.Validate(), raft.ValidateCluster(o.Cluster)); err != nil {
		return nil, fmt.Errorf("bolt log: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("bolt log: %s is in use by another process: %w", path, err)
	}
	if err != nil {
		return nil, failure("open "+path, err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return claim(tx, path, o) }); err != nil {
		return nil, errors.Join(failure("open", err), db.Close())
	}
	return &Store{db: db}, nil
}

// claim writes version and owner into a new file, and checks them in an old one.
func claim(tx *bbolt.Tx, path string, o Options) error {
	owner := []byte(o.Cluster + "/" + string(o.Peer))
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		meta, err := tx.CreateBucket(metaBucket)
		if err == nil {
			_, err = tx.CreateBucket(hardBucket)
		}
		if err != nil {
			return err
		}
		if _, err = tx.CreateBucket(baseBucket); err != nil {
			return err
		}
		return errors.Join(meta.Put(versionKey, []byte{version}), meta.Put(ownerKey, owner))
	}
	switch v := meta.Get(versionKey); {
	case len(v) != 1 || tx.Bucket(hardBucket) == nil:
		return fmt.Errorf("%w: %s is not a log", raft.ErrCorrupt, path)
	case v[0] != version:
		return fmt.Errorf("%s has format version %d, this program reads version %d: "+
			"run the newer program", path, v[0], version)
	}
	if found := meta.Get(ownerKey); !bytes.Equal(found, owner) {
		return fmt.Errorf("%w: %s belongs to cluster/peer %q, this is %q",
			raft.ErrWrongCluster, path, found, owner)
	}
	_, err := tx.CreateBucketIfNotExists(baseBucket)
	return err
}

func logBucket(g raft.GroupID) []byte { return []byte("log/" + g) }

func key(i raft.Index) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// Load reads the whole log of the group once, to learn its terms and configurations.
func (s *Store) Load(group raft.GroupID) (logmanager.Stored, error) {
	var st logmanager.Stored
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		if st.HardState, err = hardState(tx, group); err != nil {
			return err
		}
		if st.Base, err = compactedTo(tx, group); err != nil {
			return err
		}
		st.Last = st.Base
		b := tx.Bucket(logBucket(group))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.Seek(key(st.Base.Index + 1)); k != nil; k, v = c.Next() {
			e, err := decode(group, st.Last.Index+1, k, v)
			if err != nil {
				return err
			}
			if e.Term != st.Last.Term || len(st.Runs) == 0 {
				st.Runs = append(st.Runs, logmanager.Run{First: e.Index, Term: e.Term})
			}
			if e.Kind == raft.EntryConfiguration {
				own, _, _ := raft.DecodeFrame(slices.Clone(v)) // verified above
				st.Configurations = append(st.Configurations, own)
			}
			st.Last = e.ID()
		}
		return nil
	})
	return st, failure("load", err)
}

// decode verifies the entry that is to have an index. It keeps using v's memory.
func decode(group raft.GroupID, want raft.Index, k, v []byte) (raft.Entry, error) {
	e, n, err := raft.DecodeFrame(v)
	if err != nil {
		return e, fmt.Errorf("group %s, entry %d: %w", group, want, err)
	}
	if n != len(v) || e.Index != want || !bytes.Equal(k, key(want)) {
		return e, fmt.Errorf("%w: group %s has entry %d at key %x where entry %d belongs",
			raft.ErrCorrupt, group, e.Index, k, want)
	}
	return e, nil
}

func hardState(tx *bbolt.Tx, group raft.GroupID) (hs raft.HardState, err error) {
	v := tx.Bucket(hardBucket).Get([]byte(group))
	if v == nil {
		return hs, nil
	}
	if len(v) < hardHead || raft.Checksum(v[4:]) != binary.LittleEndian.Uint32(v) {
		return hs, fmt.Errorf("%w: hard state of group %s", raft.ErrCorrupt, group)
	}
	hs.Term = raft.Term(binary.LittleEndian.Uint64(v[4:]))
	hs.Vote = raft.PeerID(v[hardHead:])
	return hs, nil
}

// Write carries out the writes in one transaction. See [logmanager.Store].
func (s *Store) Write(batch []logmanager.Write) error {
	if s.failed != nil {
		return s.failed
	}
	s.failed = failure("write", s.db.Update(func(tx *bbolt.Tx) error {
		ends := map[raft.GroupID]raft.Index{}
		for i := range batch {
			if err := write(tx, &batch[i], ends); err != nil {
				return err
			}
		}
		return nil
	}))
	return s.failed
}

// write carries out one write. ends holds the last index of the groups written to before in this
// transaction: a bbolt cursor must not look for the end behind pages that were emptied.
func write(tx *bbolt.Tx, w *logmanager.Write, ends map[raft.GroupID]raft.Index) error {
	if err := w.Group.Validate(); err != nil {
		return err
	}
	if hs := w.HardState; hs != nil {
		v := binary.LittleEndian.AppendUint64(make([]byte, 4), uint64(hs.Term))
		v = append(v, hs.Vote...)
		binary.LittleEndian.PutUint32(v, raft.Checksum(v[4:]))
		if err := tx.Bucket(hardBucket).Put([]byte(w.Group), v); err != nil {
			return err
		}
	}
	if err := reset(tx, w, ends); err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(logBucket(w.Group))
	if err != nil {
		return err
	}
	b.FillPercent = 0.9 // keys only ever rise
	first, err := compactedTo(tx, w.Group)
	if err != nil {
		return err
	}
	end, known := ends[w.Group]
	if !known {
		if end = first.Index; lastKey(b) > end {
			end = lastKey(b)
		}
	}
	if w.Truncate != 0 && w.Truncate <= first.Index {
		return fmt.Errorf("group %s: truncation from %d, the base is %v", w.Group, w.Truncate, first)
	}
	for ; w.Truncate != 0 && end >= w.Truncate; end-- {
		if err := b.Delete(key(end)); err != nil {
			return err
		}
	}
	for i := range w.Entries {
		e := &w.Entries[i]
		if end++; e.Index != end {
			return fmt.Errorf("group %s: entry %d where entry %d belongs", w.Group, e.Index, end)
		}
		if err := b.Put(key(e.Index), e.Frame()); err != nil {
			return err
		}
	}
	ends[w.Group] = end
	return compact(tx, b, w, first, end)
}

func lastKey(b *bbolt.Bucket) (i raft.Index) {
	if k, _ := b.Cursor().Last(); len(k) == 8 {
		i = raft.Index(binary.BigEndian.Uint64(k))
	}
	return i
}

// reset drops all entries of the group and notes the new base, if the write says so.
func reset(tx *bbolt.Tx, w *logmanager.Write, ends map[raft.GroupID]raft.Index) error {
	if w.Reset == (raft.LogID{}) {
		return nil
	}
	was, err := compactedTo(tx, w.Group)
	if err != nil {
		return err
	}
	if w.Reset.Index < was.Index || w.Reset.Term < was.Term {
		return fmt.Errorf("group %s: reset to %v, the base is %v", w.Group, w.Reset, was)
	}
	err = tx.DeleteBucket(logBucket(w.Group))
	if err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
		return err
	}
	ends[w.Group] = w.Reset.Index
	return putCompacted(tx, w.Group, w.Reset)
}

// compact notes the new base, if the write says so, and deletes some of the entries that are below
// it: a bounded number, so that no write takes long. Nobody sees those that are left.
func compact(
	tx *bbolt.Tx, b *bbolt.Bucket, w *logmanager.Write, first raft.LogID, end raft.Index,
) error {
	if w.Compact > first.Index {
		if w.Compact > end {
			return fmt.Errorf("group %s: compaction up to %d, the log ends at %d", w.Group, w.Compact, end)
		}
		e, err := decode(w.Group, w.Compact, key(w.Compact), b.Get(key(w.Compact)))
		if err != nil {
			return err
		}
		first = e.ID()
		if err := putCompacted(tx, w.Group, first); err != nil {
			return err
		}
	}
	k, _ := b.Cursor().First()
	if len(k) != 8 {
		return nil
	}
	old := raft.Index(binary.BigEndian.Uint64(k))
	for n := 0; n < deleteAtOnce && old <= first.Index; n++ {
		if err := b.Delete(key(old)); err != nil {
			return err
		}
		old++
	}
	return nil
}

func compactedTo(tx *bbolt.Tx, group raft.GroupID) (id raft.LogID, err error) {
	v := tx.Bucket(baseBucket).Get([]byte(group))
	if v == nil {
		return id, nil
	}
	if len(v) != baseBytes || raft.Checksum(v[4:]) != binary.LittleEndian.Uint32(v) {
		return id, fmt.Errorf("%w: base of group %s", raft.ErrCorrupt, group)
	}
	id.Term = raft.Term(binary.LittleEndian.Uint64(v[4:]))
	id.Index = raft.Index(binary.LittleEndian.Uint64(v[12:]))
	return id, nil
}

func putCompacted(tx *bbolt.Tx, group raft.GroupID, id raft.LogID) error {
	v := binary.LittleEndian.AppendUint64(make([]byte, 4, baseBytes), uint64(id.Term))
	v = binary.LittleEndian.AppendUint64(v, uint64(id.Index))
	binary.LittleEndian.PutUint32(v, raft.Checksum(v[4:]))
	return tx.Bucket(baseBucket).Put([]byte(group), v)
}

// Read appends entries to dst, see [logmanager.Store]; none if the log does not reach up to lo.
func (s *Store) Read(
	group raft.GroupID, lo, hi raft.Index, maxBytes int, dst []raft.Entry,
) ([]raft.Entry, error) {
	err := s.db.View(func(tx *bbolt.Tx) error {
		first, err := compactedTo(tx, group)
		if err != nil {
			return err
		}
		if lo <= first.Index {
			return fmt.Errorf("entry %d, the first one there is %d: %w",
				lo, first.Index+1, raft.ErrCompacted)
		}
		b := tx.Bucket(logBucket(group))
		if b == nil {
			return nil
		}
		c, bytes, none := b.Cursor(), 0, len(dst)
		for k, v := c.Seek(key(lo)); k != nil && lo <= hi; k, v = c.Next() {
			if bytes += len(v); bytes > maxBytes && len(dst) > none {
				return nil
			}
			e, err := decode(group, lo, k, slices.Clone(v))
			if err != nil {
				return err
			}
			dst = append(dst, e)
			lo++
		}
		return nil
	})
	return dst, failure("read", err)
}

// Close releases the file.
func (s *Store) Close() error {
	if s.failed == nil {
		s.failed = fmt.Errorf("bolt log: %w", raft.ErrStopped)
	}
	return failure("close", s.db.Close())
}

func failure(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("bolt log: %s: %w", what, err)
}
