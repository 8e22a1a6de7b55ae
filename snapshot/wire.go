package snapshot

import (
	"encoding/binary"
	"fmt"

	"github.com/jraft-go/jraft/raft"
)

// Requests and replies are binary and carry a version and a checksum, whatever carries them.
const (
	wireVersion = 1

	askManifest = 1
	askChunk    = 2

	// Offsets in a request.
	requestHead = 34 // cluster and group follow, each with its length before it

	// Offsets in a reply.
	replyHead = 48

	statusHere = 0
	statusGone = 1
)

// piece names what is asked for: part n of the encoded manifest, or chunk n of a file.
type piece struct {
	kind byte
	last raft.LogID
	sum  uint32 // the manifest's checksum; 0 where the manifest is asked for
	file uint32
	n    uint32
}

func (p *piece) append(b []byte) []byte {
	b = append(b, wireVersion, p.kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.last.Term))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.last.Index))
	b = binary.LittleEndian.AppendUint32(b, p.sum)
	b = binary.LittleEndian.AppendUint32(b, p.file)
	return binary.LittleEndian.AppendUint32(b, p.n)
}

const pieceBytes = 30

// readPiece reads what append wrote.
func readPiece(b []byte) (p piece, err error) {
	if b[0] != wireVersion {
		return p, fmt.Errorf("%w: snapshot transfer of version %d, this program has version %d",
			errVersion, b[0], wireVersion)
	}
	p.kind = b[1]
	p.last.Term = raft.Term(binary.LittleEndian.Uint64(b[2:]))
	p.last.Index = raft.Index(binary.LittleEndian.Uint64(b[10:]))
	p.sum = binary.LittleEndian.Uint32(b[18:])
	p.file = binary.LittleEndian.Uint32(b[22:])
	p.n = binary.LittleEndian.Uint32(b[26:])
	if p.kind != askManifest && p.kind != askChunk || p.kind == askManifest && p.sum|p.file != 0 {
		return p, fmt.Errorf("%w: snapshot transfer of kind %d", raft.ErrCorrupt, p.kind)
	}
	return p, nil
}

// encodeRequest returns the request for a piece.
func encodeRequest(p piece, cluster string, group raft.GroupID) []byte {
	b := make([]byte, 4, requestHead+2+len(cluster)+len(group))
	b = p.append(b)
	b = append(append(b, byte(len(cluster))), cluster...)
	b = append(append(b, byte(len(group))), group...)
	binary.LittleEndian.PutUint32(b, raft.Checksum(b[4:]))
	return b
}

// decodeRequest reads what encodeRequest wrote.
func decodeRequest(b []byte) (p piece, cluster string, group raft.GroupID, err error) {
	malformed := fmt.Errorf("snapshot: %w: a malformed request of %d bytes", raft.ErrCorrupt, len(b))
	if len(b) < requestHead+2 || raft.Checksum(b[4:]) != binary.LittleEndian.Uint32(b) {
		return p, "", "", malformed
	}
	if p, err = readPiece(b[4:]); err != nil {
		return p, "", "", fmt.Errorf("snapshot: %w", err)
	}
	rest := b[requestHead:]
	c := int(rest[0])
	if len(rest) < 2+c || len(rest) != 2+c+int(rest[1+c]) {
		return p, "", "", malformed
	}
	return p, string(rest[1 : 1+c]), raft.GroupID(rest[2+c:]), nil
}

// reply is the answer for a piece.
type reply struct {
	piece
	gone  bool
	total int64 // of the encoded manifest, or of the file
	data  []byte
}

// encodeReply completes b, which has room for the head and the data after it.
func encodeReply(r reply, b []byte) []byte {
	h := r.append(b[:4])
	h = append(h, statusHere, 0)
	if r.gone {
		h[4+pieceBytes] = statusGone
	}
	h = binary.LittleEndian.AppendUint64(h, uint64(r.total))
	binary.LittleEndian.PutUint32(b[len(h):], uint32(len(b)-replyHead))
	binary.LittleEndian.PutUint32(b, raft.Checksum(b[4:]))
	return b
}

// decodeReply reads what encodeReply wrote. The data uses b's memory.
func decodeReply(b []byte) (r reply, err error) {
	if len(b) < replyHead || len(b) > MaxReplyBytes ||
		raft.Checksum(b[4:]) != binary.LittleEndian.Uint32(b) {
		return r, fmt.Errorf("snapshot: %w: a malformed reply of %d bytes", raft.ErrCorrupt, len(b))
	}
	if r.piece, err = readPiece(b[4:]); err != nil {
		return r, fmt.Errorf("snapshot: %w", err)
	}
	rest := b[4+pieceBytes:]
	r.gone = rest[0] == statusGone
	r.total = int64(binary.LittleEndian.Uint64(rest[2:]))
	r.data = b[replyHead:]
	if rest[0] > statusGone || rest[1] != 0 || r.total < 0 ||
		int(binary.LittleEndian.Uint32(rest[10:])) != len(r.data) || r.gone && len(r.data) > 0 {
		return r, fmt.Errorf("snapshot: %w: a reply that makes no sense", raft.ErrCorrupt)
	}
	return r, nil
}
