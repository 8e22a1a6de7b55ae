package node_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// refused asserts what a failed call must say.
func refused(t *testing.T, err error, is error, o raft.Outcome) {
	t.Helper()
	require.ErrorIs(t, err, is)
	require.Equal(t, o, raft.OutcomeOf(err), "%v", err)
	var e *raft.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, raft.GroupID("default"), e.Group)
}

func TestEveryMemberTakesCommandsAndReads(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	for i, p := range c.peers {
		n := c.nodes[p.ID]
		r, err := n.Apply(within(t, 10*time.Second), number(i))
		require.NoError(t, err)
		require.Equal(t, i+1, r.Value)
		require.NotZero(t, r.Term)
		require.GreaterOrEqual(t, n.Status().Applied, r.Index)
		for _, q := range c.peers {
			seen, err := node.Query(within(t, 10*time.Second), c.nodes[q.ID], func() (int, error) {
				return len(c.machine[q.ID].all()), nil
			})
			require.NoError(t, err)
			require.Equal(t, i+1, seen, "read on %s after a write on %s", q.ID, p.ID)
		}
	}
	require.Len(t, c.converge(), 3)
}

func TestRestartRecovers(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3} {
		c := newCluster(t, size, calm)
		for i := range 20 {
			_, err := c.nodes["n1"].Apply(within(t, 10*time.Second), number(i))
			require.NoError(t, err)
		}
		before := c.converge()
		for _, p := range c.peers {
			c.stop(p.ID)
		}
		for _, p := range c.peers {
			c.start(p.ID)
		}
		require.Equal(t, before, c.converge())
		_, err := c.nodes["n1"].Apply(within(t, 10*time.Second), number(20))
		require.NoError(t, err)
		require.Len(t, c.converge(), 21)
	}
}

func TestReadOptions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	r, err := c.leader().Apply(within(t, 10*time.Second), number(1))
	require.NoError(t, err)
	f := c.follower()
	i, err := f.Read(within(t, 10*time.Second), node.Mode(node.Stale), node.AtLeast(r.Index))
	require.NoError(t, err)
	require.GreaterOrEqual(t, i, r.Index)
	require.NoError(t, f.WaitApplied(within(t, 10*time.Second), r.Index))

	_, err = f.Read(within(t, time.Second), node.Mode(node.Stale+1))
	require.ErrorContains(t, err, "there is no ReadMode 2")
	require.Equal(t, raft.NotAppended, raft.OutcomeOf(err))

	_, err = f.Read(within(t, 20*time.Millisecond), node.AtLeast(r.Index+1000))
	refused(t, err, context.DeadlineExceeded, raft.NotAppended)
	err = f.WaitApplied(within(t, 20*time.Millisecond), r.Index+1000)
	refused(t, err, context.DeadlineExceeded, raft.NotAppended)

	c.net.Partition([]string{"n1:1"}, []string{"n2:1"}, []string{"n3:1"})
	i, err = f.Read(within(t, time.Second), node.Mode(node.Stale))
	require.NoError(t, err)
	require.GreaterOrEqual(t, i, r.Index)
	_, err = f.Read(within(t, 3*electionTimeout))
	refused(t, err, context.DeadlineExceeded, raft.NotAppended)
}

func TestApplyOptions(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead, f := c.leader(), c.follower()
	_, err := f.Apply(within(t, 10*time.Second), number(1), node.NoForward())
	refused(t, err, raft.ErrNotLeader, raft.NotAppended)
	p, ok := raft.LeaderOf(err)
	require.True(t, ok)
	require.Equal(t, lead.Status().ID, p.ID)
	require.Equal(t, string(p.ID)+":1", p.Addr)

	term := lead.Status().Term
	for _, n := range []*node.Node{lead, f} {
		_, err = n.Apply(within(t, 10*time.Second), number(1), node.ExpectTerm(term+1))
		refused(t, err, raft.ErrTermChanged, raft.NotAppended)
		_, err = n.Apply(within(t, 10*time.Second), number(1), node.ExpectTerm(term))
		require.NoError(t, err)
	}
	require.Len(t, c.converge(), 2)
}

func TestTooLarge(t *testing.T) {
	c := newCluster(t, 1, func(o *node.Options) { o.MaxCommandBytes = 1000; o.MaxPendingBytes = 1000 })
	n := c.leader()
	_, err := n.Apply(within(t, 10*time.Second), make([]byte, 1001))
	refused(t, err, raft.ErrTooLarge, raft.NotAppended)
	_, err = n.Apply(within(t, 10*time.Second), make([]byte, 1000))
	require.NoError(t, err)
	n.Submit(make([]byte, 1001), nil) // who does not want to know need not
	got := make(chan error, 1)
	n.Submit(make([]byte, 1001), func(_ node.Result, err error) { got <- err })
	refused(t, <-got, raft.ErrTooLarge, raft.NotAppended)
	_, err = n.Apply(within(t, 10*time.Second), nil)
	require.NoError(t, err, "an empty command is one too")
}

func TestBusyAtOnce(t *testing.T) {
	gate := make(chan struct{})
	c := newCluster(t, 1, func(o *node.Options) {
		o.StateMachine = &journal{before: func(raft.Entry) { <-gate }}
		o.MaxCommandBytes, o.MaxPendingBytes = 1000, 10_000
	})
	n := c.leader()
	results := make(chan error, 100)
	for range 10 { // a frame is 25 bytes more than its command: 9 commands fit
		n.Submit(make([]byte, 1000), func(_ node.Result, err error) { results <- err })
	}
	refused(t, <-results, raft.ErrBusy, raft.NotAppended)
	begun := time.Now()
	_, err := n.Apply(within(t, 10*time.Second), make([]byte, 1000))
	refused(t, err, raft.ErrBusy, raft.NotAppended)
	require.Less(t, time.Since(begun), time.Second)
	require.Equal(t, int64(9*1025), n.Status().PendingBytes)
	close(gate)
	for range 9 {
		require.NoError(t, <-results)
	}
	_, err = n.Apply(within(t, 10*time.Second), make([]byte, 1000))
	require.NoError(t, err)
	require.Len(t, c.converge(), 10)
}

func TestContextEnds(t *testing.T) {
	gate := make(chan struct{})
	c := newCluster(t, 1, func(o *node.Options) {
		o.StateMachine = &journal{before: func(raft.Entry) { <-gate }}
	})
	n := c.leader()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := n.Apply(ctx, number(0))
	refused(t, err, context.Canceled, raft.NotAppended)

	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			_, err := n.Apply(within(t, 10*time.Millisecond), number(i))
			refused(t, err, context.DeadlineExceeded, raft.Unknown)
		})
	}
	callers.Wait()
	close(gate)
	for i := range 50 { // those given up must not answer for these
		r, err := n.Apply(within(t, 10*time.Second), number(100+i))
		require.NoError(t, err)
		require.Equal(t, string(number(100+i)), c.machine["n1"].all()[r.Value.(int)-1])
	}
	for command, count := range c.machine["n1"].counts() {
		require.Equal(t, 1, count, "%x", command)
	}
}

func TestSubmitFromDone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	for _, n := range []*node.Node{c.leader(), c.follower()} {
		const chain = 50
		finished := make(chan error, 1)
		var step func(i int)
		step = func(i int) {
			n.Submit(number(i), func(_ node.Result, err error) {
				if err != nil || i == chain {
					finished <- err
					return
				}
				step(i + 1)
			})
		}
		step(1)
		require.NoError(t, <-finished)
	}
	c.converge()
}

func TestSubmitFromStateMachine(t *testing.T) {
	var n atomic.Pointer[node.Node]
	var once sync.Once
	echoed := make(chan error, 1)
	c := newCluster(t, 1, func(o *node.Options) {
		o.StateMachine = &journal{before: func(raft.Entry) {
			once.Do(func() {
				n.Load().Submit([]byte("echo"), func(_ node.Result, err error) { echoed <- err })
			})
		}}
	})
	n.Store(c.leader())
	_, err := n.Load().Apply(within(t, 10*time.Second), []byte("first"))
	require.NoError(t, err)
	require.NoError(t, <-echoed)
	require.Equal(t, []string{"first", "echo"}, c.converge())
}

func TestDirectoryHasOneMember(t *testing.T) {
	c := newCluster(t, 1, nil)
	o := c.options("n1")
	_, err := node.Start(o)
	require.ErrorContains(t, err, "member n1 of group default")

	c.stop("n1")
	o.Cluster = "other"
	_, err = node.Start(o)
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	o.Cluster, o.Group = "test", "other"
	_, err = node.Start(o)
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	require.ErrorContains(t, err, "of group default, not other")
	o.Group, o.ID, o.Peers = "", "n9", []raft.Peer{{ID: "n9", Addr: "n9:1"}}
	_, err = node.Start(o)
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	c.start("n1") // none of them has left anything behind
	c.leader()
}

func TestRegistrationFails(t *testing.T) {
	c := newCluster(t, 1, nil)
	o := c.options("n1")
	o.Dir = t.TempDir()
	_, err := node.Start(o)
	require.ErrorContains(t, err, "register with the transport")
	c.stop("n1")
	n, err := node.Start(o) // the store was closed again
	require.NoError(t, err)
	c.nodes["n1"] = n
}

// strange is a store that holds something unusual.
type strange struct {
	memoryStore
	stored logmanager.Stored
	load   error
	write  error
}

func (s *strange) Load(raft.GroupID) (logmanager.Stored, error) { return s.stored, s.load }
func (s *strange) Write([]logmanager.Write) error               { return s.write }

func TestStartFails(t *testing.T) {
	base := raft.LogID{Term: 1, Index: 9}
	for name, test := range map[string]struct {
		store *strange
		is    error
		says  string
	}{
		"load": {&strange{load: raft.ErrCorrupt}, raft.ErrCorrupt, "load the log"},
		"bootstrap": {
			&strange{write: raft.ErrDiskFull},
			raft.ErrDiskFull, "write the first configuration",
		},
		"no snapshot": {
			&strange{stored: logmanager.Stored{
				HardState: raft.HardState{Term: 1}, Base: base, Last: base,
			}},
			raft.ErrCorrupt, "begins after entry 9",
		},
		"inconsistent": {
			&strange{stored: logmanager.Stored{Last: base}}, nil, "recover from the log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			net := transport.NewNetwork(1)
			_, err := node.Start(node.Options{
				ID: "n1", StateMachine: nothing{}, Transport: net.Transport("n1:1"),
				Dir: t.TempDir(), Store: test.store, Peers: []raft.Peer{{ID: "n1", Addr: "n1:1"}},
			})
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.NoError(t, net.Transport("n1:1").Close())
		})
	}
}

func TestWaitsToBeAdded(t *testing.T) {
	c := newCluster(t, 1, func(o *node.Options) { o.Peers = nil })
	n := c.nodes["n1"]
	require.Equal(t, node.Learner, n.Status().Role)
	_, err := n.WaitLeader(within(t, 5*electionTimeout))
	refused(t, err, context.DeadlineExceeded, raft.NotAppended)
	_, err = n.Apply(within(t, electionTimeout), number(1))
	refused(t, err, raft.ErrNoLeader, raft.NotAppended)
	require.Equal(t, node.Learner, n.Status().Role)
	require.Zero(t, n.Status().Term)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead := c.leader()
	r, err := lead.Apply(within(t, 10*time.Second), number(1))
	require.NoError(t, err)
	c.eventually(func() bool {
		s := lead.Status()
		matched := 0
		for _, p := range s.Peers {
			if p.Match == r.Index && p.State == "replicate" {
				matched++
			}
		}
		return matched == 2 && s.Durable == r.Index
	})
	s := lead.Status()
	require.Equal(t, "leader", s.Role.String())
	require.Equal(t, r.Term, s.Term)
	require.Equal(t, s.ID, s.Leader.ID)
	require.Equal(t, raft.Index(1), s.First)
	require.Equal(t, r.Index, s.Last)
	require.Equal(t, r.Index, s.Commit)
	require.Equal(t, r.Index, s.Applied)
	require.Len(t, s.Configuration.Voters, 3)
	require.Zero(t, s.PendingBytes)
	require.NoError(t, s.Fault)
	for _, n := range c.nodes {
		p, err := n.WaitLeader(within(t, 10*time.Second))
		require.NoError(t, err)
		require.Equal(t, s.Leader, p)
	}
}

func TestValidate(t *testing.T) {
	good := func() node.Options {
		return node.Options{
			ID: "n1", Dir: "d", StateMachine: nothing{},
			Transport: transport.NewNetwork(1).Transport("n1:1"),
			Peers:     []raft.Peer{{ID: "n1", Addr: "n1:1"}},
		}
	}
	require.NoError(t, good().Validate())
	for name, test := range map[string]struct {
		change func(*node.Options)
		wants  []string
	}{
		"nothing at all": {
			func(o *node.Options) { *o = node.Options{} },
			[]string{"Options.ID", "Options.StateMachine is nil", "Options.Transport is nil", "Options.Dir"},
		},
		"ids": {
			func(o *node.Options) { o.Group, o.Cluster = "a b", "c/d" },
			[]string{`Options.Group: raft: group id "a b"`, `Options.Cluster: raft: cluster id "c/d"`},
		},
		"election timeout": {
			func(o *node.Options) { o.ElectionTimeout = time.Millisecond },
			[]string{"Options.ElectionTimeout is 1ms, need at least 10ms"},
		},
		"negative": {
			func(o *node.Options) { o.ElectionTimeout = -1 },
			[]string{"Options.ElectionTimeout is -1ns"},
		},
		"both times": {
			func(o *node.Options) { o.ElectionTimeout, o.HeartbeatInterval = 1, -1 },
			[]string{
				"Options.ElectionTimeout is 1ns",
				"Options.HeartbeatInterval is -1ns, need more than 0 and at most a third of " +
					"ElectionTimeout, 3.3",
			},
		},
		"heartbeats too rare": {
			func(o *node.Options) {
				o.ElectionTimeout, o.HeartbeatInterval = time.Second, 334*time.Millisecond
			},
			[]string{"Options.HeartbeatInterval is 334ms, need more than 0 and at most a third of " +
				"ElectionTimeout, 333.3"},
		},
		"command": {
			func(o *node.Options) { o.MaxCommandBytes = -5 },
			[]string{"Options.MaxCommandBytes is -5, need 1 to 1073741824"},
		},
		"command and pending": {
			func(o *node.Options) { o.MaxCommandBytes, o.MaxPendingBytes = -1, -1 },
			[]string{
				"Options.MaxCommandBytes is -1",
				"Options.MaxPendingBytes is -1, need at least MaxCommandBytes, 1",
			},
		},
		"pending": {
			func(o *node.Options) { o.MaxCommandBytes, o.MaxPendingBytes = 100, 99 },
			[]string{"Options.MaxPendingBytes is 99, need at least MaxCommandBytes, 100"},
		},
		"window": {
			func(o *node.Options) { o.Replication.WindowBytes = 1000; o.MaxCommandBytes = 2000 },
			[]string{"Options.Replication.WindowBytes is 1000, need at least MaxCommandBytes, 2000"},
		},
		"batch": {
			func(o *node.Options) { o.Replication.BatchBytes = 48 << 20; o.Replication.WindowMessages = -1 },
			[]string{
				"Options.Replication.BatchBytes is 50331648",
				"Options.Replication.WindowMessages is -1",
			},
		},
		"not among the peers": {
			func(o *node.Options) { o.ID = "n2" },
			[]string{`Options.Peers is voters [n1], need member "n2" among them`},
		},
		"peers": {
			func(o *node.Options) { o.Peers = append(o.Peers, raft.Peer{ID: "n1", Addr: "nowhere"}) },
			[]string{"voter n1 is listed twice", `voter n1 has address "nowhere"`},
		},
		"learners only": {
			func(o *node.Options) { o.Learners, o.Peers = o.Peers, nil },
			[]string{"configuration has no voter"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			test.change(&o)
			err := o.Validate()
			require.Error(t, err)
			for _, want := range test.wants {
				require.ErrorContains(t, err, want)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(test.wants), "%v", err)
			_, started := node.Start(o)
			require.Equal(t, err.Error(), started.Error())
		})
	}
	large := good()
	large.MaxCommandBytes = 32 << 20 // the defaults of the limits above it follow
	require.NoError(t, large.Validate())
	waiting := good()
	waiting.Peers = nil
	require.NoError(t, waiting.Validate())
}

func TestLearnerFollows(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, func(o *node.Options) {
		calm(o)
		o.Peers, o.Learners = o.Peers[:1], o.Peers[1:]
	})
	learner := c.nodes["n2"]
	r, err := learner.Apply(within(t, 10*time.Second), number(1))
	require.NoError(t, err)
	require.Equal(t, 1, r.Value)
	_, err = learner.Read(within(t, 10*time.Second))
	require.NoError(t, err)
	require.Equal(t, node.Learner, learner.Status().Role)
	require.Len(t, learner.Status().Configuration.Learners, 1)
	c.stop("n2") // it does not count
	_, err = c.leader().Apply(within(t, 10*time.Second), number(2))
	require.NoError(t, err)
}

// TestWaitersAreNotMixedUp has callers give up at any moment, so that what they leave behind meets
// others.
func TestWaitersAreNotMixedUp(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.leader()
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 300 {
				patience := time.Duration(i*caller) * time.Microsecond
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				cmd := number(caller*1000 + i)
				r, err := n.Apply(ctx, cmd)
				if err == nil {
					require.Equal(t, string(cmd), c.machine["n1"].all()[r.Value.(int)-1])
				}
				_, _ = n.Read(ctx)
				cancel()
			}
		})
	}
	callers.Wait()
	c.eventually(func() bool { s := n.Status(); return s.PendingBytes == 0 && s.PendingReads == 0 })
	c.converge()
	for cmd, count := range c.machine["n1"].counts() {
		require.Equal(t, 1, count, "%x", cmd)
	}
}
