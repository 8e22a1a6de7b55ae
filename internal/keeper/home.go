package keeper

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
	"github.com/jraft-go/jraft/transport"
)

// What a data directory holds.
const (
	logDir      = "log"
	snapshotDir = "snapshot"
)

// Home is the data directory of a member.
type Home struct {
	Dir    string
	Member transport.Member // without a group: that of the log
	Keep   int              // snapshots
	Logger *slog.Logger
}

// OpenLog opens the log, which is made if it is not there. One that another group has begun is
// refused: this one would begin anew, in vain, beside it.
func (h Home) OpenLog() (*logmanager.Segments, error) {
	s, err := logmanager.OpenDir(filepath.Join(h.Dir, logDir), logmanager.SegmentOptions{
		Cluster: h.Member.Cluster, Peer: h.Member.ID, Logger: h.Logger,
		Holder: fmt.Sprintf("member %s of group %s", h.Member.ID, h.Member.Group),
	})
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	groups, mine := s.Groups(), h.Member.Group
	if mine != "" && len(groups) > 0 && !slices.Contains(groups, mine) {
		err := fmt.Errorf("open the log: %w: %s is of group %s, not %s", raft.ErrWrongCluster, h.Dir,
			groups[0], mine)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenSnapshots opens the store of snapshots, which is made if it is not there.
func (h Home) OpenSnapshots() (*snapshot.Files, error) {
	s, err := snapshot.OpenDir(filepath.Join(h.Dir, snapshotDir), snapshot.Options{
		Cluster: h.Member.Cluster, Group: h.Member.Group, Peer: h.Member.ID,
		Keep: h.Keep, Logger: h.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	return s, nil
}

// Export writes the newest sound snapshot to w.
func (h Home) Export(w io.Writer) (meta raft.SnapshotMeta, err error) {
	if _, err := os.Stat(h.Dir); err != nil {
		return meta, err
	}
	gone := fmt.Errorf("%w in %s", snapshot.ErrGone, h.Dir)
	if _, err := os.Stat(filepath.Join(h.Dir, snapshotDir)); err != nil { // opening would make it
		return meta, errors.Join(gone, err)
	}
	s, err := h.OpenSnapshots()
	if err != nil {
		return meta, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, newest := range s.All() {
		damage := s.Verify(newest.Last) // before anything is written, which could not be taken back
		if damage == nil {
			return newest, s.Export(w, newest.Last)
		}
		err = errors.Join(err, damage)
	}
	return meta, errors.Join(gone, err)
}

// Import makes the directory, which must not exist or be empty, out of an exported snapshot. It is
// the home of a member of a new group, whose configuration is the one given. All of it appears at
// once, so that no member ever starts with half of it.
func (h Home) Import(first raft.Configuration, r io.Reader) (meta raft.SnapshotMeta, err error) {
	there, err := os.ReadDir(h.Dir)
	switch {
	case err == nil && len(there) > 0:
		return meta, fmt.Errorf("%s is not empty: remove it first, or name another", h.Dir)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return meta, err
	}
	target := filepath.Clean(h.Dir)
	h.Dir = target + ".import"
	if err := removeLeft(h.Dir); err != nil {
		return meta, err
	}
	if meta, err = h.importSnapshot(r); err == nil {
		err = h.importLog(first, meta)
	}
	if err == nil {
		err = moveDir(h.Dir, target)
	}
	if err != nil {
		return raft.SnapshotMeta{}, errors.Join(err, os.RemoveAll(h.Dir))
	}
	return meta, nil
}

// removeLeft removes what an import that was killed has left, and nothing that is anybody else's.
func removeLeft(dir string) error {
	left, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range left {
		if e.Name() != logDir && e.Name() != snapshotDir {
			return fmt.Errorf("%s is needed for a while, and holds %s, which no import has left: move it "+
				"away, or name another directory", dir, e.Name())
		}
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func (h Home) importSnapshot(r io.Reader) (meta raft.SnapshotMeta, err error) {
	s, err := h.OpenSnapshots()
	if err != nil {
		return meta, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Import(r)
}

// importLog makes a log that goes on after the snapshot. Its one entry is the new configuration:
// the same on every member, as if a leader of the next term had sent it (§5.3, Log Matching).
func (h Home) importLog(first raft.Configuration, meta raft.SnapshotMeta) (err error) {
	s, err := h.OpenLog()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	term, index := meta.Last.Term+1, meta.Last.Index+1
	entry, _ := raft.MakeEntry(nil, term, index, raft.EntryConfiguration,
		raft.EncodeConfiguration(first))
	return s.Write([]logmanager.Write{{
		Seq: 1, Group: h.Member.Group, HardState: &raft.HardState{Term: term}, Reset: meta.Last,
		Entries: []raft.Entry{entry},
	}})
}

// moveDir gives a directory its name, durably. An empty one that has the name makes way.
func moveDir(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // its directories can't be synced
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
