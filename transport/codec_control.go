package transport

import (
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/jraft-go/jraft/raft"
)

// These bound the body of a control message, so that a hostile one can't make the decoder work
// hard; an InstallSnapshot carries a configuration.
const (
	maxControlBytes = 512
	maxInstallBytes = 64 << 10

	maxFiles = 1 << 20 // of a snapshot
)

// The control bodies as msgpack maps. Fields may be added and are then zero in messages of earlier
// releases, which in turn ignore them; a field's name is never reused.
type wireRequestVote struct {
	Pre       bool   `codec:"pre,omitempty"`
	Transfer  bool   `codec:"transfer,omitempty"`
	Addr      string `codec:"addr,omitempty"`
	LastTerm  uint64 `codec:"last_term,omitempty"`
	LastIndex uint64 `codec:"last_index,omitempty"`
	Origin    uint32 `codec:"origin,omitempty"`
}

type wireRequestVoteReply struct {
	Pre     bool   `codec:"pre,omitempty"`
	Granted bool   `codec:"granted,omitempty"`
	Removed bool   `codec:"removed,omitempty"`
	Asked   uint64 `codec:"asked,omitempty"`
}

// wireTimeoutNow has no fields yet.
type wireTimeoutNow struct{}

type wireReadIndex struct {
	ID uint64 `codec:"id,omitempty"`
}

type wireReadIndexReply struct {
	ID      uint64 `codec:"id,omitempty"`
	Index   uint64 `codec:"index,omitempty"`
	Refused bool   `codec:"refused,omitempty"`
}

type wireInstallSnapshot struct {
	LastTerm           uint64 `codec:"last_term,omitempty"`
	LastIndex          uint64 `codec:"last_index,omitempty"`
	Configuration      []byte `codec:"configuration,omitempty"`
	ConfigurationIndex uint64 `codec:"configuration_index,omitempty"`
	Bytes              uint64 `codec:"bytes,omitempty"`
	Files              uint64 `codec:"files,omitempty"`
}

type wireInstallSnapshotReply struct {
	LastTerm  uint64 `codec:"last_term,omitempty"`
	LastIndex uint64 `codec:"last_index,omitempty"`
	Bytes     uint64 `codec:"bytes,omitempty"`
	Done      bool   `codec:"done,omitempty"`
	Failed    bool   `codec:"failed,omitempty"`
	Match     uint64 `codec:"match,omitempty"`
}

// msgpackHandle is immutable and safe for concurrent use; one for all, because a handle learns the
// layout of each type by reflection once.
var msgpackHandle = newMsgpackHandle()

func newMsgpackHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true
	return h
}

func appendControl(dst []byte, body raft.Body) []byte {
	var w any
	switch b := body.(type) {
	case *raft.RequestVote:
		w = &wireRequestVote{b.Pre, b.Transfer, b.Addr, uint64(b.Last.Term), uint64(b.Last.Index),
			b.Origin}
	case *raft.RequestVoteReply:
		w = &wireRequestVoteReply{b.Pre, b.Granted, b.Removed, uint64(b.Asked)}
	case *raft.TimeoutNow:
		w = &wireTimeoutNow{}
	case *raft.ReadIndex:
		w = &wireReadIndex{b.ID}
	case *raft.ReadIndexReply:
		w = &wireReadIndexReply{b.ID, uint64(b.Index), b.Refused}
	case *raft.InstallSnapshot:
		m := &b.Meta
		w = &wireInstallSnapshot{uint64(m.Last.Term), uint64(m.Last.Index),
			raft.EncodeConfiguration(m.Configuration), uint64(m.Configuration.Index), uint64(m.Bytes),
			uint64(m.Files)}
	case *raft.InstallSnapshotReply:
		w = &wireInstallSnapshotReply{uint64(b.Last.Term), uint64(b.Last.Index), uint64(b.Bytes), b.Done,
			b.Failed, uint64(b.Match)}
	default:
		return dst
	}
	out := make([]byte, 0, 64)
	if err := codec.NewEncoderBytes(&out, msgpackHandle).Encode(w); err != nil {
		return dst // unreachable for the types above; a body of no bytes does not decode
	}
	return append(dst, out...)
}

func decodeControl(kind byte, body []byte) (raft.Body, error) {
	switch kind {
	case kindRequestVote:
		var w wireRequestVote
		err := decodeMap(body, &w, &w.LastTerm, &w.LastIndex)
		last := raft.LogID{Term: raft.Term(w.LastTerm), Index: raft.Index(w.LastIndex)}
		return &raft.RequestVote{Pre: w.Pre, Transfer: w.Transfer, Last: last, Addr: w.Addr,
			Origin: w.Origin}, err
	case kindRequestVoteReply:
		var w wireRequestVoteReply
		err := decodeMap(body, &w, &w.Asked)
		return &raft.RequestVoteReply{Pre: w.Pre, Granted: w.Granted, Removed: w.Removed,
			Asked: raft.Term(w.Asked)}, err
	case kindTimeoutNow:
		var w wireTimeoutNow
		return &raft.TimeoutNow{}, decodeMap(body, &w)
	case kindReadIndex:
		var w wireReadIndex
		err := decodeMap(body, &w)
		return &raft.ReadIndex{ID: w.ID}, err
	case kindReadIndexReply:
		var w wireReadIndexReply
		err := decodeMap(body, &w, &w.Index)
		return &raft.ReadIndexReply{ID: w.ID, Index: raft.Index(w.Index), Refused: w.Refused}, err
	case kindInstallSnapshot:
		return decodeInstallSnapshot(body)
	case kindInstallSnapshotReply:
		var w wireInstallSnapshotReply
		err := decodeMap(body, &w, &w.LastTerm, &w.LastIndex, &w.Bytes, &w.Match)
		last := raft.LogID{Term: raft.Term(w.LastTerm), Index: raft.Index(w.LastIndex)}
		return &raft.InstallSnapshotReply{Last: last, Bytes: int64(w.Bytes), Done: w.Done,
			Failed: w.Failed, Match: raft.Index(w.Match)}, err
	}
	return nil, fmt.Errorf("%w: %d", ErrUnknownKind, kind)
}

// decodeInstallSnapshot believes only a snapshot of something, with a configuration that is valid
// and was in force at its last entry.
func decodeInstallSnapshot(body []byte) (raft.Body, error) {
	var w wireInstallSnapshot
	err := decodeMapUpTo(maxInstallBytes, body, &w, &w.LastTerm, &w.LastIndex, &w.ConfigurationIndex,
		&w.Bytes)
	if err != nil {
		return nil, err
	}
	if w.LastIndex == 0 || w.ConfigurationIndex > w.LastIndex || w.Files > maxFiles {
		return nil, corrupt("snapshot up to %d with %d files, its configuration of %d", w.LastIndex,
			w.Files, w.ConfigurationIndex)
	}
	c, err := raft.DecodeConfiguration(raft.Index(w.ConfigurationIndex), w.Configuration)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", raft.ErrCorrupt, err)
	}
	return &raft.InstallSnapshot{Meta: raft.SnapshotMeta{
		Last:          raft.LogID{Term: raft.Term(w.LastTerm), Index: raft.Index(w.LastIndex)},
		Configuration: c,
		Bytes:         int64(w.Bytes),
		Files:         int(w.Files),
	}}, nil
}

// decodeMap reads the one msgpack map that body holds into w, and checks the terms and indexes in
// it. The codec by itself would also take an array or nil for a struct, and ignore what follows.
func decodeMap(body []byte, w any, numbers ...*uint64) error {
	return decodeMapUpTo(maxControlBytes, body, w, numbers...)
}

func decodeMapUpTo(limit int, body []byte, w any, numbers ...*uint64) error {
	if len(body) == 0 || len(body) > limit {
		return corrupt("control body of %d bytes", len(body))
	}
	if c := body[0]; c>>4 != 0x8 && c != 0xde && c != 0xdf {
		return corrupt("control body starts with %02x, which is no map", c)
	}
	d := codec.NewDecoderBytes(body, msgpackHandle)
	if err := d.Decode(w); err != nil {
		return corrupt("control body: %v", err)
	}
	if n := d.NumBytesRead(); n != len(body) {
		return corrupt("%d bytes after a control body", len(body)-n)
	}
	for _, n := range numbers {
		if *n >= maxNumber {
			return corrupt("term or index %d in a control body", *n)
		}
	}
	return nil
}
