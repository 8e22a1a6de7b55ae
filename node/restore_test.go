package node_test

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// backup returns a backup of what a member has applied.
func (c *cluster) backup(n *node.Node) []byte {
	c.t.Helper()
	var b bytes.Buffer
	_, err := n.Backup(within(c.t, 10*time.Second), &b)
	require.NoError(c.t, err)
	return b.Bytes()
}

// older makes a group with a backup of 30 commands and a state of 60.
func older(t *testing.T, size int, change func(*node.Options)) (
	c *cluster, old []string, b []byte,
) {
	c = newCluster(t, size, func(o *node.Options) {
		asked(o)
		if change != nil {
			change(o)
		}
	})
	c.write(c.leader(), 0, 30)
	b = c.backup(c.leader())
	old = c.converge()
	c.write(c.leader(), 30, 60)
	return c, old, b
}

// slowly has a backup of 3 MiB go through the log in pieces of 4 KiB.
func slowly(o *node.Options) {
	o.StateMachine = &journal{ballast: 3 << 20}
	o.MaxCommandBytes = 4<<10 + raft.RestoreHead
	o.MaxPendingBytes = 64 << 10
}

// midway waits until a member has applied a part of the backup that is being restored.
func (c *cluster) midway(n *node.Node, from raft.Index) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return n.Status().Applied > from+30 }, 15*time.Second,
		200*time.Microsecond)
	require.Less(c.t, n.Status().Applied, from+600, "too late")
}

// restoring begins a restore, and returns what waits for its end.
func restoring(ctx context.Context, n *node.Node, b []byte) (wait func() error) {
	over := make(chan error, 1)
	go func() { over <- n.Restore(ctx, bytes.NewReader(b)) }()
	return func() error { return <-over }
}

func TestRestoreOfARunningGroup(t *testing.T) {
	t.Parallel()
	for _, lead := range []bool{true, false} {
		c, old, backup := older(t, 3, nil)
		on := c.leader()
		if !lead {
			on = c.follower()
		}
		require.NoError(t, on.Restore(within(t, 10*time.Second), bytes.NewReader(backup)))
		require.Equal(t, old, c.converge())
		for _, m := range c.machine {
			require.Equal(t, int64(1), m.restores.Load())
		}
		c.write(c.leader(), 60, 80)
		after := c.converge()
		require.Len(t, after, 50)
		c.snapshot(c.leader())
		for _, p := range c.peers { // from the log, and the leader from its snapshot
			c.stop(p.ID)
		}
		for _, p := range c.peers {
			c.start(p.ID)
		}
		require.Equal(t, after, c.converge())
	}
}

// metaOf remembers how the snapshot that is restored describes itself.
type metaOf struct {
	*journal
	meta *raft.SnapshotMeta
}

func (m metaOf) Restore(r fsm.SnapshotReader) error {
	*m.meta = r.Meta()
	return m.journal.Restore(r)
}

func TestRestoreTellsItsPlace(t *testing.T) {
	t.Parallel()
	var meta raft.SnapshotMeta
	c := newCluster(t, 1, func(o *node.Options) { o.StateMachine = metaOf{&journal{}, &meta} })
	n := c.leader()
	c.write(n, 0, 10)
	backup := c.backup(n)
	c.write(n, 10, 20)
	require.NoError(t, n.Restore(within(t, 10*time.Second), bytes.NewReader(backup)))
	s := n.Status()
	require.Equal(t, raft.LogID{Term: s.Term, Index: s.Applied}, meta.Last)
	require.Equal(t, s.Configuration, meta.Configuration)
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	c, _, backup := older(t, 1, nil)
	other := newCluster(t, 1, func(o *node.Options) {
		asked(o)
		o.Cluster = "other"
	})
	other.write(other.leader(), 0, 1)
	n := c.leader()
	before, want := n.Status().Last, c.converge()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		backup io.Reader
		is     error
	}{
		"empty":    {backup: bytes.NewReader(nil), is: raft.ErrCorrupt},
		"cut off":  {backup: bytes.NewReader(backup[:len(backup)-1]), is: raft.ErrCorrupt},
		"too long": {backup: bytes.NewReader(append(bytes.Clone(backup), 0)), is: raft.ErrCorrupt},
		"damaged": {backup: bytes.NewReader(append(bytes.Clone(backup[:len(backup)-13]), 99,
			backup[len(backup)-12])), is: raft.ErrCorrupt},
		"cluster": {backup: bytes.NewReader(other.backup(other.leader())), is: raft.ErrWrongCluster},
		"reader": {backup: io.MultiReader(bytes.NewReader(backup), failingReader{}),
			is: io.ErrNoProgress},
		"ctx": {ctx: ended, backup: bytes.NewReader(backup), is: context.Canceled},
	} {
		if test.ctx == nil {
			test.ctx = within(t, 10*time.Second)
		}
		err := n.Restore(test.ctx, test.backup)
		require.Error(t, err, name)
		refused(t, err, test.is, raft.NotAppended)
	}
	require.Equal(t, before, n.Status().Last, "nothing was proposed")
	require.Equal(t, want, c.converge())
	require.NoError(t, n.Restore(within(t, 10*time.Second), bytes.NewReader(backup)))
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestRestoreGoesOnWithANewLeader(t *testing.T) {
	t.Parallel()
	c, old, backup := older(t, 3, func(o *node.Options) {
		slowly(o)
		o.ElectionTimeout = 4 * electionTimeout
	})
	on, lead := c.follower(), c.leader()
	from := on.Status().Applied
	wait := restoring(within(t, 30*time.Second), on, backup)
	c.midway(on, from)
	c.stop(lead.Status().ID)
	require.NoError(t, wait())
	require.Equal(t, old, c.converge())
	c.start(lead.Status().ID)
	c.write(c.leader(), 60, 70)
	require.Len(t, c.converge(), 40)
}

func TestRestoreEndsWithItsMember(t *testing.T) {
	t.Parallel()
	c, _, backup := older(t, 3, slowly)
	want := c.converge()
	lead := c.leader()
	from := lead.Status().Applied
	wait := restoring(within(t, 30*time.Second), lead, backup)
	c.midway(lead, from)
	c.stop(lead.Status().ID)
	refused(t, wait(), raft.ErrStopped, raft.NotAppended)
	require.Equal(t, want, c.converge())
	c.write(c.leader(), 60, 70)
	if _, err := c.leader().Snapshot(within(t, 10*time.Second)); err != nil {
		refused(t, err, raft.ErrBusy, raft.NotAppended) // unless it could still give it up
	}

	// Another one takes its place; the member that was stopped learns of both from the log.
	require.NoError(t, c.leader().Restore(within(t, 30*time.Second), bytes.NewReader(backup)))
	c.start(lead.Status().ID)
	require.Len(t, c.converge(), 30)
	c.snapshot(c.leader())
}

func TestRestoreWhileAMemberRestarts(t *testing.T) {
	t.Parallel()
	c, old, backup := older(t, 3, slowly)
	lead, id := c.leader(), c.follower().Status().ID
	from := lead.Status().Applied
	wait := restoring(within(t, 30*time.Second), lead, backup)
	c.midway(c.nodes[id], from)
	c.stop(id)
	c.start(id) // stages again what the log has of it
	require.NoError(t, wait())
	require.Equal(t, old, c.converge())
	require.Equal(t, int64(1), c.machine[id].restores.Load())
}

// A restore holds up snapshots; when its ctx ends it is over on all members.
func TestRestoreIsGivenUp(t *testing.T) {
	t.Parallel()
	c, _, backup := older(t, 3, slowly)
	want := c.converge()
	lead := c.leader()
	from := lead.Status().Applied
	ctx, cancel := context.WithCancel(context.Background())
	wait := restoring(ctx, lead, backup)
	c.midway(lead, from)
	_, err := lead.Snapshot(within(t, 10*time.Second))
	refused(t, err, raft.ErrBusy, raft.NotAppended)
	require.ErrorContains(t, err, "is being restored, since entry")
	cancel()
	refused(t, wait(), context.Canceled, raft.NotAppended)
	for _, n := range c.nodes {
		c.eventually(func() bool {
			_, err := n.Snapshot(within(t, 10*time.Second))
			return err == nil
		})
	}
	require.Equal(t, want, c.converge())
}

// TestRestoreNeedsLittleMemory restores more than may be pending, and looks at the heap.
func TestRestoreNeedsLittleMemory(t *testing.T) {
	const size = 64 << 20
	c, old, backup := older(t, 1, func(o *node.Options) { o.StateMachine = &journal{ballast: size} })
	n := c.leader()
	var most, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&most)
	base := most.HeapAlloc
	wait := restoring(within(t, 60*time.Second), n, backup)
	over := make(chan error)
	go func() { over <- wait() }()
	for done := false; !done; {
		select {
		case err := <-over:
			require.NoError(t, err)
			done = true
		case <-time.After(50 * time.Millisecond):
			runtime.GC()
			runtime.ReadMemStats(&now)
			most.HeapAlloc = max(most.HeapAlloc, now.HeapAlloc)
		}
	}
	runtime.KeepAlive(backup)
	t.Logf("%d MiB over the base", (most.HeapAlloc-base)>>20)
	require.Less(t, most.HeapAlloc-base, uint64(size/2), "it was never in memory as a whole")
	require.Equal(t, old, c.converge())
}
