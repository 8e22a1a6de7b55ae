package raft_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

func peer(id raft.PeerID) raft.Peer { return raft.Peer{ID: id, Addr: string(id) + ":1"} }

func peersOf(ids ...raft.PeerID) (list []raft.Peer) {
	for _, id := range ids {
		list = append(list, peer(id))
	}
	return list
}

func edit(kind raft.EditKind, ids ...raft.PeerID) raft.Edit {
	return raft.Edit{Kind: kind, Peers: peersOf(ids...)}
}

func moved(id raft.PeerID) []raft.Peer { return []raft.Peer{{ID: id, Addr: "moved:1"}} }

func move(id raft.PeerID) []raft.Edit {
	return []raft.Edit{{Kind: raft.EditAddr, Peers: moved(id)}}
}

func ranked(priority int, ids ...raft.PeerID) (list []raft.Peer) {
	for _, id := range ids {
		list = append(list, raft.Peer{ID: id, Priority: priority})
	}
	return list
}

// before is what the edits of the tables meet: voters a, b, c and learners l, m.
func before() raft.Configuration {
	return raft.Configuration{
		Index: 7, Voters: peersOf("a", "b", "c"), Learners: peersOf("l", "m"),
	}
}

func TestEdited(t *testing.T) {
	abc, lm := peersOf("a", "b", "c"), peersOf("l", "m")
	never := slices.Concat([]raft.Peer{{ID: "a", Addr: "a:1", Priority: raft.NeverLeader}},
		peersOf("b", "c"))
	for name, tc := range map[string]struct {
		edits    []raft.Edit
		voters   []raft.Peer
		learners []raft.Peer
	}{
		"add":           {[]raft.Edit{edit(raft.EditAdd, "d")}, peersOf("a", "b", "c", "d"), lm},
		"add a learner": {[]raft.Edit{edit(raft.EditAddLearner, "d")}, abc, peersOf("l", "m", "d")},
		"add promotes": {
			[]raft.Edit{edit(raft.EditAdd, "l")}, peersOf("a", "b", "c", "l"), peersOf("m"),
		},
		"remove": {
			[]raft.Edit{edit(raft.EditRemove, "b", "l")}, peersOf("a", "c"), peersOf("m"),
		},
		"promote": {
			[]raft.Edit{edit(raft.EditPromote, "m")}, peersOf("a", "b", "c", "m"), peersOf("l"),
		},
		"demote": {
			[]raft.Edit{edit(raft.EditDemote, "a")}, peersOf("b", "c"), peersOf("l", "m", "a"),
		},
		"move":           {move("b"), slices.Concat(moved("b"), peersOf("a", "c")), lm},
		"move a learner": {move("m"), abc, slices.Concat(peersOf("l"), moved("m"))},
		"rank":           {[]raft.Edit{{Kind: raft.EditPriority, Peers: ranked(-1, "a")}}, never, lm},
		"replace": {
			[]raft.Edit{{Kind: raft.EditReplace, Peers: peersOf("c", "x"), Learners: peersOf("a")}},
			peersOf("c", "x"), peersOf("a"),
		},
		"several": {
			[]raft.Edit{edit(raft.EditAdd, "d"), edit(raft.EditRemove, "c"), edit(raft.EditPromote, "l"),
				edit(raft.EditDemote, "b"), {Kind: raft.EditAddr, Peers: moved("b")}},
			peersOf("a", "d", "l"), slices.Concat(peersOf("m"), moved("b")),
		},
		"nothing":           {nil, abc, lm},
		"added already":     {[]raft.Edit{edit(raft.EditAdd, "a")}, abc, lm},
		"a learner already": {[]raft.Edit{edit(raft.EditAddLearner, "m")}, abc, lm},
		"removed already":   {[]raft.Edit{edit(raft.EditRemove, "x")}, abc, lm},
		"promoted and demoted": {
			[]raft.Edit{edit(raft.EditPromote, "a"), edit(raft.EditDemote, "l")}, abc, lm,
		},
	} {
		c := before()
		got, err := c.Edited(tc.edits)
		require.NoError(t, err, name)
		want := raft.Configuration{Voters: tc.voters, Learners: tc.learners}
		require.True(t, got.SameMembers(&want), "%s: %v", name, &got)
		require.Equal(t, before(), c, name)
		if tc.edits != nil {
			require.NoError(t, raft.ValidateEdits(tc.edits), name)
		}
	}
}

func TestEditsThatContradict(t *testing.T) {
	abc := peersOf("a", "b", "c")
	for name, edits := range map[string][]raft.Edit{
		"a voter is added elsewhere":    {{Kind: raft.EditAdd, Peers: moved("a")}},
		"a learner is added elsewhere":  {{Kind: raft.EditAddLearner, Peers: moved("l")}},
		"added with another priority":   {{Kind: raft.EditAdd, Peers: ranked(4, "a")}},
		"a voter is added as a learner": {edit(raft.EditAddLearner, "a")},
		"a stranger is promoted":        {edit(raft.EditPromote, "x")},
		"a stranger is demoted":         {edit(raft.EditDemote, "x")},
		"a stranger moves":              {edit(raft.EditAddr, "x")},
		"a stranger is ranked":          {edit(raft.EditPriority, "x")},
		"no voter is left":              {edit(raft.EditRemove, "a", "b", "c")},
		"all are demoted":               {edit(raft.EditDemote, "a", "b", "c")},
		"nobody may lead":               {{Kind: raft.EditPriority, Peers: ranked(-1, "a", "b", "c")}},
		"a priority that is none":       {{Kind: raft.EditPriority, Peers: ranked(-2, "a")}},
		"an address that is none":       {{Kind: raft.EditAddr, Peers: ranked(0, "a")}},
		"a voter that also learns":      {{Kind: raft.EditReplace, Peers: abc, Learners: abc}},
		"a replacement twice":           {{Kind: raft.EditReplace, Peers: peersOf("a", "a")}},
		"an id that is none":            {edit(raft.EditAdd, "")},
		"an unknown kind":               {edit(99, "a")},
		"no kind":                       {edit(0, "a")},
		"added twice":                   {edit(raft.EditAdd, "d"), edit(raft.EditAdd, "d")},
		"added and removed":             {edit(raft.EditAdd, "d"), edit(raft.EditRemove, "d")},
		"removed and added":             {edit(raft.EditRemove, "a"), edit(raft.EditAdd, "a")},
		"promoted and demoted":          {edit(raft.EditPromote, "l"), edit(raft.EditDemote, "l")},
		"promoted and removed":          {edit(raft.EditPromote, "l"), edit(raft.EditRemove, "l")},
		"added as a learner and voter":  {edit(raft.EditAddLearner, "d"), edit(raft.EditAdd, "d")},
		"replaced and more":             {edit(raft.EditReplace, "a"), edit(raft.EditAdd, "d")},
	} {
		c := before()
		got, err := c.Edited(edits)
		require.ErrorIs(t, err, raft.ErrBadConfiguration, name)
		require.Zero(t, got, name)
		require.Equal(t, before(), c, name)
	}
}

func TestValidateEdits(t *testing.T) {
	for name, edits := range map[string][]raft.Edit{
		"none":               nil,
		"unknown kind":       {edit(9, "a")},
		"no kind":            {edit(0, "a")},
		"nobody":             {{Kind: raft.EditAdd}},
		"replaced by nobody": {{Kind: raft.EditReplace, Learners: peersOf("a")}},
		"bad id":             {edit(raft.EditRemove, "a b")},
		"bad learner":        {{Kind: raft.EditReplace, Peers: peersOf("a"), Learners: peersOf("")}},
		"two at odds":        {edit(raft.EditPromote, "a"), edit(raft.EditDemote, "a")},
	} {
		require.ErrorIs(t, raft.ValidateEdits(edits), raft.ErrBadConfiguration, name)
	}
	both := []raft.Edit{{Kind: raft.EditReplace, Peers: peersOf("a")[:1:1], Learners: peersOf("b")}}
	require.NoError(t, raft.ValidateEdits(both))
	require.Equal(t, peersOf("a"), both[0].Peers, "what is looked at stays as it is")
}

func TestSameMembers(t *testing.T) {
	c, o := before(), before()
	o.Index = 99
	slices.Reverse(o.Voters)
	slices.Reverse(o.Learners)
	require.True(t, c.SameMembers(&o), "neither order nor index matters")
	require.True(t, c.SameVoters(&o))
	for _, change := range []func(*raft.Configuration){
		func(o *raft.Configuration) { o.Voters = o.Voters[1:] },
		func(o *raft.Configuration) { o.Voters[0].Priority = 3 },
		func(o *raft.Configuration) { o.Voters[0].Addr = "elsewhere:1" },
		func(o *raft.Configuration) { o.Voters[0].ID = "x" },
		func(o *raft.Configuration) { o.Learners = nil },
		func(o *raft.Configuration) { o.Voters[0], o.Learners[0] = o.Learners[0], o.Voters[0] },
		func(o *raft.Configuration) { o.Outgoing = peersOf("a") },
	} {
		o := before()
		change(&o)
		require.False(t, c.SameMembers(&o), "%+v", o)
		require.False(t, o.SameMembers(&c), "%+v", o)
	}
}

func drawPeers(t *rapid.T, label string) (list []raft.Peer) {
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 3, rapid.ID).Draw(t, label) {
		list = append(list, raft.Peer{
			ID: raft.PeerID(fmt.Sprint("m", n)), Addr: fmt.Sprintf("h%d:%d", n,
				rapid.IntRange(1, 2).Draw(t, "port")), Priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
		})
	}
	return list
}

// TestEditedTwiceIsEditedOnce: a change that is asked for again, because the answer was lost, does
// nothing new. The result is valid, and shares no memory.
func TestEditedTwiceIsEditedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := raft.Configuration{
			Index: 5, Voters: drawPeers(t, "voters"), Learners: drawPeers(t, "learners"),
		}
		if c.Validate() != nil {
			return
		}
		var edits []raft.Edit
		for range rapid.IntRange(1, 3).Draw(t, "edits") {
			e := raft.Edit{
				Kind:  raft.EditKind(rapid.IntRange(1, 8).Draw(t, "kind")),
				Peers: drawPeers(t, "peers"),
			}
			if e.Kind == raft.EditReplace {
				e.Learners = drawPeers(t, "peers")
			}
			edits = append(edits, e)
		}
		first, was := c.Clone(), c.Clone()
		once, err := first.Edited(edits)
		if err != nil {
			require.ErrorIs(t, err, raft.ErrBadConfiguration)
			return
		}
		require.NoError(t, once.Validate())
		require.NoError(t, raft.ValidateEdits(edits))
		require.Zero(t, once.Index)
		keep := once.Clone()
		twice, err := once.Edited(edits)
		require.NoError(t, err)
		require.True(t, once.SameMembers(&twice), "%v, then %v", &once, &twice)
		for _, list := range [][]raft.Peer{first.Voters, first.Learners, twice.Voters, twice.Learners} {
			clear(list)
		}
		for i := range edits {
			clear(edits[i].Peers)
			clear(edits[i].Learners)
		}
		require.Equal(t, keep, once, "memory is shared")
		require.NotEqual(t, was, first, "the test clears something")
	})
}

// TestMembersDoNotShareAnAddress: two members of a group at one address are a mistake.
func TestMembersDoNotShareAnAddress(t *testing.T) {
	c := before()
	for _, e := range []raft.Edit{
		{Kind: raft.EditAdd, Peers: []raft.Peer{{ID: "d", Addr: c.Voters[0].Addr}}},
		{Kind: raft.EditAddr, Peers: []raft.Peer{{ID: "b", Addr: c.Learners[0].Addr}}},
	} {
		_, err := c.Edited([]raft.Edit{e})
		require.ErrorIs(t, err, raft.ErrBadConfiguration)
		require.ErrorContains(t, err, "are both at")
	}
}
