package node_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// carrier counts fetches that succeed, and can hold them up.
type carrier struct {
	transport.Transport
	gate    func(ctx context.Context, begun int64) // nil: open
	begun   atomic.Int64
	fetched atomic.Int64
	bytes   atomic.Int64
}

func (c *carrier) Fetch(
	ctx context.Context, addr string, call transport.Call, request []byte,
) ([]byte, error) {
	if n := c.begun.Add(1); c.gate != nil {
		c.gate(ctx, n)
	}
	reply, err := c.Transport.Fetch(ctx, addr, call, request)
	if err == nil {
		c.fetched.Add(1)
		c.bytes.Add(int64(len(reply)))
	}
	return reply, err
}

// stuckAfter lets n fetches pass and holds up the others until they are given up.
func stuckAfter(n int64, stuck chan<- struct{}) func(context.Context, int64) {
	var once sync.Once
	return func(ctx context.Context, begun int64) {
		if begun > n {
			once.Do(func() { close(stuck) })
			<-ctx.Done()
		}
	}
}

const ballast = 6 << 20 // of a journal, where its snapshot is to have several chunks

// away makes a group of three in which one member is stopped, and needs a snapshot.
func away(t *testing.T, change func(*node.Options)) (c *cluster, lead *node.Node, id raft.PeerID) {
	c = newCluster(t, 3, func(o *node.Options) {
		asked(o)
		o.StateMachine = &journal{ballast: ballast}
		if change != nil {
			change(o)
		}
	})
	lead = c.leader()
	id = c.follower().Status().ID
	c.stop(id)
	c.write(lead, 0, 50)
	c.snapshot(lead)
	return c, lead, id
}

// carry starts a member again, with a transport that counts.
func (c *cluster) carry(id raft.PeerID, gate func(context.Context, int64)) (*node.Node, *carrier) {
	before := c.change
	defer func() { c.change = before }()
	var counted *carrier
	c.change = func(o *node.Options) {
		before(o)
		counted = &carrier{Transport: o.Transport, gate: gate}
		o.Transport = counted
	}
	return c.start(id), counted
}

func TestFollowerFetchesSnapshot(t *testing.T) {
	t.Parallel()
	c, lead, id := away(t, nil)
	term := lead.Status().Term
	n, counted := c.carry(id, nil)
	var wrote sync.WaitGroup
	wrote.Go(func() { c.write(lead, 50, 500) }) // meanwhile
	c.eventually(func() bool { return n.Status().Snapshot.Last == lead.Status().Snapshot.Last })
	wrote.Wait()
	require.Len(t, c.converge(), 500)
	require.Equal(t, int64(1), c.machine[id].restores.Load())
	require.LessOrEqual(t, counted.fetched.Load(), int64(ballast>>20+2))
	require.Equal(t, term, lead.Status().Term, "heartbeats go on")
	for command, count := range c.machine[id].counts() {
		require.Equal(t, 1, count, "%x", command)
	}
	c.stop(id) // and it starts again from what it has fetched
	c.start(id)
	require.Equal(t, int64(1), c.machine[id].restores.Load())
	require.Len(t, c.converge(), 500)
}

func TestProgressOfInstall(t *testing.T) {
	t.Parallel()
	c, lead, id := away(t, nil)
	stuck := make(chan struct{})
	n, _ := c.carry(id, stuckAfter(4, stuck))
	<-stuck
	want := lead.Status().Snapshot
	c.eventually(func() bool {
		s := n.Status()
		return s.Pulling.Last == want.Last && s.PullingBytes > 0
	})
	c.eventually(func() bool {
		for _, p := range lead.Status().Peers {
			if p.ID == id {
				return p.State == "snapshot" && p.Snapshot.Last == want.Last && p.SnapshotBytes > 0 &&
					p.LastHeard < electionTimeout*4
			}
		}
		return false
	})
	require.Equal(t, ballast, int(want.Bytes/ballast*ballast))
	c.write(lead, 50, 100) // the others go on, and so do reads on the member itself
	_, err := n.Read(within(t, 100*time.Millisecond), node.Mode(node.Stale))
	require.NoError(t, err)
	begun := time.Now()
	c.stop(id) // in the middle
	require.Less(t, time.Since(begun), 5*time.Second)
}

func TestReceiverRestartsMidway(t *testing.T) {
	t.Parallel()
	c, _, id := away(t, nil)
	stuck := make(chan struct{})
	n, first := c.carry(id, stuckAfter(4, stuck))
	<-stuck
	c.eventually(func() bool { return n.Status().PullingBytes == 3<<20 }) // and the manifest
	c.stop(id)
	_, second := c.carry(id, nil)
	c.eventually(func() bool { return c.machine[id].restores.Load() == 1 })
	require.Len(t, c.converge(), 50)
	require.Less(t, first.bytes.Load()+second.bytes.Load(), int64(ballast+1<<20), "nothing twice")
	require.Greater(t, first.bytes.Load(), int64(3<<20))
}

func TestSourceStopsMidway(t *testing.T) {
	t.Parallel()
	c, lead, id := away(t, nil)
	var other *node.Node
	for _, n := range c.nodes {
		if n != lead {
			other = n
		}
	}
	require.NoError(t, other.WaitApplied(within(t, 10*time.Second), lead.Status().Applied))
	require.Equal(t, c.snapshot(lead).Last, c.snapshot(other).Last) // the same state, taken by another
	stuck, open := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n, counted := c.carry(id, func(ctx context.Context, begun int64) {
		if begun <= 4 {
			return
		}
		once.Do(func() { close(stuck) })
		select {
		case <-open:
		case <-ctx.Done():
		}
	})
	<-stuck
	c.eventually(func() bool { return n.Status().PullingBytes == 3<<20 })
	c.stop(lead.Status().ID)
	close(open)
	c.eventually(func() bool { return n.Status().Snapshot.Last == other.Status().Snapshot.Last })
	require.Len(t, c.converge(), 50)
	require.Equal(t, c.leader().Status().ID, other.Status().ID)
	require.Less(t, counted.bytes.Load(), int64(ballast+2<<20), "what was here was not sent again")
}

// TestNothingComes: a follower whose requests all fail says why, though it goes on.
func TestNothingComes(t *testing.T) {
	t.Parallel()
	c, lead, id := away(t, nil)
	var said synchronized
	before, open := c.change, atomic.Bool{}
	c.change = func(o *node.Options) {
		before(o)
		o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		o.Transport = dropping{o.Transport, &open}
	}
	n := c.start(id)
	c.eventually(func() bool { return strings.Contains(said.String(), "nobody there") })
	open.Store(true)
	c.eventually(func() bool { return n.Status().Snapshot.Last == lead.Status().Snapshot.Last })
	require.Equal(t, 1, strings.Count(said.String(), "nobody there"))
	require.Len(t, c.converge(), 50)
}

// dropping refuses all fetches until it is open.
type dropping struct {
	transport.Transport
	open *atomic.Bool
}

func (d dropping) Fetch(
	ctx context.Context, addr string, call transport.Call, request []byte,
) ([]byte, error) {
	if !d.open.Load() {
		return nil, errors.New("nobody there")
	}
	return d.Transport.Fetch(ctx, addr, call, request)
}

// synchronized is a buffer for several goroutines.
type synchronized struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *synchronized) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synchronized) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	const rate = 4 << 20
	for name, change := range map[string]func(o *node.Options, receiver bool){
		"receiver": func(o *node.Options, receiver bool) {
			if receiver {
				o.Snapshot.BytesPerSecond = rate
			}
		},
		"sender": func(o *node.Options, receiver bool) {
			if !receiver {
				o.Snapshot.BytesPerSecond = rate
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var receiver atomic.Pointer[raft.PeerID]
			c, lead, id := away(t, func(o *node.Options) {
				r := receiver.Load()
				change(o, r != nil && *r == o.ID)
			})
			receiver.Store(&id)
			term := lead.Status().Term
			begun := time.Now()
			n, _ := c.carry(id, nil)
			c.eventually(func() bool { return n.Status().Snapshot.Last == lead.Status().Snapshot.Last })
			took := time.Since(begun)
			require.Greater(t, took, time.Second*(ballast-rate/2)/rate, "1 MiB is free, and the rest is not")
			require.Equal(t, term, lead.Status().Term)
			require.Len(t, c.converge(), 50)
		})
	}
}

func TestInstallFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(fsm.SnapshotReader) error{
		"error": func(fsm.SnapshotReader) error { return errors.New("poisoned") },
		"panic": func(fsm.SnapshotReader) error { panic("poisoned") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var bad atomic.Bool
			c, _, id := away(t, func(o *node.Options) {
				if bad.Load() {
					o.StateMachine.(*journal).restoring = fail
				}
			})
			bad.Store(true)
			n := c.start(id)
			c.failed(n, "poisoned")
			_, err := node.Start(c.options(id))
			require.ErrorContains(t, err, "poisoned", "the snapshot is published, and tried again")
			bad.Store(false)
			c.start(id)
			require.Len(t, c.converge(), 50)
		})
	}
}

// TestStopDuringRestore has a state machine that never gets enough of a snapshot.
func TestStopDuringRestore(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	var greedy atomic.Bool
	c, _, id := away(t, func(o *node.Options) {
		if greedy.Load() {
			o.StateMachine.(*journal).restoring = func(r fsm.SnapshotReader) error {
				close(entered)
				for {
					if _, err := r.Read(nil); err != nil {
						return err
					}
				}
			}
		}
	})
	greedy.Store(true)
	c.start(id)
	<-entered
	c.stop(id)
	greedy.Store(false)
	c.start(id)
	require.Len(t, c.converge(), 50)
}

// sieve drops entries on their way to one address.
type sieve struct {
	transport.Transport
	to *atomic.Pointer[string]
}

func (s sieve) Send(addr string, msgs []raft.Message) {
	if to := s.to.Load(); to != nil && *to == addr {
		msgs = slices.Clone(msgs)
		msgs = slices.DeleteFunc(msgs, func(m raft.Message) bool {
			append, ok := m.Body.(*raft.AppendEntries)
			return ok && len(append.Entries) > 0
		})
	}
	s.Transport.Send(addr, msgs)
}

// TestWaitersAtInstall has a member forward commands, learn their places, and then get a snapshot
// instead of the entries: what became of them is unknown, and each is reported once.
func TestWaitersAtInstall(t *testing.T) {
	t.Parallel()
	var to atomic.Pointer[string]
	c := newCluster(t, 3, func(o *node.Options) {
		asked(o)
		o.Transport = sieve{o.Transport, &to}
	})
	lead, n := c.leader(), c.follower()
	c.write(lead, 0, 10)
	c.converge()
	addr := string(n.Status().ID) + ":1"
	to.Store(&addr)
	outcomes := make(chan error, 10)
	for i := range 5 {
		n.Submit(number(10+i), func(_ node.Result, err error) { outcomes <- err })
	}
	at := lead.Status().ID
	c.eventually(func() bool { return len(c.machine[at].all()) == 15 })
	reached := n.WaitApplied // somebody else who waits is content with the snapshot
	waited := make(chan error, 1)
	meta := c.snapshot(lead)
	go func() { waited <- reached(within(t, 10*time.Second), meta.Last.Index-1) }()
	to.Store(nil)
	for range 5 {
		refused(t, <-outcomes, raft.ErrCompacted, raft.Unknown)
	}
	require.NoError(t, <-waited)
	require.Equal(t, int64(1), c.machine[n.Status().ID].restores.Load())
	r, err := n.Apply(within(t, 10*time.Second), number(15))
	require.NoError(t, err)
	require.Equal(t, 16, r.Value)
	require.Len(t, c.converge(), 16)
}

// TestDamagedSnapshotIsReplaced damages what a follower is about to fetch.
func TestDamagedSnapshotIsReplaced(t *testing.T) {
	t.Parallel()
	c, lead, id := away(t, nil)
	meta := lead.Status().Snapshot
	c.damage(lead.Status().ID, meta.Last)
	c.start(id)
	c.eventually(func() bool { return c.machine[id].restores.Load() == 1 })
	require.Len(t, c.converge(), 50)
}
