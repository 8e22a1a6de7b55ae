package service

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

func apply(t *testing.T, c *Counter, client string, seq uint64, delta int64) Added {
	t.Helper()
	data, err := json.Marshal(Command{client, seq, delta})
	require.NoError(t, err)
	return c.Apply(raft.Entry{Kind: raft.EntryCommand, Data: data}).(Added)
}

func read(t *testing.T, c *Counter) Reading {
	t.Helper()
	r, err := c.Read()
	require.NoError(t, err)
	return r
}

func TestMachineAppliesEachIncrementOnce(t *testing.T) {
	c := NewCounter()
	require.Equal(t, Added{Total: 5}, apply(t, c, "a", 1, 5))
	require.Equal(t, Added{Total: 7}, apply(t, c, "b", 1, 2))
	require.Equal(t, Added{Total: 5, Duplicate: true}, apply(t, c, "a", 1, 5),
		"a retry gets the first answer")
	require.Equal(t, Added{Total: 8}, apply(t, c, "a", 2, 1))
	require.NotEmpty(t, apply(t, c, "a", 1, 5).Refused, "an overtaken retry")
	require.NotEmpty(t, apply(t, c, "a", 4, 1).Refused, "a gap")
	r := read(t, c)
	require.Equal(t, int64(8), r.Total)
	require.Equal(t, map[string]uint64{"a": 2, "b": 1}, r.Clients)
	require.Equal(t, uint64(1), r.Gaps)
	require.Equal(t, uint64(2), r.Duplicates)
}

func TestMachineRefusesWhatItCannotRead(t *testing.T) {
	c := NewCounter()
	before := read(t, c)
	require.NotEmpty(t, apply(t, c, "a", 0, 1).Refused, "sequence numbers begin at 1")
	require.NotEmpty(t, c.Apply(raft.Entry{Data: []byte("not json")}).(Added).Refused)
	require.Equal(t, before, read(t, c))
}

func TestHashTellsStatesApart(t *testing.T) {
	base := func() *Counter {
		c := NewCounter()
		for i := range 20 {
			apply(t, c, "c"+strconv.Itoa(i), 1, 1)
		}
		return c
	}
	want := read(t, base()).Hash
	require.Equal(t, want, read(t, base()).Hash)
	other := base()
	apply(t, other, "c1", 2, 0) // same total, another sequence
	require.NotEqual(t, want, read(t, other).Hash)
	other = base()
	other.s.Total++
	require.NotEqual(t, want, read(t, other).Hash)
}

// snapshotReader gives back bytes; the counter uses none of the other methods.
type snapshotReader struct{ io.Reader }

func (snapshotReader) Meta() raft.SnapshotMeta {
	return raft.SnapshotMeta{Last: raft.LogID{Term: 2, Index: 7}}
}
func (snapshotReader) Files() []string                        { return nil }
func (snapshotReader) OpenFile(string) (io.ReadCloser, error) { return nil, io.EOF }

type snapshotWriter struct{ bytes.Buffer }

func (*snapshotWriter) AddFile(string, string) error { return io.ErrShortWrite }

func TestSnapshotIsPinnedAndRestored(t *testing.T) {
	c := NewCounter()
	apply(t, c, "a", 1, 5)
	apply(t, c, "a", 1, 5)
	pinned := read(t, c)
	s, err := c.Snapshot()
	require.NoError(t, err)
	apply(t, c, "a", 2, 1)
	apply(t, c, "b", 1, 1)

	var w snapshotWriter
	require.NoError(t, s.Save(t.Context(), &w))
	s.Release()
	restored := NewCounter()
	apply(t, restored, "gone", 1, 99)
	require.NoError(t, restored.Restore(snapshotReader{&w}))
	require.Equal(t, pinned, read(t, restored))
	require.Equal(t, uint64(7), restored.restoredFrom())
	require.Equal(t, Added{Total: 5, Duplicate: true}, apply(t, restored, "a", 1, 5))

	require.Error(t, restored.Restore(snapshotReader{bytes.NewReader([]byte("{broken"))}))
	require.Equal(t, int64(5), read(t, restored).Total, "a failed Restore leaves the state alone")
}
