package raft_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

func member(id string) raft.Peer { return raft.Peer{ID: raft.PeerID(id), Addr: id + ":7000"} }

func members(ids ...string) (list []raft.Peer) {
	for _, id := range ids {
		list = append(list, member(id))
	}
	return list
}

func TestConfigurationValidate(t *testing.T) {
	with := func(addr string, priority int) []raft.Peer {
		return []raft.Peer{{ID: "a", Addr: addr, Priority: priority}}
	}
	type conf = raft.Configuration
	for name, c := range map[string]struct {
		c       conf
		problem string // empty: valid
	}{
		"one voter":     {conf{Voters: members("a")}, ""},
		"three and one": {conf{Voters: members("a", "b", "c"), Learners: members("d")}, ""},
		"joint":         {conf{Voters: members("a"), Outgoing: members("a", "b")}, ""},
		"demotion": {
			conf{Voters: members("a"), Outgoing: members("b"), Learners: members("b")}, "",
		},
		"IPv6":             {conf{Voters: with("[::1]:80", 0)}, ""},
		"priority":         {conf{Voters: with("h:80", 7)}, ""},
		"nothing":          {conf{}, "no voter"},
		"only learners":    {conf{Learners: members("a")}, "no voter"},
		"only outgoing":    {conf{Outgoing: members("a")}, "no voter"},
		"voter twice":      {conf{Voters: members("a", "b", "a")}, "voter a is listed twice"},
		"learner twice":    {conf{Voters: members("a"), Learners: members("b", "b")}, "learner b is"},
		"outgoing twice":   {conf{Voters: members("a"), Outgoing: members("b", "b")}, "outgoing voter b"},
		"both":             {conf{Voters: members("a"), Learners: members("a")}, "both voter and"},
		"bad id":           {conf{Voters: members("a b")}, "contains ' '"},
		"no id":            {conf{Voters: []raft.Peer{{Addr: "h:1"}}}, "voter 0"},
		"no address":       {conf{Voters: with("", 0)}, "need host:port"},
		"no port":          {conf{Voters: with("host", 0)}, "need host:port"},
		"empty port":       {conf{Voters: with("host:", 0)}, "need host:port"},
		"no host":          {conf{Voters: with(":80", 0)}, "need host:port"},
		"bare IPv6":        {conf{Voters: with("::1:80", 0)}, "need host:port"},
		"low priority":     {conf{Voters: with("h:80", -2)}, "priority -2"},
		"nobody may lead":  {conf{Voters: with("h:80", raft.NeverLeader)}, "NeverLeader"},
		"learner priority": {conf{Voters: members("b"), Learners: with("h:80", -9)}, "priority -9"},
	} {
		err := c.c.Validate()
		if c.problem == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.problem, name)
		}
	}
}

func TestConfigurationValidateTellsAll(t *testing.T) {
	c := raft.Configuration{
		Voters:   []raft.Peer{{ID: "a", Addr: "x"}, {ID: "a", Addr: "h:1", Priority: -5}},
		Learners: []raft.Peer{{ID: "", Addr: "h:1"}, {ID: "a", Addr: "h:1"}},
	}
	err := c.Validate()
	for _, problem := range []string{"need host:port", "twice", "priority -5", "learner 0", "both"} {
		require.ErrorContains(t, err, problem)
	}
}

func TestConfigurationIsBounded(t *testing.T) {
	many := make([]raft.Peer, 1000)
	for i := range many {
		many[i] = member(fmt.Sprint("n", i))
	}
	c := raft.Configuration{Voters: many[:1], Learners: many[1:]}
	require.NoError(t, c.Validate())
	_, err := c.Edited([]raft.Edit{{Kind: raft.EditAddLearner, Peers: members("one-more")}})
	require.ErrorContains(t, err, "1001 members")
	c.Outgoing = append(members("one-more"), many...)
	require.ErrorContains(t, c.Validate(), "1001 outgoing")
	edits := []raft.Edit{{Kind: raft.EditAdd, Peers: c.Outgoing}}
	require.ErrorIs(t, raft.ValidateEdits(edits), raft.ErrBadConfiguration)
}

func TestConfigurationQuestions(t *testing.T) {
	c := raft.Configuration{
		Voters: members("a", "b"), Learners: members("c", "d"), Outgoing: members("a", "d", "e"),
	}
	require.True(t, c.Joint())
	for id, part := range map[raft.PeerID]struct{ voter, learner, member bool }{
		"a": {true, false, true}, "b": {true, false, true}, "c": {false, true, true},
		"d": {true, true, true}, "e": {true, false, true}, "f": {}, "": {},
	} {
		require.Equal(t, part.voter, c.IsVoter(id), id)
		require.Equal(t, part.learner, c.IsLearner(id), id)
		p, ok := c.Peer(id)
		require.Equal(t, part.member, ok, id)
		if ok {
			require.Equal(t, member(string(id)), p)
		}
	}
	require.Equal(t, members("a", "b", "c", "d", "e"), c.Members())
	require.Equal(t, "voters [a b] learners [c d] outgoing [a d e]", c.String())
	simple := raft.Configuration{Voters: members("a")}
	require.False(t, simple.Joint())
	require.Equal(t, "voters [a]", simple.String())
}

func TestConfigurationCloneSharesNothing(t *testing.T) {
	c := raft.Configuration{
		Index: 3, Voters: members("a"), Learners: members("b"), Outgoing: members("c"),
	}
	d := c.Clone()
	require.Equal(t, c, d)
	d.Voters[0].ID, d.Learners[0].ID, d.Outgoing[0].ID = "x", "x", "x"
	require.Equal(t, raft.Configuration{
		Index: 3, Voters: members("a"), Learners: members("b"), Outgoing: members("c"),
	}, c)
}

// drawConfiguration draws a valid one.
func drawConfiguration(t *rapid.T) raft.Configuration {
	list := func(label, ids string, least int) (out []raft.Peer) {
		pick := rapid.SliceOfNDistinct(rapid.SampledFrom([]byte(ids)), least, len(ids), rapid.ID[byte])
		for _, id := range pick.Draw(t, label) {
			p := member(string(id))
			p.Priority = rapid.IntRange(0, 1<<40).Draw(t, "priority")
			out = append(out, p)
		}
		return out
	}
	return raft.Configuration{
		Index:    raft.Index(rapid.Uint64().Draw(t, "index")),
		Voters:   list("voters", "abcde", 1),
		Learners: list("learners", "fgh", 0),
		Outgoing: list("outgoing", "abcfgh", 0),
		Origin:   rapid.Uint32().Draw(t, "origin"),
	}
}

func TestConfigurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfiguration(t)
		data := raft.EncodeConfiguration(c)
		kept := slices.Clone(data)
		got, err := raft.DecodeConfiguration(c.Index, data)
		require.NoError(t, err)
		require.Equal(t, c, got)
		require.Equal(t, data, raft.EncodeConfiguration(got), "the same configuration is the same bytes")
		clear(data)
		require.Equal(t, c, got, "what was decoded shares no memory with the input")
		for cut := range kept {
			_, err := raft.DecodeConfiguration(1, kept[:cut])
			require.Error(t, err, "cut off at %d", cut)
		}
		_, err = raft.DecodeConfiguration(1, append(kept, rapid.Byte().Draw(t, "trailing")))
		require.ErrorContains(t, err, "trailing")
	})
}

// TestConfigurationBytes holds the format: members of different versions must agree on it.
func TestConfigurationBytes(t *testing.T) {
	c := raft.Configuration{Index: 9, Voters: []raft.Peer{{ID: "a", Addr: "h:1", Priority: 2}}}
	require.Equal(t, "81a6766f746572739183a461646472a3683a31a26964a161a87072696f7269747902",
		hex.EncodeToString(raft.EncodeConfiguration(c)))
	c.Learners, c.Outgoing = members("b"), members("c")
	require.Equal(t, "83a86c6561726e6572739182a461646472a6623a37303030a26964a162"+
		"a86f7574676f696e679182a461646472a6633a37303030a26964a163"+
		"a6766f746572739183a461646472a3683a31a26964a161a87072696f7269747902",
		hex.EncodeToString(raft.EncodeConfiguration(c)))
	c = raft.WithOrigin(raft.Configuration{Voters: members("a")})
	require.Equal(t, "82a66f726967696ece4f9cdd88a6766f746572739182a461646472a6613a37303030a26964a161",
		hex.EncodeToString(raft.EncodeConfiguration(c)))
}

func encode(t testing.TB, v any) (out []byte) {
	require.NoError(t, codec.NewEncoderBytes(&out, &codec.MsgpackHandle{WriteExt: true}).Encode(v))
	return out
}

func TestConfigurationFieldsMayBeAdded(t *testing.T) {
	got, err := raft.DecodeConfiguration(5, encode(t, map[string]any{
		"zone": map[string]any{"x": []int{1, 2}},
		"voters": []any{
			map[string]any{"id": "a", "addr": "h:1", "weight": 3},
		},
	}))
	require.NoError(t, err)
	require.Equal(t, raft.Configuration{Index: 5, Voters: []raft.Peer{{ID: "a", Addr: "h:1"}}}, got)
}

func TestConfigurationMalformed(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":         nil,
		"nil":             {0xc0},
		"a number":        {7},
		"text":            []byte("configuration"),
		"no voter":        encode(t, map[string]any{"voters": []any{}}),
		"invalid":         encode(t, map[string]any{"voters": []any{map[string]any{"id": "a"}}}),
		"voters a number": encode(t, map[string]any{"voters": 3}),
		"id a list":       encode(t, map[string]any{"voters": []any{map[string]any{"id": []int{1}}}}),
	} {
		_, err := raft.DecodeConfiguration(1, data)
		require.Error(t, err, name)
		require.ErrorContains(t, err, "index 1", name)
	}
}

// TestConfigurationHostileLengths feeds lengths that promise far more than there is.
func TestConfigurationHostileLengths(t *testing.T) {
	for _, head := range []string{"dfffffffff", "ddffffffff", "81a6766f74657273ddffffffff",
		"81a6766f746572739181a26964dbffffffff", "81a6766f746572739181a26964c6ffffffff",
		"dfffffffffa6766f74657273ddffffffffdfffffffff"} {
		data, err := hex.DecodeString(head)
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = raft.DecodeConfiguration(1, data)
		runtime.ReadMemStats(&after)
		require.Error(t, err, head)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), head)
	}
	// Nesting without end must not exhaust the stack.
	deep := append([]byte("\x81\xa4zone"), bytes.Repeat([]byte{0x91}, 1<<20)...)
	_, err := raft.DecodeConfiguration(1, deep)
	require.Error(t, err)
}

func FuzzDecodeConfiguration(f *testing.F) {
	f.Add(raft.EncodeConfiguration(raft.Configuration{Voters: members("a", "b", "c")}))
	f.Add(raft.EncodeConfiguration(raft.Configuration{
		Voters: members("a"), Learners: members("b"), Outgoing: members("c"),
	}))
	f.Add([]byte("\xdf\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := raft.DecodeConfiguration(7, data)
		if err != nil {
			return
		}
		require.NoError(t, c.Validate())
		again, err := raft.DecodeConfiguration(7, raft.EncodeConfiguration(c))
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
