package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// SnapshotPolicy says when a member takes a snapshot of its own accord, and what it keeps.
type SnapshotPolicy = snapshot.Policy

// Snapshot takes a snapshot of everything that this member has applied, and returns what it is when
// it is durable. There is one at a time: a call joins the one under way if that covers enough. If
// nothing was applied since the newest one, that is the answer. It goes on when ctx ends. Not to be
// called from within the state machine, which it waits for.
//
// Errors: what the state machine's Snapshot or Save returned; that nothing is applied yet;
// [raft.ErrBusy] while a backup is being restored; [raft.ErrDiskFull] and other errors of the
// store. The member goes on after them.
func (n *Node) Snapshot(ctx context.Context) (raft.SnapshotMeta, error) {
	meta, err := n.keeper.Snapshot(ctx, n.applied.Index())
	if err != nil {
		err = n.wrap("snapshot", raft.NotAppended, err)
	}
	return meta, err
}

// Backup takes a snapshot as [Node.Snapshot] does and writes it to w, every byte checked, for
// [Node.Restore] and [Import]. A backup that was cut off is told from a whole one.
func (n *Node) Backup(ctx context.Context, w io.Writer) (raft.SnapshotMeta, error) {
	meta, err := n.keeper.Backup(ctx, w)
	if err != nil {
		err = n.wrap("backup", raft.NotAppended, err)
	}
	return meta, err
}

// Restore gives the whole group the state of a backup: this member reads and verifies all of it and
// sends it through the log, from which every member takes it, those too that are down now. After it
// returned nil, reads on any member see that state or what was written later. It may be called on
// any member, and goes on when another one becomes the leader. Without a quorum it waits until ctx
// ends; while r is read, that is noticed between two reads.
//
// Commands that are applied before the last piece of the backup change the old state, and are gone
// with it. Meanwhile no snapshots are taken, and the log grows by the size of the backup.
//
// Cluster and group must be those of the backup ([raft.ErrWrongCluster]); one that is damaged, or
// not of the right length, is [raft.ErrCorrupt]. Where [raft.OutcomeOf] the error is
// [raft.NotAppended] nothing has changed. A state machine that fails at it fails all members.
func (n *Node) Restore(ctx context.Context, r io.Reader) error {
	outcome, err := n.keeper.Restore(ctx, r)
	if err != nil {
		err = n.wrap("restore", outcome, err)
	}
	return err
}

func (n *Node) proposeRestore(data []byte, done func(any, error)) {
	n.Submit(data, func(r Result, err error) { done(r.Value, err) },
		func(a *applyOptions) { a.restore = true })
}

// Export writes the newest snapshot of a member that does not run to w. Of the options it needs
// Dir, ID, Group and Cluster. Where the member can be started, [Node.Backup] has more in it.
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
