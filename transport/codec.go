package transport

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jraft-go/jraft/raft"
)

// WireVersion is the version of the encoding that [Encode] writes and [Decode] reads.
const WireVersion = 1

var (
	// ErrUnknownKind is what [Decode] wraps for an intact message of a kind that this version does not
	// know: one of a later release. Count it and go on.
	ErrUnknownKind = errors.New("unknown kind of message")
	// ErrWireVersion is what [Decode] wraps for a message in another version of the encoding. One of
	// the two sides must be upgraded.
	ErrWireVersion = errors.New("unknown wire version")
)

// A message on the wire, little endian. The checksum guards the head; entry frames bring their own,
// so that no byte of an entry is checksummed twice.
//
//	0       version  uint8
//	1       kind     uint8
//	2       head     uint32  bytes of the head, counted from byte 0, without the checksum
//	6       term     uint64
//	14      cluster, group, from, to: each a uint8 length and that many bytes
//	        body     up to head
//	head    crc      uint32  CRC-32C of bytes 0 to head
//	head+4  frames   entry frames (AppendEntries only), up to the end
const (
	kindAt = 1
	headAt = 2
	termAt = 6
	idsAt  = 14

	crcBytes = 4
	minBytes = idsAt + 4 + crcBytes
	// maxNumber is above every term and index that is believed: no member reaches it honestly, and
	// what stays below it can be added to without wrapping.
	maxNumber = 1 << 62
)

// The kinds. The numbers are part of the wire format and never reused.
const (
	kindRequestVote        = 1
	kindRequestVoteReply   = 2
	kindAppendEntries      = 3
	kindAppendEntriesReply = 4
	kindHeartbeat          = 5
	kindHeartbeatReply     = 6
	kindReadIndex          = 7
	kindReadIndexReply     = 8
	kindPropose            = 9
	kindProposeReply       = 10

	kindInstallSnapshot      = 11
	kindInstallSnapshotReply = 12
	kindTimeoutNow           = 13
	// kindRequest is a fetch's request, which never travels among messages.
	kindRequest = 64
)

// Encode appends the message's encoding to dst and returns the extended slice. It does not allocate
// where dst has [EncodedBytes] of room and the body is not one of the rare control messages. The
// message's ids must be valid and its body not nil; of any other message it makes something that
// [Decode] refuses.
func Encode(dst []byte, m *raft.Message) []byte {
	start := len(dst)
	dst = append(dst, WireVersion, kindOf(m.Body), 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Term))
	dst = appendID(dst, m.Cluster)
	dst = appendID(dst, string(m.Group))
	dst = appendID(dst, string(m.From))
	dst = appendID(dst, string(m.To))
	dst = appendBody(dst, m.Body)
	head := dst[start:]
	binary.LittleEndian.PutUint32(head[headAt:], uint32(len(head)))
	dst = binary.LittleEndian.AppendUint32(dst, raft.Checksum(head))
	if a, ok := m.Body.(*raft.AppendEntries); ok {
		for i := range a.Entries {
			dst = append(dst, a.Entries[i].Frame()...)
		}
	}
	return dst
}

// EncodedBytes returns an upper bound, and for bulk messages the exact number, of the bytes that
// [Encode] appends.
func EncodedBytes(m *raft.Message) int {
	n := minBytes + len(m.Cluster) + len(m.Group) + len(m.From) + len(m.To)
	switch b := m.Body.(type) {
	case *raft.AppendEntries:
		n += appendEntriesBytes
		if b.Origin != 0 {
			n += originBytes
		}
		for i := range b.Entries {
			n += b.Entries[i].FrameBytes()
		}
	case *raft.Propose:
		n += proposeBytes
		for i := range b.Commands {
			n += commandBytes + len(b.Commands[i].Data)
		}
	case *raft.ProposeReply:
		n += proposeReplyBytes + placedBytes*len(b.At)
	case *raft.InstallSnapshot:
		n += installBytes + len(raft.EncodeConfiguration(b.Meta.Configuration))
	case *raft.Heartbeat:
		n += smallBodyBytes + len(b.Addr)
	case *raft.RequestVote:
		n += smallBodyBytes + len(b.Addr)
	default:
		n += smallBodyBytes
	}
	return n
}

// Decode reads the one message that b holds. Entries and forwarded commands keep using b's memory,
// so b belongs to the message from then on: it must not be written to or reused while the message
// is referenced. Everything else is copied. What Decode allocates is bounded by a small multiple of
// len(b). Anything malformed is an error that wraps [raft.ErrCorrupt]; what a later release may
// have sent is [ErrUnknownKind] or [ErrWireVersion].
func Decode(b []byte) (raft.Message, error) {
	head, frames, err := decodeHead(b)
	if err != nil {
		return raft.Message{}, err
	}
	m, body, err := decodeEnvelope(head)
	if err != nil {
		return raft.Message{}, err
	}
	m.Body, err = decodeBody(b[kindAt], body, frames, m.Term)
	if err != nil {
		return raft.Message{}, fmt.Errorf("message from %s for %s in group %s: %w", m.From, m.To,
			m.Group, err)
	}
	return m, nil
}

// decodeHead checks the version, the length of the head and its checksum, and returns the head and
// what follows it.
func decodeHead(b []byte) (head, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, corrupt("message of 0 bytes")
	}
	if b[0] != WireVersion {
		return nil, nil, fmt.Errorf("%w %d, this side speaks %d", ErrWireVersion, b[0], WireVersion)
	}
	if len(b) < minBytes {
		return nil, nil, corrupt("message of %d bytes", len(b))
	}
	n := int(binary.LittleEndian.Uint32(b[headAt:]))
	if n < minBytes-crcBytes || n > len(b)-crcBytes {
		return nil, nil, corrupt("message of %d bytes announces a head of %d", len(b), n)
	}
	if got, want := raft.Checksum(b[:n]), binary.LittleEndian.Uint32(b[n:]); got != want {
		return nil, nil, corrupt("message head has checksum %08x, says %08x", got, want)
	}
	return b[:n:n], b[n+crcBytes:], nil
}

// decodeEnvelope reads what every kind has and returns the rest of the head. One string holds all
// four ids.
func decodeEnvelope(head []byte) (raft.Message, []byte, error) {
	var bounds [4][2]int
	at := idsAt
	for i := range bounds {
		if at >= len(head) || at+1+int(head[at]) > len(head) {
			return raft.Message{}, nil, corrupt("message head of %d bytes ends inside its ids", len(head))
		}
		bounds[i] = [2]int{at + 1 - idsAt, at + 1 + int(head[at]) - idsAt}
		at += 1 + int(head[at])
	}
	ids := string(head[idsAt:at])
	id := func(i int) string { return ids[bounds[i][0]:bounds[i][1]] }
	m := raft.Message{
		Cluster: id(0),
		Group:   raft.GroupID(id(1)),
		From:    raft.PeerID(id(2)),
		To:      raft.PeerID(id(3)),
		Term:    raft.Term(binary.LittleEndian.Uint64(head[termAt:])),
	}
	err := errors.Join(raft.ValidateCluster(m.Cluster), m.Group.Validate(), m.From.Validate(),
		m.To.Validate())
	switch {
	case err != nil:
		return raft.Message{}, nil, fmt.Errorf("%w: %w", raft.ErrCorrupt, err)
	case m.From == m.To:
		return raft.Message{}, nil, corrupt("message of %s to itself", m.From)
	case m.Term >= maxNumber:
		return raft.Message{}, nil, corrupt("message of term %d", m.Term)
	}
	return m, head[at:], nil
}

// appendID writes an id of at most 255 bytes; a longer one, which no valid message has, becomes an
// empty one.
func appendID(dst []byte, id string) []byte {
	if len(id) > 255 {
		id = ""
	}
	return append(append(dst, byte(len(id))), id...)
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", raft.ErrCorrupt, fmt.Sprintf(format, args...))
}
