package node_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

func peer(i int) raft.Peer {
	id := raft.PeerID(fmt.Sprintf("n%d", i))
	return raft.Peer{ID: id, Addr: string(id) + ":1"}
}

// join starts members that wait to be added.
func (c *cluster) join(numbers ...int) []raft.Peer {
	c.t.Helper()
	var joined []raft.Peer
	for _, i := range numbers {
		p := peer(i)
		c.dirs[p.ID] = c.t.TempDir()
		before := c.peers
		c.peers = nil
		c.start(p.ID)
		c.peers = before
		joined = append(joined, p)
	}
	return joined
}

func ids(list []raft.Peer) (out []raft.PeerID) {
	for _, p := range list {
		out = append(out, p.ID)
	}
	return out
}

// changed is a change that must succeed.
func (c *cluster) changed(n *node.Node, ch ...node.Change) raft.Configuration {
	c.t.Helper()
	conf, err := n.ChangePeers(within(c.t, 20*time.Second), ch...)
	require.NoError(c.t, err)
	return conf
}

func TestGrowReplaceShrink(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead := c.leader()
	c.write(lead, 0, 50)
	c.join(4, 5)
	conf := c.changed(lead, node.Add(peer(4), peer(5)))
	require.Equal(t, []raft.PeerID{"n1", "n2", "n3", "n4", "n5"}, ids(conf.Voters))
	require.False(t, conf.Joint())
	require.NoError(t, c.nodes["n5"].WaitApplied(within(t, 10*time.Second), conf.Index))

	again := c.changed(c.leader(), node.Add(peer(4))) // is the case already
	require.Equal(t, conf, again)

	c.join(6, 7)
	before := c.leader().Status().ID
	gone := []raft.PeerID{"n1", "n2"} // two that do not lead, so that this is not about leaders
	if before == "n1" || before == "n2" {
		gone = []raft.PeerID{"n3", "n4"}
	}
	conf = c.changed(c.follower(), node.Remove(gone...), node.Add(peer(6), peer(7)))
	require.Len(t, conf.Voters, 5)
	for _, id := range gone {
		c.eventually(func() bool { return c.nodes[id].Status().Removed })
		c.stop(id)
	}
	conf = c.changed(c.nodes["n7"], node.Remove("n6", "n7"))
	require.Len(t, conf.Voters, 3)
	c.stop("n6")
	c.stop("n7")
	c.write(c.leader(), 50, 60)
	require.Len(t, c.converge(), 60)
}

// TestAddTakesNoHeartbeat: it takes round trips, however rare heartbeats are.
func TestAddTakesNoHeartbeat(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(o *node.Options) {
		o.ElectionTimeout, o.HeartbeatInterval = time.Minute, 10*time.Second
	})
	c.join(2, 3)
	start := time.Now()
	c.changed(c.leader(), node.AddLearner(peer(3)))
	conf := c.changed(c.leader(), node.Add(peer(2)), node.Promote("n3"))
	require.Len(t, conf.Voters, 3)
	require.Less(t, time.Since(start), 10*time.Second)
}

func TestRemovedLeaderHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead := c.leader()
	id := lead.Status().ID
	conf := c.changed(lead, node.Remove(id))
	require.Len(t, conf.Voters, 2)
	start := time.Now()
	var next raft.PeerID
	c.eventually(func() bool {
		for other, n := range c.nodes {
			if s := n.Status(); other != id && s.Role == node.Leader {
				next = other
			}
		}
		return next != ""
	})
	require.Less(t, time.Since(start), 4*electionTimeout, "handed over, not elected after a timeout")
	c.eventually(func() bool {
		s := lead.Status()
		return s.Removed && s.Role == node.Learner
	})
	_, err := c.nodes[next].Apply(within(t, 10*time.Second), []byte("x"))
	require.NoError(t, err)
	c.changed(c.nodes[next], node.Add(peer(number3(id))))
	c.eventually(func() bool { s := lead.Status(); return !s.Removed && s.Role == node.Follower })
}

func number3(id raft.PeerID) (i int) {
	_, _ = fmt.Sscanf(string(id), "n%d", &i)
	return i
}

func TestOneChangeAtATime(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead := c.leader()
	c.join(4)
	ctx := within(t, 20*time.Second)
	// A change that can't end: its new voter does not exist.
	hold, cancel := context.WithCancel(ctx)
	held := make(chan error, 1)
	go func() {
		_, err := lead.ChangePeers(hold, node.Add(peer(9)))
		held <- err
	}()
	c.eventually(func() bool { return lead.Status().Changing != nil })
	status := lead.Status()
	require.Equal(t, []raft.PeerID{"n9"}, status.Changing.CatchingUp)
	require.True(t, status.Changing.Target.IsVoter("n9"))
	var wg sync.WaitGroup
	errs := make([]error, 20)
	members := []*node.Node{c.nodes["n1"], c.nodes["n2"], c.nodes["n3"]}
	for i := range errs {
		wg.Go(func() { _, errs[i] = members[i%3].ChangePeers(ctx, node.AddLearner(peer(10+i))) })
	}
	wg.Wait()
	for _, err := range errs {
		refused(t, err, raft.ErrChangeInProgress, raft.NotAppended)
	}
	cancel()
	refused(t, <-held, context.Canceled, raft.NotAppended)
	require.Equal(t, status.Configuration, lead.Status().Configuration)

	// Of many at once, those that are refused changed nothing.
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = members[i%3].ChangePeers(ctx, node.SetPriority(peer(1+i%3).ID, 1+i))
		})
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		refused(t, err, raft.ErrChangeInProgress, raft.NotAppended)
	}
	require.Positive(t, done)
}

func TestChangeIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead := c.leader()
	first := lead.Status().Configuration
	ctx := within(t, 20*time.Second)
	for _, n := range []*node.Node{lead, c.follower()} {
		for _, bad := range [][]node.Change{
			nil,
			{node.Add(raft.Peer{ID: "n4"})},
			{node.Promote("n9")},
			{node.Add(raft.Peer{ID: "n1", Addr: "elsewhere:1"})},
			{node.Remove("n1", "n2", "n3")},
			{node.Replace(nil, nil)},
			{node.AddLearner(raft.Peer{ID: "n1", Addr: "n1:1"})},
		} {
			_, err := n.ChangePeers(ctx, bad...)
			refused(t, err, raft.ErrBadConfiguration, raft.NotAppended)
		}
		_, err := n.ChangePeers(ctx, node.SetPriority("n1", 1), node.IfIndex(first.Index+1000))
		refused(t, err, raft.ErrConfigurationStale, raft.NotAppended)
	}
	conf := c.changed(c.follower(), node.SetPriority("n1", 0), node.IfIndex(first.Index))
	require.True(t, conf.SameMembers(&first))
	conf = c.changed(c.follower(), node.AddLearner(peer(4)), node.IfIndex(conf.Index))
	_, err := lead.ChangePeers(ctx, node.Remove("n4"), node.IfIndex(first.Index))
	refused(t, err, raft.ErrConfigurationStale, raft.NotAppended)
	require.True(t, conf.IsLearner("n4"))
}

func TestCatchUpFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *node.Options) { o.ElectionTimeout /= 2 })
	c.leader()
	ctx := within(t, 20*time.Second)
	_, err := c.follower().ChangePeers(ctx, node.Add(peer(9)))
	refused(t, err, raft.ErrCatchUp, raft.NotAppended)
	require.ErrorContains(t, err, "n9 at n9:1 has never answered")
	require.ErrorContains(t, err, "nothing was changed")
	require.Nil(t, c.leader().Status().Changing)
}

func TestChangeWithoutLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	c.net.Partition([]string{"n1:1"}, []string{"n2:1"}, []string{"n3:1"})
	c.eventually(func() bool { return c.nodes["n1"].Status().Leader.ID == "" })
	ctx, cancel := context.WithTimeout(context.Background(), electionTimeout/2)
	defer cancel()
	_, err := c.nodes["n1"].ChangePeers(ctx, node.Remove("n2"))
	refused(t, err, raft.ErrNoLeader, raft.NotAppended)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = c.nodes["n1"].TransferLeadership(ctx, "n2")
	refused(t, err, raft.ErrNoLeader, raft.NotAppended)
	waiting, alone := make(chan error, 1), c.nodes["n1"]
	go func() {
		_, err := alone.ChangePeers(context.Background(), node.Remove("n2"))
		waiting <- err
	}()
	c.stop("n1")
	refused(t, <-waiting, raft.ErrStopped, raft.NotAppended)
}

// lossy loses the replies of some fetches.
type lossy struct {
	transport.Transport
	lose func() bool
}

func (l lossy) Fetch(
	ctx context.Context, addr string, c transport.Call, request []byte,
) ([]byte, error) {
	reply, err := l.Transport.Fetch(ctx, addr, c, request)
	if l.lose() {
		return nil, fmt.Errorf("lost: %w", transport.ErrUnreachable)
	}
	return reply, err
}

func TestLostReplyIsGivenAgain(t *testing.T) {
	t.Parallel()
	var losing sync.Mutex
	left := 0
	c := newCluster(t, 3, func(o *node.Options) {
		calm(o)
		o.Transport = lossy{o.Transport, func() bool {
			losing.Lock()
			defer losing.Unlock()
			left--
			return left >= 0
		}}
	})
	index := c.leader().Status().Configuration.Index
	losing.Lock()
	left = 2
	losing.Unlock()
	conf := c.changed(c.follower(), node.AddLearner(peer(4)), node.IfIndex(index))
	require.True(t, conf.IsLearner("n4"), "and not stale because of itself")
}

func TestLearnerServesReads(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, calm)
	c.write(c.leader(), 0, 5)
	c.join(2)
	c.changed(c.leader(), node.AddLearner(peer(2)))
	learner := c.nodes["n2"]
	r, err := learner.Apply(within(t, 10*time.Second), []byte("six"))
	require.NoError(t, err)
	i, err := learner.Read(within(t, 10*time.Second))
	require.NoError(t, err)
	require.GreaterOrEqual(t, i, r.Index)
	require.Equal(t, node.Learner, learner.Status().Role)
	c.changed(learner, node.Promote("n2"))
	require.Equal(t, node.Follower, learner.Status().Role)
	conf := c.changed(learner, node.Demote("n1"))
	require.Equal(t, []raft.PeerID{"n2"}, ids(conf.Voters))
	c.eventually(func() bool { return learner.Status().Role == node.Leader })
}

// TestAddressChanges moves a member to another address.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	var c *cluster
	t.Cleanup(func() { _ = c.net.Transport("elsewhere:1").Close() })
	c = newCluster(t, 3, calm)
	c.leader()
	id := c.follower().Status().ID
	c.stop(id)
	require.NoError(t, c.net.Transport(string(id)+":1").Close())
	c.changed(c.leader(), node.SetAddr(id, "elsewhere:1"))
	change := c.change
	c.change = func(o *node.Options) {
		change(o)
		o.Transport = c.net.Transport("elsewhere:1")
	}
	n := c.start(id)
	r, err := n.Apply(within(t, 10*time.Second), []byte("x"))
	require.NoError(t, err)
	require.NoError(t, n.WaitApplied(within(t, 10*time.Second), r.Index))
}

// TestRestartedJoiner joins, stops and starts with the same call.
func TestRestartedJoiner(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, calm)
	c.write(c.leader(), 0, 5)
	p := c.join(2)
	c.changed(c.leader(), node.Add(p...))
	c.stop("n2")
	c.peers = nil
	n := c.start("n2")
	_, err := n.Apply(within(t, 10*time.Second), []byte("x"))
	require.NoError(t, err)
	require.Len(t, c.converge(), 6)
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead := c.leader()
	old := lead.Status().ID
	target := c.follower()
	to := target.Status().ID
	got, err := lead.TransferLeadership(within(t, 10*time.Second), to)
	require.NoError(t, err)
	require.Equal(t, to, got)
	require.Equal(t, to, lead.Status().Leader.ID)
	c.leader()                                                        // one that has heard of others
	got, err = lead.TransferLeadership(within(t, 10*time.Second), "") // forwarded
	require.NoError(t, err)
	require.NotEqual(t, to, got)
	c.eventually(func() bool { return c.nodes[got].Status().Role == node.Leader })
	_, err = c.nodes[to].TransferLeadership(within(t, 10*time.Second), "n9")
	refused(t, err, raft.ErrUnfit, raft.NotAppended)
	got, err = c.nodes[to].TransferLeadership(within(t, 10*time.Second), got)
	require.NoError(t, err, "leads already")
	require.NotEmpty(t, got)
	require.NotEmpty(t, old)
}

func TestTransferToLostMember(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *node.Options) { o.ElectionTimeout = 3 * electionTimeout })
	lead := c.leader()
	to := c.follower().Status().ID
	c.net.Partition([]string{string(to) + ":1"})
	waits := make(chan error, 1)
	transfer := make(chan error, 1)
	go func() {
		_, err := lead.TransferLeadership(context.Background(), to)
		transfer <- err
	}()
	submitted := make(chan error, 1)
	c.eventually(func() bool {
		lead.Submit([]byte("x"), func(_ node.Result, err error) { submitted <- err })
		return errors.Is(<-submitted, raft.ErrTransferring)
	})
	c.eventually(func() bool { return lead.Status().Transferring == to })
	go func() {
		_, err := lead.Apply(context.Background(), []byte("waits"))
		waits <- err
	}()
	err := <-transfer
	refused(t, err, raft.ErrCatchUp, raft.NotAppended)
	require.NoError(t, <-waits)
	require.Equal(t, node.Leader, lead.Status().Role)
}

func TestTransferUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	c.leader()
	stop := make(chan struct{})
	result := c.storm(stop)
	for range 6 {
		_, err := c.leader().TransferLeadership(within(t, 10*time.Second), "")
		require.NoError(t, err)
	}
	close(stop)
	all := result()
	c.converge()
	checkExactlyOnce(t, all, c.machine["n1"].counts())
}

// gap writes from everywhere while f runs, and returns the longest time between two writes that
// succeeded.
func (c *cluster) gap(members []*node.Node, f func()) time.Duration {
	var mu sync.Mutex
	longest, last := time.Duration(0), time.Now()
	ctx, cancel := context.WithCancel(within(c.t, 20*time.Second))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, n := range members {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := n.Apply(ctx, []byte("w")); err == nil {
					mu.Lock()
					longest, last = max(longest, time.Since(last)), time.Now()
					mu.Unlock()
				}
			}
		})
	}
	c.eventually(func() bool {
		mu.Lock()
		defer mu.Unlock()
		return longest > 0
	})
	mu.Lock()
	longest = 0
	mu.Unlock()
	f()
	for { // one that begins after f is the end of the gap
		if _, err := members[0].Apply(ctx, []byte("w")); err == nil {
			break
		}
		require.NoError(c.t, ctx.Err())
	}
	mu.Lock()
	defer mu.Unlock()
	return max(longest, time.Since(last))
}

// failover breaks the connections of the leader, and returns how long it takes until the next write
// succeeds. One survivor is not to lead, so that no vote is split, and both have all of the log, so
// that the other can win.
func (c *cluster) failover(lead *node.Node) time.Duration {
	c.t.Helper()
	rest := c.others(lead)
	conf := c.changed(lead, node.SetPriority(rest[0].Status().ID, raft.NeverLeader))
	for _, n := range rest {
		require.NoError(c.t, n.WaitApplied(within(c.t, 10*time.Second), conf.Index))
		c.eventually(func() bool { return n.Status().Durable >= conf.Index })
	}
	require.NoError(c.t, c.transports[lead.Status().ID].Close())
	start, ctx := time.Now(), within(c.t, 20*time.Second)
	for {
		if _, err := rest[1].Apply(ctx, []byte("w")); err == nil {
			return time.Since(start)
		}
		require.NoError(c.t, ctx.Err())
	}
}

func (c *cluster) others(n *node.Node) (out []*node.Node) {
	for _, other := range c.nodes {
		if other != n {
			out = append(out, other)
		}
	}
	return out
}

func TestStopOfTheLeaderLeavesNoGap(t *testing.T) {
	c := newCluster(t, 3, calm)
	lead := c.leader()
	gap := c.gap(c.others(lead), func() { c.stop(lead.Status().ID) })
	t.Logf("longest time between two writes: %v", gap)
	require.Less(t, gap, 4*electionTimeout, "half of an election timeout")
}

// TestStopRightAfterTheElection: nobody has answered the new leader yet, and somebody takes over.
func TestStopRightAfterTheElection(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(o *node.Options) { o.ElectionTimeout = 15 * electionTimeout })
	for _, from := range c.peers {
		for _, to := range c.peers {
			link := transport.Link{DelayMin: electionTimeout / 2, DelayMax: electionTimeout / 2}
			c.net.SetLink(from.Addr, to.Addr, link)
		}
	}
	var lead *node.Node
	c.eventually(func() bool {
		for _, n := range c.nodes {
			if n.Status().Role == node.Leader {
				lead = n
			}
		}
		return lead != nil
	})
	c.stop(lead.Status().ID)
	require.True(t, slices.ContainsFunc(slices.Collect(maps.Values(c.nodes)), func(n *node.Node) bool {
		return n.Status().Role == node.Leader
	}), "before the old one has stopped")
}

func TestStopWithoutSuccessor(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, calm)
	lead := c.leader()
	c.net.Partition([]string{"n1:1"})
	start := time.Now()
	require.NoError(t, lead.Stop(context.Background()))
	require.Less(t, time.Since(start), 8*electionTimeout+time.Second)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = lead.Stop(ended)
}

// TestFailoverAfterBreak ends the leader's process: its connections break.
func TestFailoverAfterBreak(t *testing.T) {
	c := newCluster(t, 3, func(o *node.Options) { o.ElectionTimeout = time.Second })
	gap := c.failover(c.leader())
	t.Logf("until the next write: %v", gap)
	require.Less(t, gap, time.Second/2, "half of an election timeout")
}
