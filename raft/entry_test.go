package raft_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term := raft.Term(rapid.Uint64().Draw(t, "term"))
		index := raft.Index(rapid.Uint64Min(1).Draw(t, "index"))
		kind := raft.EntryKind(rapid.ByteRange(1, 4).Draw(t, "kind"))
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
		before := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "before")

		made, buf := raft.MakeEntry(before, term, index, kind, data)
		require.Equal(t, before, buf[:len(before)])
		require.Equal(t, buf[len(before):], made.Frame())
		require.Len(t, made.Frame(), made.FrameBytes())
		require.Equal(t, raft.LogID{Term: term, Index: index}, made.ID())

		// Something follows, as in a batch: the frame's own size tells where it ends.
		got, n, err := raft.DecodeFrame(append(bytes.Clone(made.Frame()), before...))
		require.NoError(t, err)
		require.Equal(t, made.FrameBytes(), n)
		require.Equal(t, made, got)

		byHand := raft.Entry{Term: term, Index: index, Kind: kind, Data: data}
		require.Equal(t, made.Frame(), byHand.Frame())
		require.Equal(t, byHand.FrameBytes(), made.FrameBytes())
	})
}

func TestMakeEntryCopiesTheData(t *testing.T) {
	data := []byte("hello")
	e, _ := raft.MakeEntry(nil, 1, 1, raft.EntryCommand, data)
	copy(data, "xxxxx")
	require.Equal(t, "hello", string(e.Data))
	// Appending to what an entry hands out must not run into its neighbour in the buffer.
	room := make([]byte, 0, 200)
	a, room := raft.MakeEntry(room, 1, 1, raft.EntryCommand, []byte("first"))
	b, _ := raft.MakeEntry(room, 1, 2, raft.EntryCommand, []byte("second"))
	_ = append(a.Data, "overrun, overrun, overrun, overrun"...)
	_ = append(a.Frame(), "overrun, overrun, overrun, overrun"...)
	got, _, err := raft.DecodeFrame(b.Frame())
	require.NoError(t, err)
	require.Equal(t, "second", string(got.Data))
}

// TestFrameBytesOnDisk holds the format, which is the same on disk and wire.
func TestFrameBytesOnDisk(t *testing.T) {
	e, _ := raft.MakeEntry(nil, 2, 3, raft.EntryCommand, []byte("hi"))
	require.Equal(t, "13000000"+"e273904e"+"01"+"0200000000000000"+"0300000000000000"+"6869",
		hex.EncodeToString(e.Frame()))
	require.Equal(t, uint32(0xe3069283), raft.Checksum([]byte("123456789")), "CRC-32C's check value")
}

func TestEveryBitOfAFrameCounts(t *testing.T) {
	for _, data := range []string{"", "x", "some more data"} {
		e, _ := raft.MakeEntry(nil, 5, 77, raft.EntryConfiguration, []byte(data))
		for _, trailing := range []int{0, 1, 1000} {
			for bit := range 8 * e.FrameBytes() {
				b := append(bytes.Clone(e.Frame()), make([]byte, trailing)...)
				b[bit/8] ^= 1 << (bit % 8)
				_, _, err := raft.DecodeFrame(b)
				require.ErrorIs(t, err, raft.ErrCorrupt, "bit %d, %d bytes follow", bit, trailing)
			}
		}
	}
}

func TestFrameCutOff(t *testing.T) {
	e, _ := raft.MakeEntry(nil, 5, 77, raft.EntryNoop, []byte("some data"))
	for n := range e.FrameBytes() {
		_, _, err := raft.DecodeFrame(e.Frame()[:n])
		require.ErrorIs(t, err, raft.ErrCorrupt, "%d bytes", n)
	}
}

// sealed returns a frame of these fields with a checksum that is right.
func sealed(size uint32, kind byte, index uint64, rest int) []byte {
	b := make([]byte, raft.FrameHead+rest)
	binary.LittleEndian.PutUint32(b, size)
	b[8] = kind
	binary.LittleEndian.PutUint64(b[17:], index)
	binary.LittleEndian.PutUint32(b[4:], raft.Checksum(b[8:]))
	return b
}

func TestFrameHostile(t *testing.T) {
	for name, b := range map[string][]byte{
		"size 0":         sealed(0, 1, 1, 0),
		"size too small": sealed(16, 1, 1, 0),
		"size too large": sealed(1<<30+18, 1, 1, 50),
		"size maximal":   sealed(1<<32-1, 1, 1, 50),
		"size negative":  sealed(1<<31, 1, 1, 50),
		"more than is":   sealed(17+51, 1, 1, 50),
		"kind 0":         sealed(17, 0, 1, 0),
		"kind 5":         sealed(17, 5, 1, 0),
		"kind 255":       sealed(17, 255, 1, 0),
		"index 0":        sealed(17, 1, 0, 0),
		"zeros":          make([]byte, 100),
	} {
		_, n, err := raft.DecodeFrame(b)
		require.ErrorIs(t, err, raft.ErrCorrupt, name)
		require.Zero(t, n, name)
	}
	_, n, err := raft.DecodeFrame(sealed(17+50, 1, 1, 50))
	require.NoError(t, err, "the frames above are wrong in one thing only")
	require.Equal(t, raft.FrameHead+50, n)
}

func FuzzDecodeFrame(f *testing.F) {
	e, _ := raft.MakeEntry(nil, 5, 77, raft.EntryCommand, []byte("some data"))
	f.Add(e.Frame())
	f.Add(sealed(1<<32-1, 1, 1, 50))
	f.Add(sealed(17, 3, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n, err := raft.DecodeFrame(b)
		if err != nil {
			require.ErrorIs(t, err, raft.ErrCorrupt)
			return
		}
		require.Equal(t, b[:n], e.Frame())
		again, _ := raft.MakeEntry(nil, e.Term, e.Index, e.Kind, e.Data)
		require.Equal(t, b[:n], again.Frame(), "an entry has one encoded form")
	})
}
