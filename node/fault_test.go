package node_test

import (
	"context"
	"errors"
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
	"github.com/jraft-go/jraft/transport"
)

// troubled is a store whose writes can be held up or made to fail.
type troubled struct {
	logmanager.Store
	gate  sync.RWMutex // held while writes are stalled
	begun atomic.Int64 // writes
	write atomic.Pointer[func() error]
	read  atomic.Pointer[func() error]
}

func (s *troubled) Write(batch []logmanager.Write) error {
	s.begun.Add(1)
	s.gate.RLock()
	defer s.gate.RUnlock()
	if f := s.write.Load(); f != nil {
		if err := (*f)(); err != nil {
			return err
		}
	}
	return s.Store.Write(batch)
}

func (s *troubled) Read(
	g raft.GroupID, lo, hi raft.Index, maxBytes int, dst []raft.Entry,
) ([]raft.Entry, error) {
	if f := s.read.Load(); f != nil {
		if err := (*f)(); err != nil {
			return dst, err
		}
	}
	return s.Store.Read(g, lo, hi, maxBytes, dst)
}

// troubledCluster runs members on segment stores whose trouble the test makes.
func troubledCluster(t *testing.T, size int, change func(*node.Options)) (
	*cluster, map[raft.PeerID]*troubled,
) {
	stores := map[raft.PeerID]*troubled{}
	t.Cleanup(func() {
		for _, s := range stores {
			require.NoError(t, s.Store.Close())
		}
	})
	return newCluster(t, size, func(o *node.Options) {
		if change != nil {
			change(o)
		}
		if stores[o.ID] == nil {
			s, err := logmanager.OpenDir(o.Dir,
				logmanager.SegmentOptions{Cluster: o.Cluster, Peer: o.ID})
			require.NoError(t, err)
			stores[o.ID] = &troubled{Store: s}
		}
		o.Store = stores[o.ID]
	}), stores
}

// failed waits until a member has failed, checks what it shows, and forgets it.
func (c *cluster) failed(n *node.Node, cause string) {
	c.t.Helper()
	select {
	case <-n.Done():
	case <-time.After(10 * time.Second):
		require.FailNow(c.t, "member does not fail")
	}
	require.ErrorContains(c.t, n.Err(), cause)
	s := n.Status()
	require.Equal(c.t, n.Err(), s.Fault)
	require.NotEqual(c.t, node.Leader, s.Role)
	require.Zero(c.t, s.Leader)
	_, err := n.Apply(within(c.t, time.Second), number(0))
	refused(c.t, err, raft.ErrFailed, raft.NotAppended)
	require.ErrorContains(c.t, err, cause)
	_, err = n.Read(within(c.t, time.Second))
	refused(c.t, err, raft.ErrFailed, raft.NotAppended)
	_, err = n.Read(within(c.t, time.Second), node.Mode(node.Stale))
	refused(c.t, err, raft.ErrFailed, raft.NotAppended)
	_, err = n.WaitLeader(within(c.t, time.Second))
	refused(c.t, err, raft.ErrFailed, raft.NotAppended)
	require.NoError(c.t, n.Stop(within(c.t, 10*time.Second)))
	delete(c.nodes, s.ID)
}

func TestStalledDiskDelaysNothingElse(t *testing.T) {
	t.Parallel()
	c, stores := troubledCluster(t, 3, calm)
	lead := c.leader()
	id, term := lead.Status().ID, lead.Status().Term
	c.eventually(func() bool { s := lead.Status(); return s.Durable == s.Last })
	durable := lead.Status().Durable
	stores[id].gate.Lock()
	begun := time.Now()
	for i := range 5 { // the followers are a quorum without the leader's disk
		r, err := lead.Apply(within(t, 10*time.Second), number(i))
		require.NoError(t, err)
		require.Equal(t, i+1, r.Value)
	}
	for time.Since(begun) < 20*electionTimeout { // heartbeats go on and keep the followers
		s := lead.Status()
		require.Equal(t, node.Leader, s.Role)
		_, err := lead.Read(within(t, 10*electionTimeout))
		require.NoError(t, err)
		require.Equal(t, durable, lead.Status().Durable)
		time.Sleep(electionTimeout / 10)
	}
	for _, n := range c.nodes {
		require.Equal(t, term, n.Status().Term)
	}
	stores[id].gate.Unlock()
	c.eventually(func() bool { return lead.Status().Durable > durable })
	require.Len(t, c.converge(), 5)
}

func TestWriteErrorFailsOneMember(t *testing.T) {
	t.Parallel()
	c, stores := troubledCluster(t, 3, calm)
	lead := c.leader()
	id := lead.Status().ID
	calls := 0
	fail := func() error { calls++; return raft.ErrDiskFull }
	stores[id].write.Store(&fail)
	_, err := lead.Apply(within(t, 10*time.Second), number(1))
	if err != nil { // the followers may be quicker
		require.ErrorIs(t, err, raft.ErrDiskFull)
	}
	c.failed(lead, "disk full")
	require.ErrorIs(t, lead.Err(), raft.ErrDiskFull)
	require.Equal(t, 1, calls, "a failed write is never tried again")
	_, err = c.leader().Apply(within(t, 10*time.Second), number(2))
	require.NoError(t, err)
	c.converge()
}

func TestPanicInStoreAndReadError(t *testing.T) {
	c, stores := troubledCluster(t, 1, nil)
	_, err := c.leader().Apply(within(t, 10*time.Second), number(1))
	require.NoError(t, err)
	boom := func() error { panic("boom") }
	stores["n1"].write.Store(&boom)
	_, err = c.nodes["n1"].Apply(within(t, 10*time.Second), number(2))
	refused(t, err, raft.ErrFailed, raft.Unknown)
	c.failed(c.nodes["n1"], "panic in the writer: boom")

	exit := func() error { runtime.Goexit(); return nil }
	stores["n1"].write.Store(nil)
	stores["n1"].read.Store(&exit) // needed to apply the log anew
	c.failed(c.start("n1"), "was ended by code that it called")

	unreadable := func() error { return raft.ErrCorrupt }
	stores["n1"].read.Store(&unreadable)
	c.failed(c.start("n1"), "read entries 1 to")
	stores["n1"].read.Store(nil)
	c.start("n1")
	c.leader()
}

// poisoned is a state machine with a way to fail.
type poisoned struct {
	journal
	fail func()
}

func (p *poisoned) Apply(e raft.Entry) any {
	if string(e.Data) == "poison" {
		p.fail()
	}
	return p.journal.Apply(e)
}

// poisonedBatch fails in ApplyBatch.
type poisonedBatch struct{ poisoned }

func (p *poisonedBatch) ApplyBatch(b *fsm.Batch) error {
	for i, e := range b.Entries {
		if string(e.Data) == "poison" {
			return errors.New("poisoned")
		}
		b.SetResult(i, p.journal.Apply(e))
	}
	return nil
}

func TestStateMachineFailureFailsOneMember(t *testing.T) {
	for name, test := range map[string]struct {
		machine func() fsm.StateMachine
		cause   string
	}{
		"panic": {
			func() fsm.StateMachine { return &poisoned{fail: func() { panic("poisoned") }} },
			"panic in the state machine at index",
		},
		"goexit": {
			func() fsm.StateMachine { return &poisoned{fail: runtime.Goexit} },
			"ended the applying goroutine",
		},
		"batch": {func() fsm.StateMachine { return &poisonedBatch{} }, "poisoned"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, func(o *node.Options) {
				calm(o)
				if o.ID == "n1" {
					o.StateMachine = test.machine()
				}
			})
			n := c.nodes["n1"]
			_, err := n.Apply(within(t, 10*time.Second), number(1))
			require.NoError(t, err)
			results := make(chan error, 3)
			for _, cmd := range []string{"poison", "one", "two"} {
				n.Submit([]byte(cmd), func(_ node.Result, err error) { results <- err })
			}
			err = <-results
			refused(t, err, raft.ErrFailed, raft.Committed)
			require.ErrorContains(t, err, "is committed; this member's state machine failed on it")
			for range 2 { // committed, or on their way when the member failed
				err = <-results
				require.ErrorIs(t, err, raft.ErrFailed)
				require.NotEqual(t, raft.NotAppended, raft.OutcomeOf(err))
			}
			c.failed(n, test.cause)
			_, err = c.leader().Apply(within(t, 10*time.Second), []byte("after"))
			require.NoError(t, err)
			all := c.converge()
			require.Contains(t, all, "poison")
			require.Equal(t, "after", all[len(all)-1])
		})
	}
}

func TestPanicInDoneFailsTheMember(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.leader()
	n.Submit(number(1), func(node.Result, error) { panic("boom") })
	c.failed(n, "panic in the function given to Submit: boom")
}

// TestEndCompletesEverything ends a member, by Stop or by a failure, whose state machine hangs.
func TestEndCompletesEverything(t *testing.T) {
	for name, fault := range map[string]string{"stop": "", "failure": "panic in the function"} {
		t.Run(name, func(t *testing.T) { endWhileHanging(t, fault) })
	}
}

func endWhileHanging(t *testing.T, fault string) {
	gate, entered := make(chan struct{}), make(chan struct{}, 1000)
	c := newCluster(t, 1, func(o *node.Options) {
		o.StateMachine = &journal{before: func(raft.Entry) { entered <- struct{}{}; <-gate }}
	})
	n := c.leader()
	background := context.Background()
	const calls = 200
	var called [calls]atomic.Int32
	results := make(chan error, 2*calls)
	apply := func() { _, err := n.Apply(background, number(0)); results <- err }
	go apply()
	<-entered // it hangs
	for i := range calls {
		n.Submit(number(i), func(_ node.Result, err error) { called[i].Add(1); results <- err })
	}
	for range calls - 1 {
		go apply()
	}
	waits := make(chan error, 2)
	go func() { _, err := n.Read(background); waits <- err }()
	go func() { waits <- n.WaitApplied(background, 1000) }()
	first := n.Status().Applied
	c.eventually(func() bool {
		s := n.Status()
		return s.PendingReads == 2 && s.Commit == first+2*calls
	})

	is := raft.ErrStopped
	if fault != "" {
		is = raft.ErrFailed
		n.Submit(make([]byte, 5<<20), func(node.Result, error) { panic("boom") }) // refused
	} else {
		refused(t, n.Stop(within(t, time.Millisecond)), context.DeadlineExceeded, raft.NotAppended)
	}
	<-n.Done()
	for range 2 {
		refused(t, <-waits, is, raft.NotAppended)
	}
	for range 2 * calls {
		refused(t, <-results, is, raft.Committed)
	}
	require.Zero(t, n.Status().PendingBytes)
	_, err := n.Apply(background, number(0))
	refused(t, err, is, raft.NotAppended)
	n.Submit(number(0), func(_ node.Result, err error) { results <- err })
	refused(t, <-results, is, raft.NotAppended)
	require.Empty(t, entered)

	close(gate) // what it hung on is applied, and nobody is told again
	require.NoError(t, n.Stop(within(t, 10*time.Second)))
	require.NoError(t, n.Stop(within(t, 10*time.Second)))
	require.Len(t, c.machine["n1"].all(), 1)
	for i := range called {
		require.Equal(t, int32(1), called[i].Load())
	}
	require.Empty(t, results)
	if fault == "" {
		require.NoError(t, n.Err())
		require.NoError(t, n.Status().Fault)
	} else {
		require.ErrorContains(t, n.Err(), fault)
	}
	delete(c.nodes, "n1")
}

func TestStopFromCallbacks(t *testing.T) {
	var n atomic.Pointer[node.Node]
	stopped := make(chan error, 2)
	c := newCluster(t, 1, func(o *node.Options) {
		o.StateMachine = &journal{before: func(raft.Entry) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			stopped <- n.Load().Stop(ctx)
		}}
	})
	n.Store(c.leader())
	n.Load().Submit(number(1), func(node.Result, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		stopped <- n.Load().Stop(ctx)
	})
	require.ErrorIs(t, <-stopped, context.DeadlineExceeded)
	require.ErrorIs(t, <-stopped, context.DeadlineExceeded)
	c.stop("n1")
}

func TestStopWhileTheDiskStalls(t *testing.T) {
	c, stores := troubledCluster(t, 1, nil)
	n := c.leader()
	stores["n1"].gate.Lock()
	begun := stores["n1"].begun.Load()
	result := make(chan error, 1)
	n.Submit(number(1), func(_ node.Result, err error) { result <- err })
	c.eventually(func() bool { return stores["n1"].begun.Load() > begun })
	require.ErrorIs(t, n.Stop(within(t, 10*time.Millisecond)), context.DeadlineExceeded)
	refused(t, <-result, raft.ErrStopped, raft.Unknown)
	stores["n1"].gate.Unlock()
	c.stop("n1")
}

// watcher records what a LeaderWatcher and a ConfigurationWatcher are told.
type watcher struct {
	journal
	mu             sync.Mutex
	events         []string
	configurations []raft.Configuration
}

func (w *watcher) OnLeaderStart(raft.Term) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, "start")
}

func (w *watcher) OnLeaderStop(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, "stop: "+cause.Error())
}

func (w *watcher) OnConfiguration(c raft.Configuration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.configurations = append(w.configurations, c)
}

func (w *watcher) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.events...)
}

func TestWatchers(t *testing.T) {
	t.Parallel()
	machines := map[raft.PeerID]*watcher{}
	c := newCluster(t, 3, func(o *node.Options) {
		calm(o)
		machines[o.ID] = &watcher{}
		o.StateMachine = machines[o.ID]
	})
	first := c.leader()
	w := machines[first.Status().ID]
	c.eventually(func() bool { return len(w.seen()) == 1 })
	require.Equal(t, []string{"start"}, w.seen())
	c.net.Partition([]string{first.Status().Leader.Addr})
	c.eventually(func() bool { return len(w.seen()) == 2 })
	require.Contains(t, w.seen()[1], "stop: ")
	second := c.leader()
	require.NotEqual(t, first, second)
	id := second.Status().ID
	c.net.Heal()
	c.eventually(func() bool { return len(machines[id].seen()) == 1 })
	c.stop(id)
	require.Equal(t, []string{"start", "stop: a higher term was seen"}, machines[id].seen(),
		"it handed leadership on before it stopped")
	require.GreaterOrEqual(t, len(machines[id].configurations), 2)
	require.Equal(t, raft.Index(1), machines[id].configurations[0].Index)
	require.Equal(t, c.peers, machines[id].configurations[0].Voters)
}

// deaf is a transport that ends the member's goroutine, or panics.
type deaf struct {
	transport.Transport
	send func()
}

func (d *deaf) Send(string, []raft.Message) { d.send() }

func TestPanicInTransportFailsTheMember(t *testing.T) {
	for cause, send := range map[string]func(){
		"panic in the loop: boom":             func() { panic("boom") },
		"was ended by code that it called":    runtime.Goexit,
		"panic in the loop: runtime error: i": func() { _ = []int{}[len(t.Name())] },
	} {
		c := newCluster(t, 3, func(o *node.Options) {
			if o.ID == "n1" {
				o.Transport = &deaf{o.Transport, send}
			}
		})
		c.failed(c.nodes["n1"], cause)
		c.leader()
	}
}

func TestSlowStateMachineDelaysNothingElse(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	c := newCluster(t, 3, func(o *node.Options) {
		calm(o)
		o.StateMachine = &journal{before: func(raft.Entry) { <-gate }}
	})
	lead := c.leader()
	first := lead.Status()
	result := make(chan error, 1)
	lead.Submit(number(1), func(_ node.Result, err error) { result <- err })
	c.eventually(func() bool { return lead.Status().Commit > first.Commit })
	read := make(chan error, 1)
	go func() { _, err := lead.Read(context.Background()); read <- err }()
	time.Sleep(20 * electionTimeout) // for longer than any follower would wait for a leader
	for _, n := range c.nodes {
		s := n.Status()
		require.Equal(t, first.Term, s.Term)
		require.Equal(t, first.Applied, s.Applied)
		require.Equal(t, lead.Status().Commit, s.Commit)
	}
	select {
	case <-read:
		require.Fail(t, "a read must wait for what is committed")
	case <-result:
		require.Fail(t, "nothing was applied")
	default:
	}
	close(gate)
	require.NoError(t, <-result)
	require.NoError(t, <-read)
	require.Len(t, c.converge(), 1)
}
