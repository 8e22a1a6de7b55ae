package raft_test

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

func TestRestoreChunk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := raft.RestoreChunk{ID: rapid.Uint64().Draw(t, "id"), Number: rapid.Uint32().Draw(t, "number"),
			Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data")}
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 1:
			c.Number = max(c.Number, 1)
			c.Last, c.Bytes, c.Sum = true, rapid.Uint64().Draw(t, "bytes"), rapid.Uint32().Draw(t, "sum")
		case 2:
			c.Abandon, c.Data = true, []byte{}
		}
		got, err := raft.DecodeRestoreChunk(c.Encode())
		require.NoError(t, err)
		require.Equal(t, c, got)
	})
}

// TestRestoreChunkGolden is the format of version 1, which never changes.
func TestRestoreChunkGolden(t *testing.T) {
	c := raft.RestoreChunk{ID: 1<<63 + 2, Number: 3, Last: true, Bytes: 1 << 33, Sum: 0xfeedbeef,
		Data: []byte("end")}
	require.Equal(t, "0200000000000080"+"03000000"+"01"+"0000000002000000"+"efbeedfe"+"656e64",
		hex.EncodeToString(c.Encode()))
}

func TestRestoreChunkMalformed(t *testing.T) {
	whole := (&raft.RestoreChunk{ID: 1, Data: []byte("x")}).Encode()
	for what, change := range map[string]func(b []byte) []byte{
		"short":             func(b []byte) []byte { return b[:raft.RestoreHead-1] },
		"first and last":    func(b []byte) []byte { b[12] = 1; return b },
		"both flags":        func(b []byte) []byte { b[12] = 3; return b },
		"bytes in between":  func(b []byte) []byte { b[13] = 1; return b },
		"sum in between":    func(b []byte) []byte { b[21] = 1; return b },
		"abandon with data": func(b []byte) []byte { b[12] = 2; return b },
	} {
		_, err := raft.DecodeRestoreChunk(change(append([]byte(nil), whole...)))
		require.ErrorIs(t, err, raft.ErrCorrupt, what)
	}
	whole[12] = 4
	_, err := raft.DecodeRestoreChunk(whole)
	require.Error(t, err)
	require.NotErrorIs(t, err, raft.ErrCorrupt, "it may be of a later version")
}

// FuzzDecodeRestoreChunk: what decodes encodes to the same bytes, and shares b's memory instead of
// copying it.
func FuzzDecodeRestoreChunk(f *testing.F) {
	for _, c := range []raft.RestoreChunk{
		{ID: 1, Data: []byte("x")}, {ID: 1, Number: 3, Abandon: true},
		{ID: 1, Number: 2, Last: true, Bytes: 1 << 63, Sum: 5, Data: []byte("end")},
	} {
		b := c.Encode()
		f.Add(b)
		f.Add(b[:raft.RestoreHead-1])
		b[12] ^= 4
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := raft.DecodeRestoreChunk(b)
		if err != nil {
			require.Zero(t, c)
			return
		}
		require.Equal(t, b, c.Encode())
		require.False(t, c.Last && c.Abandon)
	})
}
