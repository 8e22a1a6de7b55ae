package grpctransport

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport/transporttest"
)

// rawFrame is a frame of any bytes.
type rawFrame []byte

// rawCodec sends raw frames too.
type rawCodec struct{ codec }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(rawFrame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f)}, nil
	}
	return c.codec.Marshal(v)
}

func prefixed(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// FuzzFrame: whatever a frame holds, the decoder returns, and what it accepts is within its limits.
func FuzzFrame(f *testing.F) {
	for _, body := range transporttest.Bodies() {
		m := transporttest.Message("g", body)
		s, err := codec{}.Marshal(&outgoing{flags: flagPing, msgs: []raft.Message{m, m}, bytes: 1000})
		require.NoError(f, err)
		f.Add(s.Materialize())
		s.Free()
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := incoming{maxMessageBytes: 1 << 10}
		half := mem.BufferSlice{mem.SliceBuffer(b[:len(b)/2]), mem.SliceBuffer(b[len(b)/2:])}
		if (codec{}).Unmarshal(half, &in) == nil {
			require.Equal(t, len(b), in.bytes)
			require.LessOrEqual(t, len(in.msgs)*lengthBytes, len(b))
		}
	})
}
