package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jraft-go/jraft/internal/keeper"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// SnapshotPolicy says when a member takes a snapshot of its own accord, and what it keeps.
type SnapshotPolicy = keeper.Policy

// Snapshot takes a snapshot of everything that this member has applied, and returns what it is when
// it is durable. There is one at a time: a call joins the one under way if that covers enough. If
// nothing was applied since the newest one, that is the answer. It goes on when ctx ends.
//
// Errors: what the state machine's Snapshot or Save returned; that nothing is applied yet;
// [raft.ErrDiskFull] and other errors of the store. The member goes on after them.
func (n *Node) Snapshot(ctx context.Context) (raft.SnapshotMeta, error) {
	meta, err := n.keeper.Snapshot(ctx, n.applied.Index())
	if err != nil {
		return meta, n.wrap("snapshot", raft.NotAppended, err)
	}
	return meta, nil
}

// Backup takes a snapshot as [Node.Snapshot] does and writes it to w, every byte checked. It is for
// [Import]. If w fails, what it got is of no use; a backup that was cut off is told from a whole
// one.
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

// Export writes the newest snapshot of a member that does not run to w, for [Import]. Of the
// options it needs Dir, ID, Group and Cluster. What was applied after that snapshot is not in it:
// where the member can be started, [Node.Backup] is better.
func Export(o Options, w io.Writer) (meta raft.SnapshotMeta, err error) {
	o = o.withDefaults()
	if meta, err = o.home(o.Logger).Export(w); err != nil {
		return raft.SnapshotMeta{}, fmt.Errorf("node: export: %w", err)
	}
	return meta, nil
}

// Import makes the data directory of a member of a new group out of a backup. It is called for
// each of the group's first members, with the same backup and the options that the member is then
// started with; of these it needs Dir, which must not exist or be empty, ID, Group, Cluster, Peers
// and Learners. The group begins with the state of the backup, and with Peers and Learners for its
// members.
//
// Cluster and group must be those of the backup ([raft.ErrWrongCluster]). No member of the old
// group may run any more: it would take the new ones for its own. A backup that is damaged or cut
// off is [raft.ErrCorrupt]. After an error Dir is as it was.
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
	if meta, err = o.home(o.Logger).Import(o.firstConfiguration(), r); err != nil {
		return meta, fmt.Errorf("node: import: %w", err)
	}
	return meta, nil
}
