package raft_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

func TestIDs(t *testing.T) {
	long := strings.Repeat("x", raft.MaxIDBytes)
	for id, valid := range map[string]bool{
		"a": true, "n1": true, "A-Z_0.9": true, "...": true, long: true,
		"": false, long + "x": false, "a b": false, "a/b": false, "a:1": false, "ä": false,
		"a\x00": false, "127.0.0.1:80": false, "\xff": false,
	} {
		require.Equal(t, valid, raft.PeerID(id).Validate() == nil, "%q", id)
		require.Equal(t, valid, raft.GroupID(id).Validate() == nil, "%q", id)
		require.Equal(t, valid || id == "", raft.ValidateCluster(id) == nil, "%q", id)
	}
	require.ErrorContains(t, raft.PeerID("a b").Validate(), `peer id "a b" contains ' '`)
	require.ErrorContains(t, raft.PeerID("nü").Validate(), `contains 'ü'`)
	require.ErrorContains(t, raft.GroupID("").Validate(), "group id")
	huge := raft.PeerID(strings.Repeat("x", 1<<20)).Validate()
	require.Less(t, len(huge.Error()), 200, "a text of hostile length is cut")
}

func TestLogIDOrder(t *testing.T) {
	inOrder := []raft.LogID{{}, {0, 1}, {0, 2}, {1, 1}, {1, 9}, {2, 0}, {2, 5}, {9, 1}}
	for i, a := range inOrder {
		for j, b := range inOrder {
			require.Equal(t, i < j, a.Less(b), "%v %v", a, b)
		}
	}
	require.Equal(t, "3/17", raft.LogID{Term: 3, Index: 17}.String())
}
