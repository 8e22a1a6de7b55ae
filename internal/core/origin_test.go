package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// startedWith gives a member another first configuration.
func (m *member) startedWith(conf raft.Configuration) {
	conf = raft.WithOrigin(conf)
	m.stored[0], _ = raft.MakeEntry(nil, 0, 1, raft.EntryConfiguration, raft.EncodeConfiguration(conf))
	m.start()
}

func peers(ids ...raft.PeerID) (conf raft.Configuration) {
	for _, id := range ids {
		conf.Voters = append(conf.Voters, raft.Peer{ID: id, Addr: string(id) + ":1"})
	}
	return conf
}

// TestDifferentFirstPeers starts a member with another list than the others have.
func TestDifferentFirstPeers(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	for _, id := range []raft.PeerID{"a", "b"} {
		c.member(id).startedWith(peers("a", "b", "c"))
	}
	c.member("c").startedWith(peers("a", "c"))
	before := c.member("c").Status()
	lead := c.elect("a")
	require.Equal(t, Leader, lead.role)
	c.pass(3 * testElection)
	s := c.member("c").Status()
	require.Equal(t, before.Last, s.Last, "nothing was taken from a leader of another group")
	require.Contains(t, s.Strangers, raft.PeerID("a"))
	require.Equal(t, before.Configuration, s.Configuration)
	require.Contains(t, lead.Status().Strangers, raft.PeerID("c"), "whose requests for votes came")
	require.Empty(t, c.member("b").Status().Pulling.Last)
	require.Equal(t, Leader, lead.role)
}

// TestOriginIsKept by every later configuration, and a member that knows none is let in.
func TestOriginIsKept(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	first := raft.WithOrigin(peers("a", "b", "c"))
	for _, m := range c.members {
		m.startedWith(first)
	}
	lead := c.elect("a")
	lead.Change(c.now, Change{ID: 1, Edits: []raft.Edit{
		{Kind: raft.EditReplace, Peers: peers("a", "b").Voters},
	}})
	lead.pump()
	c.settle()
	for _, id := range []raft.PeerID{"a", "b"} {
		conf := c.member(id).configuration()
		require.Len(t, conf.Voters, 2)
		require.Equal(t, first.Origin, conf.Origin)
	}
	beat := raft.Message{Cluster: "test", Group: "g", From: "x", To: "b", Term: 9,
		Body: &raft.Heartbeat{Round: 1}}
	require.False(t, c.member("b").foreign(&beat), "an origin that is not known is let in")
	beat.Body = &raft.InstallSnapshot{Meta: raft.SnapshotMeta{
		Configuration: raft.Configuration{Origin: first.Origin + 1},
	}}
	require.True(t, c.member("b").foreign(&beat))
}
