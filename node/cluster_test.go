package node_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is a state machine that remembers every command by its index, and returns how many there
// were.
type journal struct {
	before    func(e raft.Entry) // called before an entry is applied
	pinning   func() error       // called by Snapshot
	saving    func(context.Context, fsm.SnapshotWriter) error
	restoring func(fsm.SnapshotReader) error
	ballast   int // bytes that make snapshots large

	mu       sync.Mutex
	commands []string
	last     raft.Index
	disorder bool

	applies, pins, releases, restores atomic.Int64
}

// saved is a journal of one moment.
type saved struct {
	*journal
	Commands []string
	Last     raft.Index
	released atomic.Bool
}

func (j *journal) Snapshot() (fsm.Saver, error) {
	j.pins.Add(1)
	if j.pinning != nil {
		if err := j.pinning(); err != nil {
			return nil, err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return &saved{journal: j, Commands: slices.Clip(j.commands), Last: j.last}, nil
}

func (s *saved) Save(ctx context.Context, w fsm.SnapshotWriter) error {
	if s.saving != nil {
		if err := s.saving(ctx, w); err != nil {
			return err
		}
	}
	if err := gob.NewEncoder(w).Encode(kept{s.Commands, s.Last}); err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	_, err := io.CopyN(w, noise, int64(s.ballast))
	return err
}

func (s *saved) Release() {
	if s.released.Swap(true) {
		panic("released twice")
	}
	s.releases.Add(1)
}

// kept is what a snapshot of a journal holds.
type kept struct {
	Commands []string
	Last     raft.Index
}

func (j *journal) Restore(r fsm.SnapshotReader) error {
	j.restores.Add(1)
	if j.restoring != nil {
		if err := j.restoring(r); err != nil {
			return err
		}
	}
	in := bufio.NewReader(r)
	var k kept
	if err := gob.NewDecoder(in).Decode(&k); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.commands, j.last = k.Commands, k.Last
	return nil
}

func (j *journal) Apply(e raft.Entry) any {
	if j.before != nil {
		j.before(e)
	}
	j.applies.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.disorder = j.disorder || e.Index <= j.last
	j.last = e.Index
	j.commands = append(j.commands, string(e.Data))
	return len(j.commands)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.commands...)
}

func (j *journal) inOrder() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.disorder
}

// counts returns how often each command was applied.
func (j *journal) counts() map[string]int {
	seen := map[string]int{}
	for _, c := range j.all() {
		seen[c]++
	}
	return seen
}

// electionTimeout makes tests short; where leadership must not change although the machine is busy,
// calm is taken instead.
const electionTimeout = 100 * time.Millisecond

func calm(o *node.Options) { o.ElectionTimeout = 8 * electionTimeout }

// cluster is a group of members in this process.
type cluster struct {
	t       *testing.T
	net     *transport.Network
	peers   []raft.Peer
	dirs    map[raft.PeerID]string
	nodes   map[raft.PeerID]*node.Node
	machine map[raft.PeerID]*journal
	change  func(*node.Options) // before a member is started

	transports map[raft.PeerID]transport.Transport
}

func newCluster(t *testing.T, size int, change func(*node.Options)) *cluster {
	t.Helper()
	c := &cluster{
		t: t, net: transport.NewNetwork(1), change: change, dirs: map[raft.PeerID]string{},
		nodes: map[raft.PeerID]*node.Node{}, machine: map[raft.PeerID]*journal{},
		transports: map[raft.PeerID]transport.Transport{},
	}
	for i := range size {
		id := raft.PeerID(fmt.Sprintf("n%d", i+1))
		c.peers = append(c.peers, raft.Peer{ID: id, Addr: string(id) + ":1"})
		c.dirs[id] = t.TempDir()
	}
	for _, p := range c.peers {
		c.start(p.ID)
	}
	t.Cleanup(c.stopAll)
	return c
}

func (c *cluster) options(id raft.PeerID) node.Options {
	o := node.Options{
		ID: id, Cluster: "test", Dir: c.dirs[id], Peers: c.peers, StateMachine: &journal{},
		Transport:       c.net.Transport(string(id) + ":1"),
		ElectionTimeout: electionTimeout,
	}
	if os.Getenv("JRAFT_TEST_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if c.change != nil {
		c.change(&o)
	}
	return o
}

func (c *cluster) start(id raft.PeerID) *node.Node {
	c.t.Helper()
	o := c.options(id)
	n, err := node.Start(o)
	require.NoError(c.t, err)
	c.nodes[id], c.transports[id] = n, o.Transport
	c.machine[id], _ = o.StateMachine.(*journal)
	return n
}

func (c *cluster) stop(id raft.PeerID) {
	c.t.Helper()
	require.NoError(c.t, c.nodes[id].Stop(within(c.t, 10*time.Second)))
	delete(c.nodes, id)
}

func (c *cluster) stopAll() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, n := range c.nodes {
		_ = n.Stop(ended) // leadership need not be handed on
	}
	for _, n := range c.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := n.Stop(ctx); err != nil {
			c.t.Error(err)
		}
		cancel()
	}
	for id := range c.dirs {
		_ = c.net.Transport(string(id) + ":1").Close()
	}
}

// leader waits until a member of those that run leads and another knows.
func (c *cluster) leader() *node.Node {
	c.t.Helper()
	var found *node.Node
	c.eventually(func() bool {
		for _, n := range c.nodes {
			if s := n.Status(); s.Role == node.Leader && s.Fault == nil {
				if _, err := n.Read(within(c.t, electionTimeout)); err == nil {
					found = n
					return true
				}
			}
		}
		return false
	})
	return found
}

// follower returns a member that follows the leader.
func (c *cluster) follower() (found *node.Node) {
	lead := c.leader().Status().ID
	c.eventually(func() bool {
		for id, n := range c.nodes {
			if id != lead && n.Status().Leader.ID == lead {
				found = n
			}
		}
		return found != nil || len(c.nodes) < 2
	})
	return found
}

func (c *cluster) eventually(ok func() bool) {
	c.t.Helper()
	require.Eventually(c.t, ok, 15*time.Second, 2*time.Millisecond)
}

// converge waits until all members that run have applied the same commands, and returns them.
func (c *cluster) converge() []string {
	c.t.Helper()
	lead := c.leader()
	i, err := lead.Read(within(c.t, 10*time.Second))
	require.NoError(c.t, err)
	want := c.machine[lead.Status().ID].all()
	for id, n := range c.nodes {
		require.NoError(c.t, n.WaitApplied(within(c.t, 10*time.Second), i))
		require.Equal(c.t, want, c.machine[id].all(), "member %s", id)
		require.True(c.t, c.machine[id].inOrder(), "member %s", id)
	}
	return want
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// memoryStore keeps one group's log in memory.
type memoryStore struct {
	mu      sync.Mutex
	hard    raft.HardState
	entries []raft.Entry
}

func (s *memoryStore) Load(raft.GroupID) (logmanager.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := logmanager.Stored{HardState: s.hard}
	for i := range s.entries {
		e := s.entries[i]
		if i == 0 || e.Term != out.Last.Term {
			out.Runs = append(out.Runs, logmanager.Run{First: e.Index, Term: e.Term})
		}
		out.Last = e.ID()
		if e.Kind == raft.EntryConfiguration {
			out.Configurations = append(out.Configurations, e)
		}
	}
	return out, nil
}

func (s *memoryStore) Write(batch []logmanager.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range batch {
		if w.HardState != nil {
			s.hard = *w.HardState
		}
		if w.Truncate > 0 {
			s.entries = s.entries[: w.Truncate-1 : w.Truncate-1]
		}
		s.entries = append(s.entries, w.Entries...)
	}
	return nil
}

func (s *memoryStore) Read(
	_ raft.GroupID, lo, hi raft.Index, maxBytes int, dst []raft.Entry,
) ([]raft.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := 0
	for i := lo; i <= min(hi, raft.Index(len(s.entries))); i++ {
		e := s.entries[i-1]
		if bytes += e.FrameBytes(); i > lo && bytes > maxBytes {
			break
		}
		dst = append(dst, e)
	}
	return dst, nil
}

func (s *memoryStore) Close() error { return nil }

func number(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
