package transport

import (
	"encoding/binary"
	"fmt"

	"github.com/jraft-go/jraft/raft"
)

// The fixed part of each binary body, and of what repeats in it, in bytes. Bodies whose number
// grows with the load are binary; the rare rest are msgpack maps, to which fields can be added (see
// codec_control.go).
const (
	appendEntriesBytes      = 1 + 8 + 8 + 8 + 4 // flags, prev term, prev index, commit, count
	appendEntriesReplyBytes = 1 + 8 + 8 + 8 + 8 // flags, match, prev, hint term, hint index
	originBytes             = 4                 // of an append and a heartbeat, where it is known
	proposeBytes            = 8 + 8 + 4         // sender, seq, count
	commandBytes            = 8 + 4             // expected term, bytes; then the data
	proposeReplyBytes       = 8 + 8 + 4         // sender, seq, count
	placedBytes             = 8 + 8 + 1         // term, index, refusal
	installBytes            = 160               // around the configuration; at most
	smallBodyBytes          = 96                // more than any other body has

	maxAddrBytes = 256 // of the leader's address in a heartbeat

	// Flags of bodies. Those that this version does not know are ignored.
	flagReject = 1 // of an append reply
	flagOrigin = 1 // of an append and a heartbeat: the origin follows the fixed part
	// flagRestore is in the length of a forwarded command, which has at most raft.MaxFrameData bytes.
	flagRestore = 1 << 31
)

func kindOf(body raft.Body) byte {
	switch body.(type) {
	case *raft.RequestVote:
		return kindRequestVote
	case *raft.RequestVoteReply:
		return kindRequestVoteReply
	case *raft.AppendEntries:
		return kindAppendEntries
	case *raft.AppendEntriesReply:
		return kindAppendEntriesReply
	case *raft.Heartbeat:
		return kindHeartbeat
	case *raft.HeartbeatReply:
		return kindHeartbeatReply
	case *raft.ReadIndex:
		return kindReadIndex
	case *raft.ReadIndexReply:
		return kindReadIndexReply
	case *raft.Propose:
		return kindPropose
	case *raft.ProposeReply:
		return kindProposeReply
	case *raft.InstallSnapshot:
		return kindInstallSnapshot
	case *raft.InstallSnapshotReply:
		return kindInstallSnapshotReply
	case *raft.TimeoutNow:
		return kindTimeoutNow
	}
	return 0
}

func appendBody(dst []byte, body raft.Body) []byte {
	le := binary.LittleEndian
	switch b := body.(type) {
	case *raft.AppendEntries:
		dst = le.AppendUint64(append(dst, originFlag(b.Origin)), uint64(b.Prev.Term))
		dst = le.AppendUint64(dst, uint64(b.Prev.Index))
		dst = le.AppendUint64(dst, uint64(b.Commit))
		return appendOrigin(le.AppendUint32(dst, uint32(len(b.Entries))), b.Origin)
	case *raft.AppendEntriesReply:
		flags := byte(0)
		if b.Reject {
			flags |= flagReject
		}
		dst = le.AppendUint64(append(dst, flags), uint64(b.Match))
		dst = le.AppendUint64(dst, uint64(b.Prev))
		dst = le.AppendUint64(dst, uint64(b.Hint.Term))
		return le.AppendUint64(dst, uint64(b.Hint.Index))
	case *raft.Heartbeat:
		dst = le.AppendUint64(append(dst, originFlag(b.Origin)), b.Round)
		return append(appendOrigin(le.AppendUint64(dst, uint64(b.Commit)), b.Origin), b.Addr...)
	case *raft.HeartbeatReply:
		dst = le.AppendUint64(append(dst, 0), b.Round)
		dst = le.AppendUint64(dst, uint64(b.Received))
		return le.AppendUint64(dst, uint64(b.Match))
	case *raft.Propose:
		return appendPropose(dst, b)
	case *raft.ProposeReply:
		return appendProposeReply(dst, b)
	}
	return appendControl(dst, body)
}

// An origin that is not known takes no room.
func originFlag(origin uint32) byte {
	if origin == 0 {
		return 0
	}
	return flagOrigin
}

func appendOrigin(dst []byte, origin uint32) []byte {
	if origin == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint32(dst, origin)
}

func appendPropose(dst []byte, b *raft.Propose) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, b.Sender)
	dst = le.AppendUint64(dst, b.Seq)
	dst = le.AppendUint32(dst, uint32(len(b.Commands)))
	for i := range b.Commands {
		dst = le.AppendUint64(dst, uint64(b.Commands[i].ExpectTerm))
		size := uint32(len(b.Commands[i].Data))
		if b.Commands[i].Restore {
			size |= flagRestore
		}
		dst = le.AppendUint32(dst, size)
		dst = append(dst, b.Commands[i].Data...)
	}
	return dst
}

func appendProposeReply(dst []byte, b *raft.ProposeReply) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, b.Sender)
	dst = le.AppendUint64(dst, b.Seq)
	dst = le.AppendUint32(dst, uint32(len(b.At)))
	for i, at := range b.At {
		dst = le.AppendUint64(dst, uint64(at.Term))
		dst = le.AppendUint64(dst, uint64(at.Index))
		refused := raft.RefusedNot
		if i < len(b.Refused) {
			refused = b.Refused[i]
		}
		dst = append(dst, byte(refused))
	}
	return dst
}

// decodeBody reads a body; frames is what follows the head, term the message's.
func decodeBody(kind byte, body, frames []byte, term raft.Term) (raft.Body, error) {
	if kind == kindAppendEntries {
		return decodeAppendEntries(body, frames, term)
	}
	if kind == 0 || kind > kindTimeoutNow {
		return nil, fmt.Errorf("%w: %d", ErrUnknownKind, kind)
	}
	if len(frames) > 0 {
		return nil, corrupt("%d bytes after a message of kind %d", len(frames), kind)
	}
	r := reader{b: body}
	var out raft.Body
	switch kind {
	case kindAppendEntriesReply:
		flags := r.uint8()
		out = &raft.AppendEntriesReply{
			Reject: flags&flagReject != 0,
			Match:  r.index(),
			Prev:   r.index(),
			Hint:   raft.LogID{Term: r.term(), Index: r.index()},
		}
	case kindHeartbeat:
		flags := r.uint8()
		h := &raft.Heartbeat{Round: r.uint64(), Commit: r.index()}
		h.Origin = r.origin(flags)
		h.Addr = string(r.bytes(min(len(r.b), maxAddrBytes)))
		out = h
	case kindHeartbeatReply:
		r.uint8()
		out = &raft.HeartbeatReply{Round: r.uint64(), Received: r.index(), Match: r.index()}
	case kindPropose:
		out = decodePropose(&r)
	case kindProposeReply:
		out = decodeProposeReply(&r)
	default:
		return decodeControl(kind, body)
	}
	if r.bad || len(r.b) > 0 {
		return nil, corrupt("body of kind %d and %d bytes is malformed", kind, len(body))
	}
	return out, nil
}

// decodeAppendEntries believes only what a leader of that term can send: entries without gaps after
// Prev, of terms that never fall and are never above the leader's (§5.3).
func decodeAppendEntries(body, frames []byte, term raft.Term) (raft.Body, error) {
	r := reader{b: body}
	flags := r.uint8()
	a := &raft.AppendEntries{
		Prev:   raft.LogID{Term: r.term(), Index: r.index()},
		Commit: r.index(),
	}
	count := int(r.uint32())
	a.Origin = r.origin(flags)
	switch {
	case r.bad || len(r.b) > 0:
		return nil, corrupt("append body of %d bytes is malformed", len(body))
	case a.Prev.Term > term || (a.Prev.Index == 0 && a.Prev.Term != 0):
		return nil, corrupt("append after %v in term %d", a.Prev, term)
	case count < 0 || count > len(frames)/raft.FrameHead:
		return nil, corrupt("append announces %d entries in %d bytes", count, len(frames))
	}
	if count > 0 {
		a.Entries = make([]raft.Entry, count)
	}
	last := a.Prev
	for i := range a.Entries {
		e, n, err := raft.DecodeFrame(frames)
		if err != nil {
			return nil, fmt.Errorf("entry after %v: %w", last, err)
		}
		if e.Index != last.Index+1 || e.Term < last.Term || e.Term > term || e.Index >= maxNumber {
			return nil, corrupt("entry %v after %v in term %d", e.ID(), last, term)
		}
		a.Entries[i], last, frames = e, e.ID(), frames[n:]
	}
	if len(frames) > 0 {
		return nil, corrupt("%d bytes after the last of %d entries", len(frames), count)
	}
	return a, nil
}

func decodePropose(r *reader) *raft.Propose {
	p := &raft.Propose{Sender: r.uint64(), Seq: r.uint64()}
	p.Commands = make([]raft.Command, r.count(commandBytes))
	for i := range p.Commands {
		p.Commands[i].ExpectTerm = r.term()
		size := r.uint32()
		p.Commands[i].Restore = size&flagRestore != 0
		p.Commands[i].Data = r.bytes(int(size &^ flagRestore))
	}
	return p
}

func decodeProposeReply(r *reader) *raft.ProposeReply {
	p := &raft.ProposeReply{Sender: r.uint64(), Seq: r.uint64()}
	n := r.count(placedBytes)
	p.At, p.Refused = make([]raft.LogID, n), make([]raft.Refusal, n)
	for i := range p.At {
		p.At[i] = raft.LogID{Term: r.term(), Index: r.index()}
		p.Refused[i] = raft.Refusal(r.uint8())
	}
	return p
}

// reader takes numbers off the front of b. Once something is missing or out of range it is bad for
// good, and everything it returns is zero or empty.
type reader struct {
	b   []byte
	bad bool
}

// bytes returns the next n bytes, as part of the buffer.
func (r *reader) bytes(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint8() byte {
	if f := r.bytes(1); f != nil {
		return f[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if f := r.bytes(4); f != nil {
		return binary.LittleEndian.Uint32(f)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if f := r.bytes(8); f != nil {
		return binary.LittleEndian.Uint64(f)
	}
	return 0
}

// origin reads what appendOrigin wrote.
func (r *reader) origin(flags byte) uint32 {
	if flags&flagOrigin == 0 {
		return 0
	}
	return r.uint32()
}

// number reads what must stay below maxNumber.
func (r *reader) number() uint64 {
	n := r.uint64()
	if n >= maxNumber {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) term() raft.Term   { return raft.Term(r.number()) }
func (r *reader) index() raft.Index { return raft.Index(r.number()) }

// count reads how many items follow, of at least size bytes each: never more than the buffer can
// hold.
func (r *reader) count(size int) int {
	n := int(r.uint32())
	if n < 0 || n > len(r.b)/size {
		r.bad = true
		return 0
	}
	return n
}
