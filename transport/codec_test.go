package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

// kinds has one generator for each kind of body, for a message of the given term.
var kinds = map[string]func(t *rapid.T, term raft.Term) raft.Body{
	"RequestVote": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.RequestVote{Pre: flag(t), Transfer: flag(t), Last: logID(t), Addr: addr(t),
			Origin: origin(t)}
	},
	"RequestVoteReply": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.RequestVoteReply{Pre: flag(t), Granted: flag(t), Asked: raft.Term(number(t))}
	},
	"AppendEntries": func(t *rapid.T, term raft.Term) raft.Body { return appendEntries(t, term) },
	"AppendEntriesReply": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.AppendEntriesReply{Reject: flag(t), Match: raft.Index(number(t)),
			Prev: raft.Index(number(t)),
			Hint: logID(t)}
	},
	"Heartbeat": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.Heartbeat{Round: rapid.Uint64().Draw(t, "round"), Commit: raft.Index(number(t)),
			Addr: addr(t), Origin: origin(t)}
	},
	"HeartbeatReply": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.HeartbeatReply{Round: rapid.Uint64().Draw(t, "round"),
			Received: raft.Index(number(t)), Match: raft.Index(number(t))}
	},
	"InstallSnapshot": func(t *rapid.T, _ raft.Term) raft.Body {
		m := raft.SnapshotMeta{Last: logID(t), Configuration: configuration(t)}
		m.Last.Index = max(m.Last.Index, 1)
		m.Configuration.Index = raft.Index(rapid.Uint64Max(uint64(m.Last.Index)).Draw(t, "index"))
		m.Bytes, m.Files = int64(number(t)), rapid.IntRange(0, maxFiles).Draw(t, "files")
		return &raft.InstallSnapshot{Meta: m}
	},
	"InstallSnapshotReply": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.InstallSnapshotReply{Last: logID(t), Bytes: int64(number(t)), Done: flag(t),
			Failed: flag(t), Match: raft.Index(number(t))}
	},
	"ReadIndex": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.ReadIndex{ID: rapid.Uint64().Draw(t, "id")}
	},
	"ReadIndexReply": func(t *rapid.T, _ raft.Term) raft.Body {
		return &raft.ReadIndexReply{ID: rapid.Uint64().Draw(t, "id"), Index: raft.Index(number(t)),
			Refused: flag(t)}
	},
	"Propose": func(t *rapid.T, _ raft.Term) raft.Body {
		p := &raft.Propose{Sender: rapid.Uint64().Draw(t, "sender"), Seq: rapid.Uint64().Draw(t, "seq")}
		p.Commands = make([]raft.Command, rapid.IntRange(0, 5).Draw(t, "commands"))
		for i := range p.Commands {
			p.Commands[i] = raft.Command{Data: data(t), ExpectTerm: raft.Term(number(t)),
				Restore: rapid.Bool().Draw(t, "restore")}
		}
		return p
	},
	"ProposeReply": func(t *rapid.T, _ raft.Term) raft.Body {
		p := &raft.ProposeReply{Sender: rapid.Uint64().Draw(t, "sender"),
			Seq: rapid.Uint64().Draw(t, "seq")}
		n := rapid.IntRange(0, 5).Draw(t, "commands")
		p.At, p.Refused = make([]raft.LogID, n), make([]raft.Refusal, n)
		for i := range p.At {
			p.At[i], p.Refused[i] = logID(t), raft.Refusal(rapid.IntRange(0, 3).Draw(t, "refused"))
		}
		return p
	},
}

func flag(t *rapid.T) bool     { return rapid.Bool().Draw(t, "flag") }
func number(t *rapid.T) uint64 { return rapid.Uint64Max(maxNumber-1).Draw(t, "number") }
func data(t *rapid.T) []byte   { return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data") }
func addr(t *rapid.T) string   { return rapid.StringMatching(`([a-z]{1,9}:[1-9])?`).Draw(t, "addr") }
func origin(t *rapid.T) uint32 { return rapid.Uint32().Draw(t, "origin") } // often 0: not known
func logID(t *rapid.T) raft.LogID {
	return raft.LogID{Term: raft.Term(number(t)), Index: raft.Index(number(t))}
}

func configuration(t *rapid.T) (c raft.Configuration) {
	c.Origin = origin(t)
	n := rapid.IntRange(1, 20).Draw(t, "members")
	for i := range n {
		p := raft.Peer{ID: raft.PeerID(fmt.Sprint("peer-", i)), Addr: fmt.Sprintf("host%d:%d", i, i+1),
			Priority: rapid.IntRange(0, 300).Draw(t, "priority")}
		switch {
		case i > 0 && flag(t):
			c.Learners = append(c.Learners, p)
		default:
			c.Voters = append(c.Voters, p)
		}
	}
	if flag(t) {
		c.Outgoing = append(c.Outgoing, c.Voters[0])
	}
	return c
}

func appendEntries(t *rapid.T, term raft.Term) *raft.AppendEntries {
	a := &raft.AppendEntries{Commit: raft.Index(number(t)), Origin: origin(t)}
	if flag(t) {
		a.Prev.Term = raft.Term(rapid.Uint64Max(uint64(term)).Draw(t, "prev term"))
		a.Prev.Index = raft.Index(rapid.Uint64Range(1, maxNumber-10).Draw(t, "prev index"))
	}
	last := a.Prev
	for range rapid.IntRange(0, 5).Draw(t, "entries") {
		last.Index++
		last.Term = raft.Term(rapid.Uint64Range(uint64(last.Term), uint64(term)).Draw(t, "entry term"))
		kind := raft.EntryKind(rapid.IntRange(1, 4).Draw(t, "entry kind"))
		e := raft.Entry{Term: last.Term, Index: last.Index, Kind: kind, Data: data(t)}
		if flag(t) { // made as the leader makes it, its frame kept
			e, _ = raft.MakeEntry(nil, e.Term, e.Index, e.Kind, e.Data)
		}
		a.Entries = append(a.Entries, e)
	}
	return a
}

func message(t *rapid.T, body func(*rapid.T, raft.Term) raft.Body) raft.Message {
	id := rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`)
	m := raft.Message{
		Cluster: rapid.StringMatching(`[A-Za-z0-9._-]{0,64}`).Draw(t, "cluster"),
		Group:   raft.GroupID(id.Draw(t, "group")),
		From:    raft.PeerID(id.Draw(t, "from")),
		To:      raft.PeerID(id.Draw(t, "to")),
		Term:    raft.Term(number(t)),
	}
	if m.From == m.To {
		m.To = "another"
	}
	m.Body = body(t, m.Term)
	return m
}

// requireEqual compares messages by what they say: frames kept or not, and nil or empty, say the
// same.
func requireEqual(t require.TestingT, want, got raft.Message) {
	require.Equal(t, plain(want), plain(got))
}

func plain(m raft.Message) raft.Message {
	empty := func(b []byte) []byte { return append([]byte{}, b...) }
	switch b := m.Body.(type) {
	case *raft.AppendEntries:
		a := &raft.AppendEntries{Prev: b.Prev, Commit: b.Commit, Origin: b.Origin}
		for _, e := range b.Entries {
			a.Entries = append(a.Entries, raft.Entry{Term: e.Term, Index: e.Index, Kind: e.Kind,
				Data: empty(e.Data)})
		}
		m.Body = a
	case *raft.Propose:
		p := &raft.Propose{Sender: b.Sender, Seq: b.Seq}
		for _, c := range b.Commands {
			p.Commands = append(p.Commands, raft.Command{Data: empty(c.Data), ExpectTerm: c.ExpectTerm,
				Restore: c.Restore})
		}
		m.Body = p
	}
	return m
}

func TestEveryKindRoundTrips(t *testing.T) {
	for name, body := range kinds {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			m := message(t, body)
			before := []byte("before")
			b := Encode(before, &m)
			require.Equal(t, before, b[:len(before)])
			b = b[len(before):]
			got, err := Decode(b)
			require.NoError(t, err)
			requireEqual(t, m, got)
			require.LessOrEqual(t, len(b), EncodedBytes(&m))
			if m.Bulk() {
				require.Len(t, b, EncodedBytes(&m))
			}
			require.Equal(t, b, Encode(nil, &got), "what was decoded encodes to the same bytes")
		}))
	}
}

func TestDecodeRefusesEveryCutAndEveryFlippedBit(t *testing.T) {
	for name, body := range kinds {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			m := message(t, body)
			b := Encode(nil, &m)
			cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
			_, err := Decode(b[:cut])
			require.Error(t, err)
			_, err = Decode(append(bytes.Clone(b), 0))
			require.Error(t, err)
			bit := rapid.IntRange(0, len(b)*8-1).Draw(t, "bit")
			b[bit/8] ^= 1 << (bit % 8)
			_, err = Decode(b)
			require.Error(t, err)
			known := errors.Is(err, raft.ErrCorrupt) || errors.Is(err, ErrWireVersion)
			require.True(t, known, "%v", err)
		}))
	}
}

// seal writes the head's length and checksum anew, as a hostile sender would.
func seal(head, frames []byte) []byte {
	binary.LittleEndian.PutUint32(head[headAt:], uint32(len(head)))
	head = binary.LittleEndian.AppendUint32(bytes.Clone(head), raft.Checksum(head))
	return append(head, frames...)
}

// hostile returns an intact message with that kind and body.
func hostile(kind byte, body, frames []byte) []byte {
	m := raft.Message{Cluster: "c", Group: "g", From: "A", To: "B", Term: 5}
	b := Encode(nil, &m)
	head := append(b[:len(b)-crcBytes], body...)
	head[kindAt] = kind
	return seal(head, frames)
}

func TestDecodeRefusesEnvelopes(t *testing.T) {
	valid := raft.Message{Cluster: "c", Group: "g", From: "A", To: "B", Term: 5,
		Body: &raft.Heartbeat{Round: 1}}
	long := strings.Repeat("x", 65)
	for name, change := range map[string]func(*raft.Message){
		"cluster":       func(m *raft.Message) { m.Cluster = "a b" },
		"long cluster":  func(m *raft.Message) { m.Cluster = long },
		"no group":      func(m *raft.Message) { m.Group = "" },
		"group":         func(m *raft.Message) { m.Group = "ä" },
		"no sender":     func(m *raft.Message) { m.From = "" },
		"sender":        func(m *raft.Message) { m.From = "a/b" },
		"long receiver": func(m *raft.Message) { m.To = raft.PeerID(long) },
		"very long":     func(m *raft.Message) { m.To = raft.PeerID(strings.Repeat("x", 300)) },
		"to itself":     func(m *raft.Message) { m.To = m.From },
		"term":          func(m *raft.Message) { m.Term = maxNumber },
		"last term":     func(m *raft.Message) { m.Term = 1<<64 - 1 },
		"commit":        func(m *raft.Message) { m.Body = &raft.Heartbeat{Commit: maxNumber} },
		"hint": func(m *raft.Message) {
			m.Body = &raft.AppendEntriesReply{Hint: raft.LogID{Term: maxNumber}}
		},
		"match": func(m *raft.Message) { m.Body = &raft.AppendEntriesReply{Match: maxNumber} },
		"vote": func(m *raft.Message) {
			m.Body = &raft.RequestVote{Last: raft.LogID{Index: maxNumber}}
		},
		"asked":      func(m *raft.Message) { m.Body = &raft.RequestVoteReply{Asked: maxNumber} },
		"read index": func(m *raft.Message) { m.Body = &raft.ReadIndexReply{Index: maxNumber} },
		"expected term": func(m *raft.Message) {
			m.Body = &raft.Propose{Commands: []raft.Command{{ExpectTerm: maxNumber}}}
		},
		"bytes": func(m *raft.Message) { m.Body = &raft.InstallSnapshotReply{Bytes: -1} },
		"installed": func(m *raft.Message) {
			m.Body = &raft.InstallSnapshotReply{Match: maxNumber}
		},
		"placed": func(m *raft.Message) {
			m.Body = &raft.ProposeReply{At: []raft.LogID{{Term: maxNumber}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := valid
			change(&m)
			_, err := Decode(Encode(nil, &m))
			require.ErrorIs(t, err, raft.ErrCorrupt)
		})
	}
	b := Encode(nil, &valid)
	_, err := Decode(b)
	require.NoError(t, err)
	b[0] = 2
	_, err = Decode(b)
	require.ErrorIs(t, err, ErrWireVersion)
	require.ErrorContains(t, err, "2")
	require.ErrorContains(t, err, "1")
	_, err = Decode(hostile(200, []byte("whatever"), []byte("more")))
	require.ErrorIs(t, err, ErrUnknownKind)
	require.NotErrorIs(t, err, raft.ErrCorrupt)
	valid.Body = nil
	_, err = Decode(Encode(nil, &valid))
	require.Error(t, err)
}

func TestDecodeRefusesAppendsThatNoLeaderSends(t *testing.T) {
	entry := func(term raft.Term, index raft.Index) raft.Entry {
		return raft.Entry{Term: term, Index: index, Kind: raft.EntryCommand, Data: []byte("x")}
	}
	prev := raft.LogID{Term: 3, Index: 7}
	for name, a := range map[string]raft.AppendEntries{
		"gap":                {Prev: prev, Entries: []raft.Entry{entry(3, 9)}},
		"overlap":            {Prev: prev, Entries: []raft.Entry{entry(3, 7)}},
		"gap later":          {Prev: prev, Entries: []raft.Entry{entry(3, 8), entry(3, 10)}},
		"repeated":           {Prev: prev, Entries: []raft.Entry{entry(3, 8), entry(3, 8)}},
		"term falls":         {Prev: prev, Entries: []raft.Entry{entry(2, 8)}},
		"term falls later":   {Prev: prev, Entries: []raft.Entry{entry(4, 8), entry(3, 9)}},
		"above the leader's": {Prev: prev, Entries: []raft.Entry{entry(6, 8)}},
		"prev of the future": {Prev: raft.LogID{Term: 6, Index: 7}},
		"prev of nothing":    {Prev: raft.LogID{Term: 1}},
		"no kind":            {Prev: prev, Entries: []raft.Entry{{Term: 3, Index: 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := raft.Message{Group: "g", From: "A", To: "B", Term: 5, Body: &a}
			_, err := Decode(Encode(nil, &m))
			require.ErrorIs(t, err, raft.ErrCorrupt)
		})
	}
	count := make([]byte, appendEntriesBytes)
	binary.LittleEndian.PutUint32(count[appendEntriesBytes-4:], 1<<32-1)
	_, err := Decode(hostile(kindAppendEntries, count, nil))
	require.ErrorIs(t, err, raft.ErrCorrupt)
}

// hostileControls are bodies that a lenient msgpack decoder would take, or work hard at.
var hostileControls = map[string]string{
	"nothing":              "",
	"nil":                  "c0",
	"array":                "93c30102",
	"string":               "a3616263",
	"wrong type":           "81a26964a3616263", // {"id": "abc"}
	"negative":             "81a26964ff",       // {"id": -1}
	"trailing":             "81a2696401c0",
	"cut off":              "81a26964",
	"4 GiB of bytes":       "81a178c6ffffffff",
	"4 GiB of array":       "81a178ddffffffff",
	"map of 4 Gi pairs":    "dfffffffff",
	"nesting":              "81a178" + strings.Repeat("91", 450),
	"more than it may be":  "81a178c5ffff" + strings.Repeat("00", 65535),
	"float":                "81a26964cb3ff8000000000000", // {"id": 1.5}
	"extension as a value": "81a26964d60102030405",
}

func TestDecodeRefusesControlBodies(t *testing.T) {
	for name, text := range hostileControls {
		body, err := hex.DecodeString(text)
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) {
			for _, kind := range []byte{kindReadIndex, kindReadIndexReply, kindInstallSnapshot} {
				_, err := Decode(hostile(kind, body, nil))
				require.ErrorIs(t, err, raft.ErrCorrupt)
			}
		})
	}
	m, err := Decode(hostile(kindReadIndex, []byte("\x82\xa2id\x07\xa3new\x93\x01\x02\x03"), nil))
	require.NoError(t, err, "a field of a later release is ignored")
	require.Equal(t, &raft.ReadIndex{ID: 7}, m.Body)
	m, err = Decode(hostile(kindReadIndexReply, []byte("\x80"), nil))
	require.NoError(t, err, "a field that an earlier release did not have is zero")
	require.Equal(t, &raft.ReadIndexReply{}, m.Body)
}

func TestDecodeRefusesSnapshotsThatNoLeaderHas(t *testing.T) {
	peer := raft.Peer{ID: "A", Addr: "a:1"}
	for name, change := range map[string]func(*raft.SnapshotMeta){
		"of nothing":        func(m *raft.SnapshotMeta) { m.Last.Index = 0 },
		"last":              func(m *raft.SnapshotMeta) { m.Last.Index = maxNumber },
		"last term":         func(m *raft.SnapshotMeta) { m.Last.Term = maxNumber },
		"bytes":             func(m *raft.SnapshotMeta) { m.Bytes = -1 },
		"files":             func(m *raft.SnapshotMeta) { m.Files = -1 },
		"many files":        func(m *raft.SnapshotMeta) { m.Files = maxFiles + 1 },
		"no configuration":  func(m *raft.SnapshotMeta) { m.Configuration.Voters = nil },
		"of the future":     func(m *raft.SnapshotMeta) { m.Configuration.Index = m.Last.Index + 1 },
		"bad configuration": func(m *raft.SnapshotMeta) { m.Configuration.Learners = []raft.Peer{peer} },
		"too large a one": func(m *raft.SnapshotMeta) {
			for i := range 4000 {
				m.Configuration.Voters = append(m.Configuration.Voters,
					raft.Peer{ID: raft.PeerID(fmt.Sprint(i)), Addr: "a:1"})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			meta := raft.SnapshotMeta{Last: raft.LogID{Term: 2, Index: 9}, Bytes: 1, Files: 1,
				Configuration: raft.Configuration{Index: 3, Voters: []raft.Peer{peer}}}
			m := raft.Message{Group: "g", From: "A", To: "B", Term: 5,
				Body: &raft.InstallSnapshot{Meta: meta}}
			_, err := Decode(Encode(nil, &m))
			require.NoError(t, err)
			change(&meta)
			m.Body = &raft.InstallSnapshot{Meta: meta}
			_, err = Decode(Encode(nil, &m))
			require.ErrorIs(t, err, raft.ErrCorrupt)
		})
	}
}

func TestRequestsRoundTrip(t *testing.T) {
	c := Call{Cluster: "c", Group: "g", From: "A", To: "B"}
	b, err := EncodeRequest(&c, []byte("which chunk"))
	require.NoError(t, err)
	got, request, err := DecodeRequest(b)
	require.NoError(t, err)
	require.Equal(t, c, got)
	require.Equal(t, "which chunk", string(request))
	_, err = Decode(b)
	require.ErrorIs(t, err, ErrUnknownKind, "it is no message")
	for bit := range len(b) * 8 {
		bad := bytes.Clone(b)
		bad[bit/8] ^= 1 << (bit % 8)
		_, _, err := DecodeRequest(bad)
		require.Error(t, err)
	}
	for cut := range b {
		_, _, err := DecodeRequest(b[:cut])
		require.Error(t, err)
	}
	for name, bad := range map[string][]byte{
		"trailing":   append(bytes.Clone(b), 0),
		"a message":  hostile(kindReadIndex, []byte("\x80"), nil),
		"a term":     hostile(kindRequest, nil, nil),
		"to itself":  sealed(t, Call{Group: "g", From: "A", To: "A"}, nil),
		"no group":   sealed(t, Call{From: "A", To: "B"}, nil),
		"of a space": sealed(t, Call{Cluster: " ", Group: "g", From: "A", To: "B"}, nil),
	} {
		_, _, err = DecodeRequest(bad)
		require.ErrorIs(t, err, raft.ErrCorrupt, name)
	}
	c.Group = raft.GroupID(strings.Repeat("g", raft.MaxIDBytes))
	c.Cluster, c.From, c.To = string(c.Group), raft.PeerID(c.Group)[1:], raft.PeerID(c.Group)
	largest := sealed(t, c, make([]byte, MaxRequestBytes))
	require.Len(t, largest, MaxRequestFrameBytes-1)
	_, _, err = DecodeRequest(largest)
	require.NoError(t, err)
	_, err = EncodeRequest(&c, make([]byte, MaxRequestBytes+1))
	require.ErrorIs(t, err, raft.ErrTooLarge)
}

func sealed(t *testing.T, c Call, request []byte) []byte {
	b, err := EncodeRequest(&c, request)
	require.NoError(t, err)
	return b
}

// FuzzDecodeRequest: whatever decodes encodes to the same bytes.
func FuzzDecodeRequest(f *testing.F) {
	b, err := EncodeRequest(&Call{Cluster: "c", Group: "g", From: "A", To: "B"}, []byte("which"))
	require.NoError(f, err)
	f.Add(b[:len(b)-crcBytes])
	f.Fuzz(func(t *testing.T, head []byte) {
		if len(head) < idsAt {
			return
		}
		b := seal(bytes.Clone(head), nil)
		c, request, err := DecodeRequest(b)
		if err != nil {
			return
		}
		again, err := EncodeRequest(&c, request)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func TestDecodeAllocatesLittleForHostileLengths(t *testing.T) {
	count := func(body int) []byte {
		b := make([]byte, body+200)
		binary.LittleEndian.PutUint32(b[body-4:], 1<<31-1)
		return b
	}
	inputs := [][]byte{
		hostile(kindAppendEntries, count(appendEntriesBytes), make([]byte, 200)),
		hostile(kindPropose, count(proposeBytes), nil),
		hostile(kindProposeReply, count(proposeReplyBytes), nil),
	}
	for _, text := range hostileControls {
		body, err := hex.DecodeString(text)
		require.NoError(t, err)
		inputs = append(inputs, hostile(kindReadIndex, body, nil))
	}
	for _, b := range inputs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(b)
		runtime.ReadMemStats(&after)
		require.Error(t, err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "%.20x", b)
	}
}

// golden returns one fixed message of each kind and its name.
func golden() map[string]raft.Message {
	prev := raft.LogID{Term: 6, Index: 41}
	first, _ := raft.MakeEntry(nil, 6, 42, raft.EntryCommand, []byte("set x 1"))
	second, _ := raft.MakeEntry(nil, 7, 43, raft.EntryNoop, nil)
	founders := raft.WithOrigin(raft.Configuration{Index: 1, Voters: []raft.Peer{
		{ID: "n1", Addr: "n1:9000"}, {ID: "n2", Addr: "n2:9000"}, {ID: "n3", Addr: "n3:9000"}}})
	bodies := map[string]raft.Body{
		"request_vote":       &raft.RequestVote{Pre: true, Last: prev},
		"request_vote_reply": &raft.RequestVoteReply{Pre: true, Granted: true, Asked: 7},
		"append_entries": &raft.AppendEntries{Prev: prev, Commit: 40,
			Entries: []raft.Entry{first, second}},
		"request_vote_origin": &raft.RequestVote{Transfer: true, Last: prev, Addr: "n1:9000",
			Origin: founders.Origin},
		"append_entries_origin": &raft.AppendEntries{Prev: prev, Commit: 40,
			Entries: []raft.Entry{first, second}, Origin: founders.Origin},
		"heartbeat_origin": &raft.Heartbeat{Round: 1<<63 + 5, Commit: 40, Addr: "n1:9000",
			Origin: founders.Origin},
		"install_snapshot_origin": &raft.InstallSnapshot{Meta: raft.SnapshotMeta{Last: prev, Bytes: 7,
			Configuration: founders}},
		"append_entries_reply":  &raft.AppendEntriesReply{Reject: true, Match: 3, Prev: 41, Hint: prev},
		"heartbeat":             &raft.Heartbeat{Round: 1<<63 + 5, Commit: 40},
		"heartbeat_reply":       &raft.HeartbeatReply{Round: 1<<63 + 5, Received: 41},
		"heartbeat_reply_match": &raft.HeartbeatReply{Round: 6, Received: 41, Match: 40},
		"install_snapshot": &raft.InstallSnapshot{Meta: raft.SnapshotMeta{Last: prev, Bytes: 1 << 30,
			Files: 3, Configuration: raft.Configuration{Index: 9,
				Voters:   []raft.Peer{{ID: "n1", Addr: "n1:9000"}, {ID: "n2", Addr: "n2:9000", Priority: 2}},
				Learners: []raft.Peer{{ID: "n3", Addr: "[::1]:9000", Priority: raft.NeverLeader}}}}},
		"install_snapshot_reply": &raft.InstallSnapshotReply{Last: prev, Bytes: 1 << 20, Done: true,
			Failed: true, Match: 41},
		"read_index":       &raft.ReadIndex{ID: 1<<64 - 1},
		"read_index_reply": &raft.ReadIndexReply{ID: 1<<64 - 1, Index: 40, Refused: true},
		"propose": &raft.Propose{Sender: 11, Seq: 12,
			Commands: []raft.Command{{Data: []byte("set y 2"), ExpectTerm: 7}, {Data: []byte{}}}},
		"propose_restore": &raft.Propose{Sender: 11, Seq: 12,
			Commands: []raft.Command{{Data: []byte("part"), Restore: true}}},
		"propose_reply": &raft.ProposeReply{Sender: 11, Seq: 12,
			At:      []raft.LogID{{Term: 7, Index: 44}, {}},
			Refused: []raft.Refusal{raft.RefusedNot, raft.RefusedBusy}},
	}
	out := make(map[string]raft.Message)
	for name, b := range bodies {
		out[name] = raft.Message{Cluster: "prod-1", Group: "default", From: "n1", To: "n2", Term: 7,
			Body: b}
	}
	return out
}

// TestGoldenFiles reads what the first release wrote. The files are never edited: a change of the
// format is a new version beside them. A kind without a file is written once, and then fails until
// the file is committed with it.
func TestGoldenFiles(t *testing.T) {
	for name, want := range golden() {
		path := filepath.Join("testdata", "v1", name+".hex")
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			out := hex.EncodeToString(Encode(nil, &want)) + "\n"
			require.NoError(t, os.WriteFile(path, []byte(out), 0o644))
			t.Errorf("%s did not exist; written", path)
			continue
		}
		require.NoError(t, err)
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		got, err := Decode(b)
		require.NoError(t, err, name)
		requireEqual(t, want, got)
		require.Equal(t, b, Encode(nil, &want), name)
	}
}

// FuzzDecode: whatever decodes is a message that encodes, and decodes to the same again.
func FuzzDecode(f *testing.F) {
	for _, m := range golden() {
		f.Add(Encode(nil, &m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Encode(nil, &m))
		require.NoError(t, err)
		requireEqual(t, m, again)
	})
}

// FuzzDecodeBody reaches every body decoder: the checksum is made to fit.
func FuzzDecodeBody(f *testing.F) {
	for _, m := range golden() {
		b := Encode(nil, &m)
		head := int(binary.LittleEndian.Uint32(b[headAt:]))
		_, body, err := decodeEnvelope(b[:head])
		require.NoError(f, err)
		f.Add(b[kindAt], body, b[head+crcBytes:])
	}
	for _, text := range hostileControls {
		body, err := hex.DecodeString(text)
		require.NoError(f, err)
		f.Add(byte(kindRequestVote), body, []byte{})
		f.Add(byte(kindInstallSnapshot), body, []byte{})
	}
	f.Fuzz(func(t *testing.T, kind byte, body, frames []byte) {
		m, err := Decode(hostile(kind, body, frames))
		if err != nil {
			return
		}
		again, err := Decode(Encode(nil, &m))
		require.NoError(t, err)
		requireEqual(t, m, again)
	})
}

// FuzzDecodeEnvelope reaches the ids: the checksum is made to fit.
func FuzzDecodeEnvelope(f *testing.F) {
	for _, m := range golden() {
		b := Encode(nil, &m)
		head := int(binary.LittleEndian.Uint32(b[headAt:]))
		f.Add(b[:head], b[head+crcBytes:])
	}
	f.Fuzz(func(t *testing.T, head, frames []byte) {
		if len(head) < idsAt {
			return
		}
		head = bytes.Clone(head)
		head[0] = WireVersion
		m, err := Decode(seal(head, frames))
		if err != nil {
			return
		}
		require.NoError(t, errors.Join(m.Group.Validate(), m.From.Validate(), m.To.Validate()))
		require.Less(t, uint64(m.Term), uint64(maxNumber))
	})
}

func batchOf64() raft.Message {
	a := &raft.AppendEntries{Prev: raft.LogID{Term: 7, Index: 1000}, Commit: 990}
	for i := range 64 {
		e, _ := raft.MakeEntry(nil, 7, raft.Index(1001+i), raft.EntryCommand, make([]byte, 128))
		a.Entries = append(a.Entries, e)
	}
	return raft.Message{Cluster: "prod-1", Group: "default", From: "n1", To: "n2", Term: 7, Body: a}
}

func TestEncodeOfHotMessagesDoesNotAllocate(t *testing.T) {
	hot := golden()
	hot["64 entries"] = batchOf64()
	for _, control := range []string{"request_vote", "request_vote_origin", "request_vote_reply",
		"read_index", "read_index_reply", "install_snapshot", "install_snapshot_origin",
		"install_snapshot_reply"} {
		delete(hot, control)
	}
	for name, m := range hot {
		buf := make([]byte, 0, EncodedBytes(&m))
		require.Zero(t, testing.AllocsPerRun(100, func() { Encode(buf, &m) }), name)
	}
}

func BenchmarkCodec(b *testing.B) {
	messages := golden()
	messages["append_64x128"] = batchOf64()
	for name, m := range messages {
		wire := Encode(nil, &m)
		buf := make([]byte, 0, EncodedBytes(&m))
		b.Run("encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				Encode(buf, &m)
			}
		})
		b.Run("decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(wire)))
			for b.Loop() {
				if _, err := Decode(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
