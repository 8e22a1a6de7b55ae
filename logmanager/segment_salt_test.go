package logmanager

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// forged is a command that holds, at each of the 8 offsets that an alignment may ask for, the head
// of a batch of a segment that seems to have been written much later.
func forged(segment uint64, salt uint32) (data []byte) {
	head := make([]byte, batchHead)
	(&batch{segment: segment, sequence: 1 << 60, records: 1}).encode(head, salt)
	for range alignment {
		data = append(append(data, head...), 0)
	}
	return data
}

// tear appends a command to a new store in dir, and opens in other what is left by a power loss
// that kept the beginning of the append from the disk.
func tear(t *testing.T, command func(*segment) []byte, dir, other string,
	open func(dir string) (*Segments, error),
) (*Segments, error) {
	s, err := open(dir)
	require.NoError(t, err)
	first, _ := raft.MakeEntry(nil, 1, 1, raft.EntryCommand, []byte("first"))
	hard := raft.HardState{Term: 1}
	require.NoError(t, s.Write([]Write{
		{Group: "g", HardState: &hard, Entries: []raft.Entry{first}},
	}))
	at := s.end
	second, _ := raft.MakeEntry(nil, 1, 2, raft.EntryCommand, command(s.last()))
	require.NoError(t, s.Write([]Write{{Group: "g", Entries: []raft.Entry{second}}}))
	name := filepath.Base(s.last().name)
	data, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	clear(data[at : at+8])
	require.NoError(t, os.WriteFile(filepath.Join(other, name), data, 0o600))
	return open(other)
}

// TestForgedBatchHead: an append is no damage because of what a client put into a command, unless
// the client has the segment's salt. Without a salt it has: that shows what the salt is for.
func TestForgedBatchHead(t *testing.T) {
	for what, c := range map[string]struct {
		salt    uint64
		command func(*segment) []byte
		damaged bool
	}{
		"no salt":             {0, func(s *segment) []byte { return forged(s.number, 0) }, true},
		"salt unknown":        {7, func(s *segment) []byte { return forged(s.number, 0) }, false},
		"the next one's salt": {7, func(*segment) []byte { return forged(1, segmentSalt(7, 2)) }, false},
		"another start's":     {7, func(*segment) []byte { return forged(1, segmentSalt(8, 1)) }, false},
		"salt known":          {7, func(s *segment) []byte { return forged(s.number, s.salt) }, true},
	} {
		t.Run(what, func(t *testing.T) {
			s, err := tear(t, c.command, t.TempDir(), t.TempDir(), func(dir string) (*Segments, error) {
				return OpenSegments(vfs.OS(), dir, SegmentOptions{Peer: "p", Salt: c.salt})
			})
			if c.damaged {
				require.ErrorIs(t, err, raft.ErrCorrupt)
				require.ErrorContains(t, err, "batch 3 is damaged")
				return
			}
			require.NoError(t, err)
			stored, err := s.Load("g")
			require.NoError(t, err)
			require.Equal(t, raft.LogID{Term: 1, Index: 1}, stored.Last)
			require.NoError(t, s.Close())
		})
	}
}

// TestForgedBatchHeadInDir is the same with the store that a member uses, which needs no option.
func TestForgedBatchHeadInDir(t *testing.T) {
	command := func(s *segment) []byte { return forged(s.number, 0) }
	s, err := tear(t, command, t.TempDir(), t.TempDir(), func(dir string) (*Segments, error) {
		return OpenDir(dir, SegmentOptions{Peer: "p"})
	})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// TestSalts: every segment has a salt of its own, with each opening anew; a segment keeps its own.
func TestSalts(t *testing.T) {
	seen := map[uint32]bool{}
	for range 2 {
		dir := t.TempDir()
		var index raft.Index
		for range 2 {
			s, err := OpenDir(dir, SegmentOptions{
				Peer: "p", FirstSegmentBytes: 2048, MaxSegmentBytes: 2048,
			})
			require.NoError(t, err)
			for range 2 { // a segment each
				index++
				hard := raft.HardState{Term: 1}
				e, _ := raft.MakeEntry(nil, 1, index, raft.EntryCommand, make([]byte, 1200))
				require.NoError(t, s.Write([]Write{
					{Group: "g", HardState: &hard, Entries: []raft.Entry{e}},
				}))
			}
			got, err := s.Read("g", 1, index, 1<<20, nil)
			require.NoError(t, err)
			require.Len(t, got, int(index))
			require.NoError(t, s.Close())
		}
		names, err := filepath.Glob(filepath.Join(dir, "log-*.seg"))
		require.NoError(t, err)
		require.Len(t, names, 4)
		for _, name := range names {
			head, err := os.ReadFile(name)
			require.NoError(t, err)
			salt := binary.LittleEndian.Uint32(head[saltAt:])
			require.NotZero(t, salt)
			require.False(t, seen[salt], "a salt is used twice")
			seen[salt] = true
		}
	}
}
