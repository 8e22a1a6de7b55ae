package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// publish gives a finished directory, whose files are synced, the name of a snapshot.
//
// Invariant: a directory named snap-... has a durable manifest and all files that it names, durable
// too. Snapshots that are there already are not touched before this one is durable.
func (f *Files) publish(dir string, m *manifest) (raft.SnapshotMeta, error) {
	invariant.Check(m.raw != nil, "a manifest is complete before it is published",
		uint64(m.last.Index))
	defer f.changes.hold()()
	target := path.Join(f.dir, keptName(m.last))
	if k, err := f.use(m.last); err == nil { // somebody was faster, with the same state
		defer f.release(k)
		return k.manifest.meta(), failed("remove "+dir, removeTree(f.files, dir))
	}
	if err := f.files.SyncDir(dir); err != nil {
		return raft.SnapshotMeta{}, failed("sync "+dir, err)
	}
	if _, err := f.files.List(target); err == nil {
		if err := f.remove(path.Base(target)); err != nil { // a damaged one
			return raft.SnapshotMeta{}, err
		}
	}
	if err := f.files.Rename(dir, target); err != nil {
		return raft.SnapshotMeta{}, failed("publish "+target, err)
	}
	if err := f.files.SyncDir(f.dir); err != nil {
		return raft.SnapshotMeta{}, failed("sync "+f.dir, err)
	}
	defer f.guard.hold()()
	f.kept = slices.DeleteFunc(f.kept, func(k *kept) bool { return k.last == m.last })
	f.kept = append(f.kept, &kept{last: m.last, manifest: m, asked: -1})
	slices.SortFunc(f.kept, newestFirst)
	return m.meta(), nil
}

// remove removes the directory of a snapshot. First it takes the name away, durably: what is named
// as a snapshot has all its files at any time.
func (f *Files) remove(name string) error {
	from, to := path.Join(f.dir, name), path.Join(f.dir, oldPrefix+name)
	if err := f.files.Rename(from, to); err != nil {
		return failed("remove "+from, err)
	}
	if err := f.files.SyncDir(f.dir); err != nil {
		return failed("sync "+f.dir, err)
	}
	return failed("remove "+from, removeTree(f.files, to))
}

// askedFor is how long a snapshot stays after a piece of it was asked for.
const askedFor = time.Minute

// Collect removes what is not needed any more. What an error leaves is removed by the next one.
func (f *Files) Collect(now time.Duration) error {
	defer f.changes.hold()()
	if err := f.removeOld(); err != nil {
		return err
	}
	gone := f.surplus(now)
	for i, k := range gone {
		if err := f.remove(keptName(k.last)); err != nil {
			f.putBack(gone[i:])
			return err
		}
	}
	return f.collectReceived()
}

// removeOld ends removals that an error has interrupted.
func (f *Files) removeOld() error {
	names, err := f.files.List(f.dir)
	if err != nil {
		return failed("list "+f.dir, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, oldPrefix) {
			if err := removeTree(f.files, path.Join(f.dir, name)); err != nil {
				return failed("remove "+name, err)
			}
		}
	}
	return nil
}

// putBack lists snapshots again that could not be removed, as far as they still have their names.
func (f *Files) putBack(gone []*kept) {
	gone = slices.DeleteFunc(gone, func(k *kept) bool {
		_, err := f.files.List(path.Join(f.dir, keptName(k.last)))
		return errors.Is(err, fs.ErrNotExist)
	})
	defer f.guard.hold()()
	f.kept = append(f.kept, gone...)
	slices.SortFunc(f.kept, newestFirst)
}

// surplus takes snapshots off the list that may go: those older than the newest ones, damaged ones
// among them.
func (f *Files) surplus(now time.Duration) (gone []*kept) {
	defer f.guard.hold()()
	sound, left := 0, f.kept[:0:0]
	for _, k := range f.kept {
		inUse := k.users > 0 || k.asked >= 0 && now < k.asked+askedFor
		if sound >= f.o.Keep && !inUse {
			gone = append(gone, k)
			continue
		}
		left = append(left, k)
		if !k.damaged {
			sound++
		}
	}
	invariant.Check(len(gone) == 0 || sound >= f.o.Keep, "enough sound snapshots are kept",
		uint64(sound), uint64(len(gone)))
	f.kept = left
	return gone
}

// collectReceived removes what has arrived of snapshots that are older than those here.
func (f *Files) collectReceived() error {
	newest, ok := f.Newest()
	release := f.guard.hold()
	busy := f.filling
	release()
	if busy || !ok {
		return nil
	}
	return f.removeReceived(func(name string, last raft.LogID) bool {
		return last.Index <= newest.Last.Index
	})
}

// removeReceived removes the unfinished receptions that useless picks out.
func (f *Files) removeReceived(useless func(name string, last raft.LogID) bool) error {
	names, err := f.files.List(f.dir)
	if err != nil {
		return failed("list "+f.dir, err)
	}
	for _, name := range names {
		last, ok := parseName(receivedPrefix, name)
		if ok && useless(name, last) {
			if err := removeTree(f.files, path.Join(f.dir, name)); err != nil {
				return failed("remove "+name, err)
			}
		}
	}
	return nil
}

// fresh makes an empty directory for a snapshot in the making.
func (f *Files) fresh(name string) (dir string, err error) {
	dir = path.Join(f.dir, name)
	if _, err := f.files.List(dir); err == nil {
		if err := removeTree(f.files, dir); err != nil {
			return "", failed("remove "+dir, err)
		}
	}
	return dir, failed("make "+dir, f.files.MkdirAll(dir))
}

// begin takes the place of the one writer or the one reception; end gives it back.
func (f *Files) begin(place *bool, what string) error {
	defer f.guard.hold()()
	if *place {
		return fmt.Errorf("snapshot: %w: another snapshot is being %s", raft.ErrBusy, what)
	}
	*place = true
	return nil
}

func (f *Files) end(place *bool) {
	defer f.guard.hold()()
	*place = false
}

func newName(last raft.LogID) string {
	return newPrefix + strings.TrimPrefix(keptName(last), keptPrefix)
}
