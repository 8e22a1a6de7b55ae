package petition

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// hostile gives a body the head and the checksum that it would have from a member.
func hostile(magic string, body []byte) []byte {
	b := append(append([]byte(magic), version), body...)
	return binary.LittleEndian.AppendUint32(b, raft.Checksum(b))
}

// hostileMaps are bodies that a lenient msgpack decoder would take, or work hard at.
var hostileMaps = map[string]string{
	"nothing":            "",
	"nil":                "c0",
	"array":              "920102",
	"string":             "a3616263",
	"trailing":           "80c0",
	"cut off":            "81a26964",
	"wrong type":         "82a26964a3616263a26f7001",
	"negative":           "82a26964ffa26f7001",
	"a key twice":        "83a2696401a2696402a26f7001",
	"a key twice inside": "83a565646974739182a46b696e6402a46b696e6401a2696401a26f7001",
	"an unknown twice":   "84a17801a17802a2696401a26f7001",
	"4 GiB of bytes":     "81a178c6ffffffff",
	"4 GiB of text":      "81a474657874dbffffffff",
	"4 Gi of edits":      "81a56564697473ddffffffff",
	"4 Gi of errors":     "81a66572726f7273ddffffffff",
	"4 Gi of anything":   "81a178ddffffffff",
	"4 Gi of pairs":      "dfffffffff",
	"nesting":            "81a178" + strings.Repeat("91", 60<<10),
	"keys of arrays":     "81a178819101c0",
}

func hostileBodies(t testing.TB) (all map[string][]byte) {
	all = map[string][]byte{}
	for name, text := range hostileMaps {
		b, err := hex.DecodeString(text)
		require.NoError(t, err)
		all[name] = b
	}
	many := func(key string, element byte) []byte {
		b := append([]byte{0x81, 0xa0 | byte(len(key))}, key...)
		b = binary.BigEndian.AppendUint16(append(b, 0xdc), 60<<10)
		return append(b, bytes.Repeat([]byte{element}, 60<<10)...)
	}
	all["many edits"] = many("edits", 0x80)
	all["many errors"] = many("errors", 0)
	all["many unknown"] = many("x", 0x80)
	return all
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileBodies: none is a request, and none of what has a length takes much memory: a body of
// the largest size that claims no more than it has takes up to 16 MiB for a moment, one that
// claims more next to nothing.
func TestHostileBodies(t *testing.T) {
	for name, body := range hostileBodies(t) {
		limit := uint64(1 << 20)
		if strings.HasPrefix(name, "many") {
			limit = 16 << 20
		}
		request, reply := hostile(requestMagic, body), hostile(replyMagic, body)
		require.Less(t, allocated(func() {
			_, err := DecodeRequest(request)
			require.ErrorIs(t, err, raft.ErrCorrupt, name)
		}), limit, name)
		require.Less(t, allocated(func() { _, _ = DecodeReply(reply) }), limit, name)
	}
	for _, name := range []string{"nil", "array", "a key twice", "an unknown twice", "many errors"} {
		_, err := DecodeReply(hostile(replyMagic, hostileBodies(t)[name]))
		require.ErrorIs(t, err, raft.ErrCorrupt, name)
	}
	_, err := DecodeReply(hostile(replyMagic, make([]byte, maxBytes)))
	require.ErrorIs(t, err, raft.ErrCorrupt)
	later, err := hex.DecodeString("83a2696407a36e657781a1789301c002a26f7001")
	require.NoError(t, err)
	_, err = DecodeRequest(hostile(requestMagic, later))
	require.NoError(t, err, "a field of a later release is ignored")
}

func TestHostileNumbers(t *testing.T) {
	sealed := func(magic string, w any) []byte {
		b, err := seal(magic, w)
		require.NoError(t, err)
		return b
	}
	_, err := DecodeRequest(sealed(requestMagic, &wireRequest{Op: 1}))
	require.NoError(t, err)
	long := strings.Repeat("x", raft.MaxIDBytes+1)
	for _, w := range []wireRequest{
		{Op: 1, Patience: math.MaxInt64}, {Op: 1, Patience: -1}, {Op: 1, IfIndex: maxNumber}, {Op: 3},
		{Op: 1, Patience: maxPatience.Milliseconds() + 1}, {Op: 2, To: long}, {Op: 2, To: "a b"},
		{Op: 1, Edits: make([]wireEdit, maxNamed+1)},
		{Op: 1, Edits: []wireEdit{{Kind: 1, Peers: make([]wirePeer, maxNamed)}}},
	} {
		_, err := DecodeRequest(sealed(requestMagic, &w))
		require.ErrorIs(t, err, raft.ErrCorrupt, "%.100v", w)
	}
	for _, w := range []wireReply{
		{Index: maxNumber}, {To: long}, {Text: "x", Errors: make([]int, maxErrors+1)},
		{Errors: []int{1}}, {Configuration: []byte("x")},
	} {
		_, err := DecodeReply(sealed(replyMagic, &w))
		require.ErrorIs(t, err, raft.ErrCorrupt, "%v", w)
	}
	r, err := DecodeReply(sealed(replyMagic, &wireReply{Text: "x", Errors: []int{-1, math.MaxInt, 1}}))
	require.NoError(t, err)
	require.ErrorIs(t, r.Err, sentinels[1], "of errors that are not known the text is left")

	_, err = EncodeRequest(&Request{Op: OpTransfer, To: "a b"})
	require.ErrorIs(t, err, raft.ErrUnfit)
	_, err = EncodeRequest(&Request{Op: OpChange, Edits: make([]raft.Edit, maxNamed+1)})
	require.ErrorIs(t, err, raft.ErrTooLarge)
	_, err = EncodeRequest(&Request{Op: OpChange, IfIndex: maxNumber})
	require.ErrorIs(t, err, raft.ErrConfigurationStale)
	b, err := EncodeRequest(&Request{Op: OpChange, Patience: math.MaxInt64})
	require.NoError(t, err)
	got, err := DecodeRequest(b)
	require.NoError(t, err)
	require.Equal(t, maxPatience, got.Patience)
}

func TestRoundTrip(t *testing.T) {
	id := rapid.Map(rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`),
		func(s string) raft.PeerID { return raft.PeerID(s) })
	peer := rapid.Custom(func(t *rapid.T) raft.Peer {
		return raft.Peer{ID: id.Draw(t, "id"), Addr: rapid.String().Draw(t, "addr"),
			Priority: rapid.Int().Draw(t, "priority")}
	})
	peers := rapid.Custom(func(t *rapid.T) []raft.Peer {
		return append([]raft.Peer(nil), rapid.SliceOfN(peer, 0, 5).Draw(t, "peers")...)
	})
	number := rapid.Uint64Max(maxNumber - 1)
	rapid.Check(t, func(t *rapid.T) {
		to := rapid.OneOf(id, rapid.Just(raft.PeerID(""))).Draw(t, "to")
		r := Request{ID: rapid.Uint64().Draw(t, "id"), Op: Op(rapid.IntRange(1, 2).Draw(t, "op")),
			IfIndex: raft.Index(number.Draw(t, "index")), To: to, Patience: time.Millisecond *
				time.Duration(rapid.Int64Range(0, maxPatience.Milliseconds()).Draw(t, "patience"))}
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			r.Edits = append(r.Edits, raft.Edit{Kind: raft.EditKind(rapid.Byte().Draw(t, "kind")),
				Peers: peers.Draw(t, "peers"), Learners: peers.Draw(t, "learners")})
		}
		b, err := EncodeRequest(&r)
		require.NoError(t, err)
		got, err := DecodeRequest(b)
		require.NoError(t, err)
		require.Equal(t, r, got)

		y := Reply{Pending: rapid.Bool().Draw(t, "pending"), Known: rapid.Bool().Draw(t, "known"), To: to,
			Unknown: rapid.Bool().Draw(t, "unknown")}
		if rapid.Bool().Draw(t, "configuration") {
			y.Configuration = raft.Configuration{Index: raft.Index(number.Draw(t, "index")),
				Voters: []raft.Peer{{ID: id.Draw(t, "voter"), Addr: "a:1"}}, Origin: 1}
		}
		if text := rapid.String().Draw(t, "text"); text != "" {
			y.Err = told{text, []error{rapid.SampledFrom(sentinels[:]).Draw(t, "is")}}
		}
		b, err = EncodeReply(&y)
		require.NoError(t, err)
		back, err := DecodeReply(b)
		require.NoError(t, err)
		require.Equal(t, y, back)
	})
}

// bodyOf is what is between the head and the checksum.
func bodyOf(t testing.TB, b []byte, err error) []byte {
	require.NoError(t, err)
	return b[headBytes : len(b)-4]
}

// FuzzDecodeRequest: what decodes is bounded, encodes, and decodes to the same. The checksum is
// made to fit.
func FuzzDecodeRequest(f *testing.F) {
	b, err := EncodeRequest(&request)
	f.Add(bodyOf(f, b, err))
	b, err = EncodeRequest(&Request{ID: 1, Op: OpTransfer, To: "x"})
	f.Add(bodyOf(f, b, err))
	for _, body := range hostileBodies(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > transport.MaxRequestBytes {
			return
		}
		r, err := DecodeRequest(hostile(requestMagic, body))
		if err != nil {
			require.ErrorIs(t, err, raft.ErrCorrupt)
			return
		}
		require.True(t, 0 <= r.Patience && r.Patience <= maxPatience && r.IfIndex < maxNumber)
		require.LessOrEqual(t, named(r.Edits), maxNamed)
		b, err := EncodeRequest(&r)
		require.NoError(t, err)
		again, err := DecodeRequest(b)
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}

// FuzzDecodeReply likewise.
func FuzzDecodeReply(f *testing.F) {
	for _, r := range []Reply{{Pending: true}, {To: "b", Known: true}, {Err: raft.ErrBusy},
		{Configuration: raft.Configuration{Index: 5, Voters: []raft.Peer{{ID: "a", Addr: "a:1"}}}}} {
		b, err := EncodeReply(&r)
		f.Add(bodyOf(f, b, err))
	}
	for _, body := range hostileBodies(f) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxBytes {
			return
		}
		r, err := DecodeReply(hostile(replyMagic, body))
		if err != nil {
			require.ErrorIs(t, err, raft.ErrCorrupt)
			return
		}
		b, err := EncodeReply(&r)
		require.NoError(t, err)
		again, err := DecodeReply(b)
		require.NoError(t, err)
		require.Equal(t, r.Err == nil, again.Err == nil)
		if r.Err != nil {
			require.Equal(t, r.Err.Error(), again.Err.Error())
		}
		r.Err, again.Err = nil, nil
		require.Equal(t, r, again)
	})
}
