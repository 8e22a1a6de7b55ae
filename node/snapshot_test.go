package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// asked takes snapshots on request only, and leaves nothing in the log that they cover. A disk that
// is slow for a while must not end a leadership.
func asked(o *node.Options) {
	calm(o)
	o.Snapshot.Entries, o.Snapshot.Bytes, o.Snapshot.TrailingEntries = -1, -1, -1
}

// write applies the numbers lo..hi-1.
func (c *cluster) write(n *node.Node, lo, hi int) {
	c.t.Helper()
	var all sync.WaitGroup
	for i := lo; i < hi; i++ {
		all.Add(1)
		n.Submit(number(i), func(_ node.Result, err error) {
			defer all.Done()
			if err != nil {
				c.t.Errorf("write %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func (c *cluster) snapshot(n *node.Node) raft.SnapshotMeta {
	c.t.Helper()
	meta, err := n.Snapshot(within(c.t, 10*time.Second))
	require.NoError(c.t, err)
	c.eventually(func() bool { return n.Status().Snapshot.Last.Index >= meta.Last.Index })
	return meta
}

func TestRestartFromSnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 50)
	meta := c.snapshot(c.leader())
	require.Equal(t, c.leader().Status().Applied, meta.Last.Index)
	require.Len(t, meta.Configuration.Voters, 1)
	require.NotZero(t, meta.Configuration.Index)
	require.Equal(t, meta.Last.Index+1, c.leader().Status().First)
	again := c.snapshot(c.leader())
	require.Equal(t, meta, again, "nothing was applied since")
	require.Equal(t, int64(1), c.machine["n1"].pins.Load())
	c.write(c.leader(), 50, 60)
	before := c.converge()
	for range 2 {
		c.stop("n1")
		c.start("n1")
		require.Equal(t, meta.Last, c.nodes["n1"].Status().Snapshot.Last)
		require.Equal(t, before, c.converge())
		require.Equal(t, int64(10), c.machine["n1"].applies.Load())
		require.Equal(t, int64(1), c.machine["n1"].restores.Load())
	}
}

// smallSegments makes a log that gives space back soon.
func smallSegments(t *testing.T, dir string) *logmanager.Segments {
	store, err := logmanager.OpenDir(dir, logmanager.SegmentOptions{
		Cluster: "test", Peer: "n1", FirstSegmentBytes: 64 << 10, MaxSegmentBytes: 64 << 10,
	})
	require.NoError(t, err)
	return store
}

// damage changes a byte of a snapshot's state.
func (c *cluster) damage(id raft.PeerID, last raft.LogID) {
	name := fmt.Sprintf("snap-%020d-%010d", last.Index, last.Term)
	state := filepath.Join(c.dirs[id], "snapshot", name, "state")
	b, err := os.ReadFile(state)
	require.NoError(c.t, err)
	b[len(b)/2] ^= 1
	require.NoError(c.t, os.WriteFile(state, b, 0o600))
}

func TestDamagedSnapshotIsPassedOver(t *testing.T) {
	t.Parallel()
	store := smallSegments(t, t.TempDir())
	defer func() { require.NoError(t, store.Close()) }()
	c := newCluster(t, 1, func(o *node.Options) {
		asked(o)
		o.Snapshot.TrailingEntries, o.Store = 15, store
	})
	fill := func(entries int) {
		for range entries {
			_, err := c.leader().Apply(within(t, 10*time.Second), make([]byte, 10_000))
			require.NoError(t, err)
		}
	}
	fill(20)
	older := c.snapshot(c.leader())
	fill(10)
	newer := c.snapshot(c.leader())
	before := c.converge()
	c.eventually(func() bool { // the base of what is on disk
		s, err := store.Load("default")
		return err == nil && s.Base.Index > 0
	})
	c.stop("n1")
	c.damage("n1", newer.Last)
	c.start("n1")
	require.Equal(t, older.Last, c.nodes["n1"].Status().Snapshot.Last)
	require.Equal(t, before, c.converge())
	require.Equal(t, int64(10), c.machine["n1"].applies.Load())
	c.stop("n1")
	c.damage("n1", older.Last)
	_, err := node.Start(c.options("n1"))
	require.ErrorIs(t, err, raft.ErrCorrupt)
	require.ErrorContains(t, err, "restore the missing snapshot")
}

// bytesOn counts what a directory holds.
func bytesOn(t *testing.T, dir string) (total int64) {
	require.NoError(t, filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			total += info.Size()
		}
		return nil // what is being removed may be gone
	}))
	return total
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]node.SnapshotPolicy{
		"entries": {Entries: 200, Bytes: -1, TrailingEntries: 50},
		"bytes":   {Entries: -1, Bytes: 200 << 10, TrailingEntries: 50},
		"time":    {Entries: -1, Bytes: -1, Every: 20 * time.Millisecond, TrailingEntries: 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			store := smallSegments(t, dir)
			defer func() { require.NoError(t, store.Close()) }()
			c := newCluster(t, 1, func(o *node.Options) {
				calm(o)
				o.Snapshot, o.Store = policy, store
			})
			defer c.stopAll()
			n := c.leader()
			for i := range 2000 {
				_, err := n.Apply(within(t, 10*time.Second), make([]byte, 1000))
				require.NoError(t, err, "%d", i)
			}
			c.eventually(func() bool { return n.Status().First > 1500 })
			s := n.Status()
			require.LessOrEqual(t, s.First, s.Last-49, "entries are kept for followers that lag")
			c.eventually(func() bool { return bytesOn(t, dir) < 1<<20 }) // of 2 MB
			pins := c.machine["n1"].pins.Load()
			if name != "time" {
				require.Greater(t, pins, int64(6))
				require.Less(t, pins, int64(16))
			}
			snapshots, err := os.ReadDir(filepath.Join(c.dirs["n1"], "snapshot"))
			require.NoError(t, err)
			require.Less(t, len(snapshots), 6)
			j := c.machine["n1"]
			c.eventually(func() bool { return j.releases.Load() == j.pins.Load() })
		})
	}
}

func TestSnapshotsAreJoined(t *testing.T) {
	t.Parallel()
	entered, gate := make(chan struct{}, 10), make(chan struct{})
	c := newCluster(t, 1, func(o *node.Options) {
		asked(o)
		o.StateMachine = &journal{saving: func(context.Context, fsm.SnapshotWriter) error {
			entered <- struct{}{}
			<-gate
			return nil
		}}
	})
	n := c.leader()
	c.write(n, 0, 10)
	metas := make(chan raft.SnapshotMeta, 10)
	take := func() {
		meta, err := n.Snapshot(within(t, 10*time.Second))
		require.NoError(t, err)
		metas <- meta
	}
	go take()
	<-entered
	require.True(t, n.Status().Saving)
	for range 3 {
		go take()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := n.Snapshot(ctx)
	refused(t, err, context.DeadlineExceeded, raft.NotAppended)
	c.write(n, 10, 20) // goes on meanwhile
	covering := make(chan raft.SnapshotMeta, 1)
	go func() {
		meta, err := n.Snapshot(within(t, 10*time.Second))
		require.NoError(t, err)
		covering <- meta
	}()
	close(gate)
	first := <-metas
	for range 3 {
		require.Equal(t, first, <-metas)
	}
	require.GreaterOrEqual(t, (<-covering).Last.Index, first.Last.Index+10)
	require.Equal(t, int64(2), c.machine["n1"].pins.Load())
	c.eventually(func() bool { return c.machine["n1"].releases.Load() == 2 })
	require.False(t, n.Status().Saving)
	c.converge()
}

func TestSaveFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	var fail atomic.Bool
	c := newCluster(t, 1, func(o *node.Options) {
		asked(o)
		o.Snapshot.Entries = 10
		failing := func() error {
			if fail.Load() {
				return boom
			}
			return nil
		}
		o.StateMachine = &journal{
			pinning: failing,
			saving:  func(context.Context, fsm.SnapshotWriter) error { return failing() },
		}
	})
	n := c.leader()
	_, err := n.Snapshot(within(t, 10*time.Second))
	require.NoError(t, err)
	fail.Store(true)
	c.write(n, 0, 100)
	_, err = n.Snapshot(within(t, 10*time.Second))
	refused(t, err, boom, raft.NotAppended)
	fail.Store(false) // the policy has not forgotten
	c.eventually(func() bool { return n.Status().Snapshot.Last.Index > 90 })
	c.write(n, 100, 110)
	require.NoError(t, n.Err())
	c.converge()
}

func TestSaverPanics(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]*journal{
		"pin":  {pinning: func() error { panic("poisoned") }},
		"save": {saving: func(context.Context, fsm.SnapshotWriter) error { panic("poisoned") }},
		"exit": {saving: func(context.Context, fsm.SnapshotWriter) error {
			runtime.Goexit()
			return nil
		}},
		"pin, exit": {pinning: func() error { runtime.Goexit(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, func(o *node.Options) { asked(o); o.StateMachine = j })
			n := c.leader()
			c.write(n, 0, 10)
			_, err := n.Snapshot(within(t, 10*time.Second))
			refused(t, err, raft.ErrFailed, raft.NotAppended)
			if name == "pin" || name == "save" {
				require.ErrorContains(t, err, "poisoned")
			}
			c.stop("n1")
			if name == "save" || name == "exit" {
				require.Equal(t, int64(1), j.releases.Load())
			}
		})
	}
}

func TestStopDuringSave(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	c := newCluster(t, 1, func(o *node.Options) {
		asked(o)
		o.StateMachine = &journal{saving: func(ctx context.Context, w fsm.SnapshotWriter) error {
			close(entered)
			<-ctx.Done()
			return nil // as if all were well
		}}
	})
	n := c.leader()
	c.write(n, 0, 10)
	failed := make(chan error, 1)
	go func() {
		_, err := n.Snapshot(context.Background())
		failed <- err
	}()
	<-entered
	machine := c.machine["n1"]
	c.stop("n1")
	refused(t, <-failed, raft.ErrStopped, raft.NotAppended)
	require.Equal(t, int64(1), machine.releases.Load())
	c.change = asked
	c.start("n1")
	require.Zero(t, c.machine["n1"].restores.Load(), "half a snapshot is none")
	require.Len(t, c.converge(), 10)
	_, err := n.Snapshot(context.Background())
	refused(t, err, raft.ErrStopped, raft.NotAppended)
}

func TestNothingToSnapshot(t *testing.T) {
	c := newCluster(t, 1, func(o *node.Options) { asked(o); o.Peers = nil })
	_, err := c.nodes["n1"].Snapshot(within(t, 10*time.Second))
	require.ErrorContains(t, err, "nothing is applied yet")
}

func TestRestoreFailsAtStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 10)
	c.snapshot(c.leader())
	c.stop("n1")
	boom := errors.New("boom")
	for _, fail := range []func(fsm.SnapshotReader) error{
		func(fsm.SnapshotReader) error { return boom },
		func(fsm.SnapshotReader) error { panic(boom) },
	} {
		o := c.options("n1")
		o.StateMachine = &journal{restoring: fail}
		_, err := node.Start(o)
		require.ErrorIs(t, err, boom)
	}
	c.start("n1")
	require.Len(t, c.converge(), 10)
}

// TestReadOfCompactedEntries has the store say that entries are gone which somebody is about to
// need, as happens when a snapshot takes their place.
func TestReadOfCompactedEntries(t *testing.T) {
	t.Parallel()
	c, stores := troubledCluster(t, 1, asked)
	c.write(c.leader(), 0, 10)
	c.stop("n1")
	var times atomic.Int64
	gone := func() error {
		if times.Add(1) > 3 {
			return nil
		}
		return fmt.Errorf("it is so: %w", raft.ErrCompacted)
	}
	stores["n1"].read.Store(&gone)
	c.start("n1")
	require.Len(t, c.converge(), 10)
	require.Greater(t, times.Load(), int64(3))
}

// shelf is a state machine that keeps each command in a file.
type shelf struct {
	dir string
	mu  sync.Mutex
	has []string
}

func (s *shelf) Apply(e raft.Entry) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("%d", e.Index)
	s.has = append(s.has, name)
	return os.WriteFile(filepath.Join(s.dir, name), e.Data, 0o600)
}

type shelved struct {
	dir string
	has []string
}

func (s *shelf) Snapshot() (fsm.Saver, error) {
	return &shelved{s.dir, s.has[:len(s.has):len(s.has)]}, nil
}
func (s *shelved) Release() {}
func (s *shelved) Save(_ context.Context, w fsm.SnapshotWriter) error {
	for _, name := range s.has {
		if err := w.AddFile("shelf/"+name, filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) Restore(r fsm.SnapshotReader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.has {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	s.has = nil
	for _, name := range r.Files() {
		f, err := r.OpenFile(name)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		name = filepath.Base(name)
		s.has = append(s.has, name)
		if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) content(t *testing.T) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for _, name := range s.has {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		require.NoError(t, err)
		all[name] = string(b)
	}
	return all
}

func TestFiles(t *testing.T) {
	t.Parallel()
	shelves := map[raft.PeerID]*shelf{}
	c := newCluster(t, 3, func(o *node.Options) {
		asked(o)
		shelves[o.ID] = &shelf{dir: t.TempDir()}
		o.StateMachine = shelves[o.ID]
	})
	lead := c.leader()
	away := c.follower().Status().ID
	c.stop(away)
	c.write(lead, 0, 20)
	meta := c.snapshot(lead)
	require.Equal(t, 20, meta.Files)
	c.write(lead, 20, 25)
	n := c.start(away)
	i, err := n.Read(within(t, 10*time.Second))
	require.NoError(t, err)
	require.Greater(t, i, meta.Last.Index)
	require.Equal(t, shelves[lead.Status().ID].content(t), shelves[away].content(t))
	require.Len(t, shelves[away].has, 25)
	c.eventually(func() bool { return n.Status().Snapshot.Last == meta.Last })
}
