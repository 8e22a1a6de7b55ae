package snapshot

import "github.com/jraft-go/jraft/raft"

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
