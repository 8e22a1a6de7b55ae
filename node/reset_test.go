package node_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// audit returns the records in a member's directory.
func (c *cluster) audit(id raft.PeerID) (records []map[string]any) {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dirs[id], "audit.log"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(c.t, err)
	for line := range strings.Lines(string(b)) {
		var r map[string]any
		require.NoError(c.t, json.Unmarshal([]byte(line), &r))
		records = append(records, r)
	}
	return records
}

// never returns the peers, of which the first may not lead.
func never(peers []raft.Peer) []raft.Peer {
	peers = slices.Clone(peers)
	peers[0].Priority = raft.NeverLeader
	return peers
}

func TestResetPeers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	lead := c.leader()
	c.write(lead, 0, 20)
	c.converge()
	ctx := within(t, 20*time.Second)
	refused(t, lead.ResetPeers(ctx, c.peers), raft.ErrQuorumAlive, raft.NotAppended)
	refused(t, lead.ResetPeers(ctx, c.peers, node.Force()), raft.ErrQuorumAlive, raft.NotAppended)
	c.stop("n2")
	c.stop("n3")
	n := c.nodes["n1"]
	before := n.Status().Configuration
	refused(t, n.ResetPeers(ctx, c.peers[1:]), raft.ErrBadConfiguration, raft.NotAppended)
	refused(t, n.ResetPeers(ctx, nil), raft.ErrBadConfiguration, raft.NotAppended)
	refused(t, n.ResetPeers(ctx, never(c.peers)), raft.ErrBadConfiguration, raft.NotAppended)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	refused(t, n.ResetPeers(ended, c.peers[:1]), context.Canceled, raft.NotAppended)
	require.NoError(t, n.ResetPeers(ctx, c.peers[:1], node.DryRun()))
	require.Equal(t, before, n.Status().Configuration)
	recorded := len(c.audit("n1"))

	require.NoError(t, n.ResetPeers(ctx, c.peers[:1]))
	require.Equal(t, []raft.PeerID{"n1"}, ids(n.Status().Configuration.Voters))
	require.Equal(t, before.Origin, n.Status().Configuration.Origin)
	c.write(c.leader(), 20, 30)
	records := c.audit("n1")[recorded:]
	require.Len(t, records, 2)
	require.Equal(t, "begin", records[0]["stage"])
	require.Equal(t, "done", records[1]["stage"])
	require.Equal(t, "reset peers", records[1]["what"])
	require.NotZero(t, records[1]["last"].(map[string]any)["Index"])

	// A member of before is added as any other would be.
	c.stop("n1")
	c.start("n1")
	require.NoError(t, os.RemoveAll(c.dirs["n2"]))
	c.join(2)
	c.changed(c.leader(), node.Add(peer(2)))
	require.Len(t, c.converge(), 30)
}

func TestResetPeersWithOtherSurvivor(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 5, nil)
	c.write(c.leader(), 0, 10)
	c.converge()
	for _, id := range []raft.PeerID{"n3", "n4", "n5"} {
		c.stop(id)
	}
	require.NoError(t, c.nodes["n1"].ResetPeers(within(t, 20*time.Second), c.peers[:2]))
	c.write(c.leader(), 10, 20)
	require.Len(t, c.converge(), 20)
	c.eventually(func() bool { return len(c.nodes["n2"].Status().Configuration.Voters) == 2 })
}

func TestRecover(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, asked)
	lead := c.leader()
	c.write(lead, 0, 20)
	c.converge()
	c.snapshot(c.nodes["n1"])
	c.write(c.leader(), 20, 25)
	c.converge()
	dir := c.dirs["n1"]
	_, err := node.Recover(dir, c.peers[:1])
	require.ErrorContains(t, err, "in use")
	for _, p := range c.peers {
		c.stop(p.ID)
	}
	_, err = node.Recover(dir, c.peers[1:])
	require.ErrorIs(t, err, raft.ErrBadConfiguration)
	_, err = node.Recover(dir, nil)
	require.ErrorIs(t, err, raft.ErrBadConfiguration)
	_, err = node.Recover(dir, never(c.peers))
	require.ErrorIs(t, err, raft.ErrBadConfiguration)
	_, err = node.Recover(t.TempDir(), c.peers[:1])
	require.ErrorIs(t, err, fs.ErrNotExist)

	would, err := node.Recover(dir, c.peers[:1], node.DryRun())
	require.NoError(t, err)
	require.Empty(t, c.audit("n1"))
	conf, err := node.Recover(dir, c.peers[:1])
	require.NoError(t, err)
	require.Equal(t, would, conf)
	records := c.audit("n1")
	require.Len(t, records, 2)
	copied, err := os.ReadDir(filepath.Join(dir, records[1]["copy"].(string)))
	require.NoError(t, err)
	require.NotEmpty(t, copied)

	c.start("n1")
	c.write(c.leader(), 25, 30)
	require.Equal(t, []raft.PeerID{"n1"}, ids(c.nodes["n1"].Status().Configuration.Voters))
	require.Len(t, c.nodes["n1"].Status().Peers, 0)
	require.Len(t, c.machine["n1"].all(), 30)

	// The copy is the log as it was.
	c.stop("n1")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "log")))
	require.NoError(t, os.Rename(
		filepath.Join(dir, records[1]["copy"].(string)), filepath.Join(dir, "log")))
	c.start("n1")
	c.start("n2")
	require.Len(t, c.leader().Status().Configuration.Voters, 3)
}
