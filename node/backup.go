package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// Backup takes a snapshot as [Node.Snapshot] does and writes it to w, every byte checked. It is for
// [Import]. If w fails, what it got is of no use; a backup that was cut off is told from a whole one.
func (n *Node) Backup(ctx context.Context, w io.Writer) (raft.SnapshotMeta, error) {
	for {
		meta, err := n.Snapshot(ctx)
		if err != nil {
			return meta, err
		}
		err = n.snapshots.Export(backupWriter{ctx, n, w}, meta.Last)
		if err == nil {
			return meta, nil
		}
		// Newer ones may have taken its place already; but once something was written it stays.
		if newest, _ := n.snapshots.Newest(); !errors.Is(err, snapshot.ErrGone) ||
			newest.Last.Index <= meta.Last.Index {
			return raft.SnapshotMeta{}, n.wrap("backup", raft.NotAppended, err)
		}
	}
}

// backupWriter ends a backup when its caller or the member does.
type backupWriter struct {
	ctx  context.Context
	node *Node
	w    io.Writer
}

// Write implements io.Writer.
func (b backupWriter) Write(p []byte) (int, error) {
	if err := errors.Join(b.node.ended(), b.ctx.Err()); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}

// Export writes the newest snapshot of a member that does not run to w, for [Import]. Of the options it
// needs Dir, ID, Group and Cluster. What was applied after that snapshot is not in it: where the member
// can be started, [Node.Backup] is better.
func Export(o Options, w io.Writer) (meta raft.SnapshotMeta, err error) {
	o = o.withDefaults()
	if _, err := os.Stat(o.Dir); err != nil { // opening would make it
		return meta, fmt.Errorf("node: export: %w", err)
	}
	s, err := openSnapshots(o, o.Logger)
	if err != nil {
		return meta, fmt.Errorf("node: export: open the snapshots: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	newest, ok := s.Newest()
	if !ok {
		return meta, fmt.Errorf("node: export: %w in %s", snapshot.ErrGone, o.Dir)
	}
	if err := s.Export(w, newest.Last); err != nil {
		return meta, fmt.Errorf("node: export: %w", err)
	}
	return newest, nil
}

// Import makes the data directory of a member of a new group out of a backup. It is called for each of
// the group's first members, with the same backup and the options that the member is then started
// with; of these it needs Dir, which must not exist or be empty, ID, Group, Cluster, Peers and Learners.
// The group begins with the state of the backup, and with Peers and Learners for its members.
//
// Cluster and group must be those of the backup ([raft.ErrWrongCluster]). No member of the old group
// may run any more: it would take the new ones for its own. A backup that is damaged or cut off is
// [raft.ErrCorrupt]. After an error Dir is as it was.
func Import(o Options, r io.Reader) (meta raft.SnapshotMeta, err error) {
	o = o.withDefaults()
	bad := func(field string, value any, need string) {
		err = errors.Join(err, fmt.Errorf("node: Options.%s is %v, need %s", field, value, need))
	}
	identity := o.validateIdentity(bad)
	err = errors.Join(err, errors.Join(identity...))
	if o.Dir == "" {
		bad("Dir", `""`, "a directory")
	}
	if len(o.Peers) == 0 {
		bad("Peers", "empty", "the voters of the new group")
	}
	if err != nil {
		return meta, err
	}
	if there, err := os.ReadDir(o.Dir); err == nil && len(there) > 0 {
		return meta, fmt.Errorf("node: import: %s is not empty: remove it first, or name another", o.Dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return meta, fmt.Errorf("node: import: %w", err)
	}
	// All of it appears at once, so that no member ever starts with half of it.
	target := filepath.Clean(o.Dir)
	o.Dir = target + ".import"
	if err := os.RemoveAll(o.Dir); err != nil {
		return meta, fmt.Errorf("node: import: %w", err)
	}
	if meta, err = o.importSnapshot(r); err == nil {
		err = o.importLog(meta)
	}
	if err == nil {
		err = moveDir(o.Dir, target)
	}
	if err != nil {
		return raft.SnapshotMeta{}, fmt.Errorf("node: import: %w", errors.Join(err, os.RemoveAll(o.Dir)))
	}
	return meta, nil
}

func (o *Options) importSnapshot(r io.Reader) (meta raft.SnapshotMeta, err error) {
	s, err := openSnapshots(*o, o.Logger)
	if err != nil {
		return meta, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Import(r)
}

// importLog makes a log that goes on after the snapshot. Its one entry is the new configuration: the
// same on every member, as if a leader of the next term had sent it (§5.3, Log Matching). The term and
// the index differ from those of all entries that the old group may have appended in the term of the
// snapshot's last.
func (o *Options) importLog(meta raft.SnapshotMeta) (err error) {
	s, err := openLog(*o, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	term, index := meta.Last.Term+1, meta.Last.Index+1
	c := o.firstConfiguration()
	c.Index = index
	entry, _ := raft.MakeEntry(nil, term, index, raft.EntryConfiguration, raft.EncodeConfiguration(c))
	return s.Write([]logmanager.Write{{
		Seq: 1, Group: o.Group, HardState: &raft.HardState{Term: term}, Reset: meta.Last,
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
	if runtime.GOOS == "windows" { // its directories can't be synced
		return nil
	}
	parent, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}
