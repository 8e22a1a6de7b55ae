package snapshot

import (
	"encoding/binary"

	"github.com/jraft-go/jraft/raft"
)

// What the tests of the formats need.
var (
	DecodeManifest = decodeManifest
	ContentName    = contentName
)

const (
	ReplyHead    = replyHead
	ManifestName = manifestName
	MaxWrong     = maxWrong
)

// KeptName is the directory of a snapshot.
func KeptName(last raft.LogID) string { return keptName(last) }

// Asked tells what a request asks for.
func Asked(request []byte) (chunk bool, file, n int) {
	p, _, _, err := decodeRequest(request)
	return err == nil && p.kind == askChunk, int(p.file), int(p.n)
}

// DecodeRequest and what follows decode, and encode again what was decoded.
func DecodeRequest(b []byte) (again []byte, err error) {
	p, cluster, group, err := decodeRequest(b)
	return encodeRequest(p, cluster, group), err
}

// DecodeReply is DecodeRequest for replies.
func DecodeReply(b []byte) (again []byte, err error) {
	r, err := decodeReply(b)
	return encodeReply(r, append(make([]byte, replyHead), r.data...)), err
}

// EncodeAgain decodes a manifest and encodes it.
func EncodeAgain(b []byte) (again []byte, err error) {
	m, err := decodeManifest(b)
	if err != nil {
		return nil, err
	}
	err = m.encode()
	return m.raw, err
}

// MendHead puts the right checksum at the beginning, MendManifest at the end, with the right size.
func MendHead(b []byte) {
	if len(b) > 4 {
		binary.LittleEndian.PutUint32(b, raft.Checksum(b[4:]))
	}
}

// MendManifest see above.
func MendManifest(b []byte) {
	if n := len(b) - 4; n >= manifestHead {
		binary.LittleEndian.PutUint32(b[12:], uint32(n-manifestHead))
		binary.LittleEndian.PutUint32(b[n:], raft.Checksum(b[:n]))
	}
}

// Newer makes a manifest one of the next version, with its right checksum.
func Newer(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[8:], manifestVersion+1)
	MendManifest(b)
	return b
}

// Hostile is a manifest with a second file that a malicious leader may have made.
type Hostile struct {
	Name                                     string
	Size                                     int64
	Twice, NoIndex, NoFiles, NoSHA, Trailing bool
	ConfigurationIndex                       raft.Index
	Last                                     raft.LogID // if not zero
}

// Encode gives it right checksums.
func (h Hostile) Encode() []byte {
	stream := newDigest().entry("")
	file := newDigest().entry("name")
	switch h.Name {
	case "":
	case "-":
		file.Name = ""
	default:
		file.Name = h.Name
	}
	file.Size = h.Size
	m := manifest{group: "g", peer: "p", last: raft.LogID{Term: 1, Index: 1000},
		configuration: raft.Configuration{Index: h.ConfigurationIndex,
			Voters: []raft.Peer{{ID: "p", Addr: "h:1"}}},
		files: []entry{stream, file}}
	if h.Twice {
		m.files = append(m.files, file)
	}
	if h.Last.Index > 0 {
		m.last = h.Last
	}
	if h.NoIndex {
		m.last.Index = 0
	}
	if h.NoFiles {
		m.files = nil
	}
	if h.NoSHA {
		m.files[1].SHA256 = nil
	}
	if err := m.encode(); err != nil {
		panic(err)
	}
	if h.Trailing {
		m.raw = append(m.raw, 0)
		MendManifest(m.raw)
	}
	return m.raw
}

// WrongSHA is the manifest with another SHA-256 for the stream.
func WrongSHA(raw []byte) []byte {
	m, err := decodeManifest(raw)
	if err != nil {
		panic(err)
	}
	m.files[0].SHA256[5] ^= 1
	if err := m.encode(); err != nil {
		panic(err)
	}
	return m.raw
}

// HostileFiles is a manifest of n bytes whose list of files has as many as fit, all of them empty
// maps.
func HostileFiles(n int) []byte {
	b := append(make([]byte, 0, n), manifestMagic...)
	b = binary.LittleEndian.AppendUint32(b, manifestVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, 0x81, 0xa5)
	b = append(b, "files"...)
	count := n - len(b) - 5 - 4
	b = append(b, 0xdd)
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	for range count {
		b = append(b, 0x80)
	}
	b = append(b, 0, 0, 0, 0)
	MendManifest(b)
	return b
}
