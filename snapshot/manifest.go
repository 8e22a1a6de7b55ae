package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/jraft-go/jraft/raft"
)

const (
	manifestMagic   = "JRAFTSNP"
	manifestVersion = 1
	manifestHead    = 16
	// maxManifest bounds the encoded form: enough for 3 TiB in one file, or for 100,000 files.
	maxManifest = 16 << 20
	shaBytes    = 32
	// maxNumber is above all terms and indexes, as it is on the wire: what comes after one is a
	// number, too.
	maxNumber = 1 << 62
	// minFileBytes is the least that a file takes in the encoded form, with its checksum and the key
	// of that. What claims to have more files is refused before there is memory for all of them.
	minFileBytes = 40
	// maxConfiguration likewise bounds the encoded configuration; the message that names a snapshot
	// carries it too, within the same bound.
	maxConfiguration = 64 << 10
)

// manifest says what a snapshot consists of. It is made once, by the member that took the snapshot,
// and travels as the bytes that were checksummed.
type manifest struct {
	cluster       string
	group         raft.GroupID
	peer          raft.PeerID // who took it
	last          raft.LogID
	configuration raft.Configuration
	files         []entry // the first one is the stream

	raw []byte // the encoded form
	sum uint32 // its checksum
}

// entry describes one file.
type entry struct {
	Name   string `codec:"name"` // empty for the stream
	Size   int64  `codec:"size"`
	CRC    uint32 `codec:"crc"`
	SHA256 []byte `codec:"sha256"`
	Chunks []byte `codec:"chunks"` // the CRC of each chunk, 4 bytes each
}

// chunks is how many chunks the file has.
func (e *entry) chunks() int { return int((e.Size + ChunkBytes - 1) / ChunkBytes) }

// chunkSize is the size of chunk i.
func (e *entry) chunkSize(i int) int { return int(min(ChunkBytes, e.Size-int64(i)*ChunkBytes)) }

// sound reports whether p is what chunk i must be.
func (e *entry) sound(i int, p []byte) bool {
	return len(p) == e.chunkSize(i) && raft.Checksum(p) == binary.LittleEndian.Uint32(e.Chunks[4*i:])
}

// same reports whether two files have the same content.
func (e *entry) same(o *entry) bool { return e.Size == o.Size && bytes.Equal(e.SHA256, o.SHA256) }

// wireManifest is the msgpack map. Fields may be added, never reused. The list of files is a
// codec.Raw where it is decoded, so that it can be looked at first.
type wireManifest[F []entry | codec.Raw] struct {
	Cluster            string `codec:"cluster"`
	Group              string `codec:"group"`
	Peer               string `codec:"peer"`
	Term               uint64 `codec:"term"`
	Index              uint64 `codec:"index"`
	Configuration      []byte `codec:"configuration"`
	ConfigurationIndex uint64 `codec:"configuration_index"`
	ChunkBytes         uint32 `codec:"chunk_bytes"`
	Files              F      `codec:"files"`
}

func msgpack() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true
	return h
}

// meta is the manifest as the rest of the module sees it. It shares no memory.
func (m *manifest) meta() raft.SnapshotMeta {
	meta := raft.SnapshotMeta{Last: m.last, Configuration: m.configuration.Clone()}
	meta.Files = len(m.files) - 1
	for i := range m.files {
		meta.Bytes += m.files[i].Size
	}
	return meta
}

// encode sets raw and sum.
func (m *manifest) encode() error {
	w := wireManifest[[]entry]{m.cluster, string(m.group), string(m.peer), uint64(m.last.Term),
		uint64(m.last.Index), raft.EncodeConfiguration(m.configuration),
		uint64(m.configuration.Index), ChunkBytes, m.files}
	var body []byte
	if err := codec.NewEncoderBytes(&body, msgpack()).Encode(&w); err != nil {
		return fmt.Errorf("snapshot: encode the manifest: %w", err)
	}
	if len(body) > maxManifest-manifestHead-4 {
		return fmt.Errorf("snapshot: %w: the manifest of %d files has %d bytes, at most %d are allowed",
			raft.ErrTooLarge, len(m.files), len(body), maxManifest)
	}
	b := append(make([]byte, 0, manifestHead+len(body)+4), manifestMagic...)
	b = binary.LittleEndian.AppendUint32(b, manifestVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	m.sum = raft.Checksum(b)
	m.raw = binary.LittleEndian.AppendUint32(b, m.sum)
	return nil
}

// manifestSize returns the size of the manifest that begins with head.
func manifestSize(head []byte) (int, error) {
	if string(head[:8]) != manifestMagic {
		return 0, fmt.Errorf("%w: this is no snapshot manifest", raft.ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v != manifestVersion {
		return 0, fmt.Errorf("%w: format %d, this program reads format %d: run the newer program",
			errVersion, v, manifestVersion)
	}
	n := binary.LittleEndian.Uint32(head[12:])
	if n > maxManifest-manifestHead-4 {
		return 0, fmt.Errorf("%w: a manifest of %d bytes", raft.ErrCorrupt, n)
	}
	return manifestHead + int(n) + 4, nil
}

// decodeManifest reads what encode wrote. It keeps raw. Errors wrap raft.ErrCorrupt or errVersion.
func decodeManifest(raw []byte) (*manifest, error) {
	if len(raw) < manifestHead+4 {
		return nil, fmt.Errorf("%w: a manifest of %d bytes", raft.ErrCorrupt, len(raw))
	}
	// The checksum is the end of the file in every version: only a sound manifest can be of another
	// one.
	end := len(raw) - 4
	sum := binary.LittleEndian.Uint32(raw[end:])
	if got := raft.Checksum(raw[:end]); got != sum {
		return nil, fmt.Errorf("%w: the manifest has checksum %08x, says %08x", raft.ErrCorrupt, got, sum)
	}
	size, err := manifestSize(raw)
	if err != nil {
		return nil, err
	}
	if size != len(raw) {
		return nil, fmt.Errorf("%w: a manifest of %d bytes says that it has %d", raft.ErrCorrupt,
			len(raw), size)
	}
	var w wireManifest[codec.Raw]
	d := codec.NewDecoderBytes(raw[manifestHead:end], msgpack())
	if err := d.Decode(&w); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", raft.ErrCorrupt, err)
	}
	if n := manifestHead + d.NumBytesRead(); n != end {
		return nil, fmt.Errorf("%w: manifest: %d bytes too many", raft.ErrCorrupt, end-n)
	}
	m := &manifest{cluster: w.Cluster, group: raft.GroupID(w.Group), peer: raft.PeerID(w.Peer),
		last: raft.LogID{Term: raft.Term(w.Term), Index: raft.Index(w.Index)}, raw: raw, sum: sum}
	if err := m.fill(&w); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", raft.ErrCorrupt, err)
	}
	return m, nil
}

// fill decodes the parts of which a small manifest could make very many, and checks everything.
func (m *manifest) fill(w *wireManifest[codec.Raw]) (err error) {
	if n := listLength(w.Files); n > len(w.Files)/minFileBytes {
		return fmt.Errorf("%d files in %d bytes", n, len(w.Files))
	}
	if n := len(w.Configuration); n > maxConfiguration {
		return fmt.Errorf("a configuration of %d bytes", n)
	}
	m.configuration, err = raft.DecodeConfiguration(raft.Index(w.ConfigurationIndex), w.Configuration)
	if err != nil {
		return err
	}
	if err := codec.NewDecoderBytes(w.Files, msgpack()).Decode(&m.files); err != nil {
		return err
	}
	return m.validate(w.ChunkBytes)
}

// listLength returns how many elements a msgpack list has; what is no list has very many.
func listLength(raw []byte) int {
	switch {
	case len(raw) > 0 && raw[0]>>4 == 9:
		return int(raw[0] & 15)
	case len(raw) > 2 && raw[0] == 0xdc:
		return int(binary.BigEndian.Uint16(raw[1:]))
	case len(raw) > 4 && raw[0] == 0xdd:
		return int(binary.BigEndian.Uint32(raw[1:]))
	}
	return math.MaxInt
}

// validate checks everything that later code relies on.
func (m *manifest) validate(chunkBytes uint32) error {
	switch {
	case m.last.Index == 0 || m.configuration.Index > m.last.Index || m.last.Index >= maxNumber ||
		m.last.Term >= maxNumber:
		return fmt.Errorf("the last entry is %v, the configuration is of entry %d", m.last,
			m.configuration.Index)
	case chunkBytes != ChunkBytes:
		return fmt.Errorf("chunks of %d bytes", chunkBytes)
	case len(m.files) == 0 || m.files[0].Name != "":
		return fmt.Errorf("it has no stream")
	}
	names, total := map[string]bool{}, int64(0)
	for i := range m.files {
		e := &m.files[i]
		if i > 0 {
			if err := ValidName(e.Name); err != nil {
				return err
			}
		}
		if names[e.Name] {
			return fmt.Errorf("two files %q", e.Name)
		}
		names[e.Name] = true
		if e.Size < 0 || e.Size > math.MaxInt64-ChunkBytes-total {
			return fmt.Errorf("file %q has size %d", e.Name, e.Size)
		}
		total += e.Size
		if len(e.SHA256) != shaBytes || len(e.Chunks)%4 != 0 || len(e.Chunks)/4 != e.chunks() {
			return fmt.Errorf("file %q has %d bytes, %d bytes of checksums", e.Name, e.Size, len(e.Chunks))
		}
	}
	return nil
}
