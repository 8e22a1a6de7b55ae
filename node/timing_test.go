package node_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// TestElectionTiming runs on the clock of a bubble, on which nothing takes time but waiting.
func TestElectionTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Second
		c := newCluster(t, 3, func(o *node.Options) {
			o.ElectionTimeout, o.Store = timeout, &memoryStore{}
		})
		elected := func(n *node.Node) time.Duration {
			begun := time.Now()
			_, err := n.WaitLeader(context.Background())
			require.NoError(t, err)
			return time.Since(begun)
		}
		require.LessOrEqual(t, elected(c.nodes["n1"]), 2*timeout)
		time.Sleep(20 * timeout) // an idle group keeps its leader
		first := c.nodes["n1"].Status()
		require.Equal(t, raft.Term(1), first.Term)
		c.net.Partition([]string{first.Leader.Addr})
		time.Sleep(timeout + timeout/5) // check-quorum looks once per heartbeat
		cut := c.nodes[first.Leader.ID]
		require.NotEqual(t, node.Leader, cut.Status().Role)
		time.Sleep(4 * timeout) // one vote may be split
		var second node.Status
		for id, n := range c.nodes {
			if id != first.Leader.ID {
				second = n.Status()
				require.NotEqual(t, first.Leader, second.Leader)
				require.NotZero(t, second.Leader)
			}
		}
		time.Sleep(20 * timeout)
		c.net.Heal()
		time.Sleep(2 * timeout)
		require.Equal(t, second.Term, cut.Status().Term,
			"who was cut off disturbs nobody when it comes back (thesis §9.6)")
		require.Equal(t, second.Leader, cut.Status().Leader)
		c.stopAll()
	})
}
