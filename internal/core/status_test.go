package core

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLostLogIsNoticed: a follower that lacks what it has acknowledged is shown as what it is, and
// is sent everything anew.
func TestLostLogIsNoticed(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	a.propose("x")
	c.pass(2 * testHeartbeat)
	b := c.member("b")
	require.False(t, a.Status().Peers[0].LostLog)
	b.crash()
	b.start()
	c.pass(10 * testHeartbeat)
	require.False(t, a.Status().Peers[0].LostLog, "a restart is not a loss")
	b.crash()
	b.wipe()
	b.start()
	c.pass(20 * testHeartbeat)
	require.True(t, a.Status().Peers[0].LostLog)
	require.False(t, a.Status().Peers[1].LostLog)
	require.Equal(t, a.commands(), b.commands())
}
