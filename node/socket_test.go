package node_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport/grpctransport"
)

// sockets is a cluster over gRPC, on ports that are free.
func sockets(t *testing.T, size int, adjust ...func(*node.Options)) (
	*cluster, map[raft.PeerID]*grpctransport.Transport,
) {
	t.Helper()
	all := map[raft.PeerID]*grpctransport.Transport{}
	t.Cleanup(func() {
		for _, tr := range all {
			require.NoError(t, tr.Close())
		}
	})
	c := newCluster(t, 0, func(o *node.Options) {
		o.ElectionTimeout = time.Second
		tr := all[o.ID]
		if tr == nil {
			var err error
			tr, err = grpctransport.Listen("127.0.0.1:0")
			require.NoError(t, err)
			all[o.ID] = tr
		}
		o.Transport = tr
		for _, f := range adjust {
			f(o)
		}
	})
	for i := range size { // the addresses are known once they listen
		id := peer(i + 1).ID
		c.dirs[id] = t.TempDir()
		o := c.options(id)
		c.peers = append(c.peers, raft.Peer{ID: id, Addr: o.Transport.Addr()})
	}
	for _, p := range c.peers {
		c.start(p.ID)
	}
	return c, all
}

// TestOverSockets joins a member, changes what is to be changed from a follower, and goes on.
func TestOverSockets(t *testing.T) {
	c, all := sockets(t, 3)
	c.write(c.leader(), 0, 10)
	c.join(4)
	fourth := raft.Peer{ID: "n4", Addr: all["n4"].Addr()}
	conf := c.changed(c.follower(), node.Add(fourth))
	require.True(t, conf.IsVoter("n4"))
	require.NoError(t, c.nodes["n4"].WaitApplied(within(t, 10*time.Second), conf.Index))
	to, err := c.follower().TransferLeadership(within(t, 10*time.Second), "n4")
	require.NoError(t, err)
	require.Equal(t, raft.PeerID("n4"), to)
	_, err = c.nodes["n1"].ChangePeers(within(t, 10*time.Second), node.Promote("n9"))
	refused(t, err, raft.ErrBadConfiguration, raft.NotAppended)

	lead := c.nodes["n4"]
	gap := c.gap(c.others(lead), func() { c.stop("n4") })
	t.Logf("leader stopped: longest time between two writes %v", gap)
	require.Less(t, gap, time.Second/2)

	lead = c.leader()
	c.changed(lead, node.Remove("n4"))
	gap = c.failover(lead)
	t.Logf("leader's connections broken: until the next write %v", gap)
	require.Less(t, gap, time.Second/2)
}
