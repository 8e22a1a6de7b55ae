package node_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// TestOtherFirstPeersAtARestart: they are ignored, because the log knows the members, and that is
// said.
func TestOtherFirstPeersAtARestart(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.write(c.leader(), 0, 1)
	c.stop("n1")
	for _, other := range []bool{false, true} {
		var said bytes.Buffer
		o := c.options("n1")
		o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		if other {
			o.Peers = append(o.Peers, raft.Peer{ID: "n9", Addr: "n9:1"})
		}
		n, err := node.Start(o)
		require.NoError(t, err)
		require.Len(t, n.Status().Configuration.Voters, 1)
		require.NoError(t, n.Stop(t.Context()))
		warned := bytes.Contains(said.Bytes(), []byte("are not those that the group began"))
		require.Equal(t, other, warned)
	}
}
