package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// Pieces of a backup become entries of their own kind, in the order in which they were proposed
// among commands, on the leader and by a follower.
func TestPiecesOfABackupKeepTheirPlace(t *testing.T) {
	for _, leads := range []bool{true, false} {
		c := newCluster(t, "a", "b", "c")
		m := c.elect("a")
		if !leads {
			m = c.member("b")
		}
		from := len(m.applied)
		ps := make([]Proposal, 5)
		for i, data := range []string{"w1", "r1", "r2", "w2", "r3"} {
			ps[i] = Proposal{ID: uint64(i), Data: []byte(data), Restore: data[0] == 'r'}
		}
		m.Propose(c.now, ps)
		m.pump()
		c.settle()
		c.pass(10 * testHeartbeat)
		got := m.applied[from:]
		require.Len(t, got, len(ps))
		for i, e := range got {
			kind := raft.EntryCommand
			if ps[i].Restore {
				kind = raft.EntryRestore
			}
			require.Equal(t, kind, e.Kind)
			require.Equal(t, ps[i].Data, e.Data)
			require.Equal(t, Placed{ID: uint64(i), At: e.ID()}, m.placed[i])
		}
	}
}
