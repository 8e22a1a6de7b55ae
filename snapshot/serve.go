package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Serve answers a request for a piece of a snapshot. What it reads from disk it checks, so that
// damage here is found here: a damaged snapshot is not offered any more.
func (f *Files) Serve(now time.Duration, request, into []byte) ([]byte, error) {
	p, cluster, group, err := decodeRequest(request)
	if err != nil {
		return nil, err
	}
	if cluster != f.o.Cluster || group != f.o.Group {
		return nil, fmt.Errorf("snapshot: %w: a request of cluster %.64q, group %.64q; this is cluster "+
			"%q, group %q", raft.ErrWrongCluster, cluster, group, f.o.Cluster, f.o.Group)
	}
	gone := reply{piece: p, gone: true}
	k, err := f.use(p.last)
	if errors.Is(err, ErrGone) {
		return encodeReply(gone, room(into, 0)), nil
	}
	defer f.release(k)
	f.touch(k, now)
	raw := k.manifest.raw
	switch at := int64(p.n) * ChunkBytes; {
	case p.kind == askManifest && at < int64(len(raw)):
		part := raw[at:min(at+ChunkBytes, int64(len(raw)))]
		b := room(into, len(part))
		copy(b[replyHead:], part)
		return encodeReply(reply{piece: p, total: int64(len(raw))}, b), nil
	case p.kind == askManifest || p.sum != k.manifest.sum: // it is another one's manifest
		return encodeReply(gone, room(into, 0)), nil
	}
	b, err := f.serveChunk(k, p, into)
	if errors.Is(err, raft.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return encodeReply(gone, room(into, 0)), nil
	}
	return b, err
}

// touch notes that a piece was asked for.
func (f *Files) touch(k *kept, now time.Duration) {
	defer f.guard.hold()()
	k.asked = max(k.asked, now)
}

// room returns memory for a reply with n bytes of data.
func room(into []byte, n int) []byte {
	if cap(into) < replyHead+n {
		return make([]byte, replyHead+n)
	}
	return into[:replyHead+n]
}

func outside(p piece) error {
	return fmt.Errorf("snapshot: %w: a request for piece %d of file %d, which is not in snapshot %v",
		raft.ErrCorrupt, p.n, p.file, p.last)
}

func (f *Files) serveChunk(k *kept, p piece, into []byte) ([]byte, error) {
	if int64(p.file) >= int64(len(k.manifest.files)) {
		return nil, outside(p)
	}
	e := &k.manifest.files[p.file]
	if int64(p.n) >= int64(e.chunks()) {
		return nil, outside(p)
	}
	in, err := f.open(k, int(p.file))
	if err != nil {
		return nil, f.checked(k, err)
	}
	b := room(into, e.chunkSize(int(p.n)))
	_, err = in.read(int(p.n), b[replyHead:])
	if err = errors.Join(err, in.file.Close()); err != nil {
		return nil, f.checked(k, err)
	}
	return encodeReply(reply{piece: p, total: e.Size}, b), nil
}
