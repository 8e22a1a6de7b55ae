package snapshot_test

import (
	"bytes"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// exported returns what Export writes of a state.
func exported(t *testing.T, st state) []byte {
	t.Helper()
	files := mem(1)
	s := open(t, files, "snap")
	mustSave(t, files, s, at(9), st)
	var b bytes.Buffer
	require.NoError(t, s.Export(&b, at(9)))
	return b.Bytes()
}

// stage puts a stream together, in pieces of n bytes.
func stage(t *testing.T, s *snapshot.Files, stream []byte, n int) snapshot.Staged {
	t.Helper()
	staged, err := s.Stage()
	require.NoError(t, err)
	for at := 0; at < len(stream); at += n {
		_, err := staged.Write(stream[at:min(at+n, len(stream))])
		require.NoError(t, err)
	}
	return staged
}

func TestStaged(t *testing.T) {
	want := state{"": noise(1, 2*chunk+5), "a/b": noise(2, 7), "empty": {}, "z": noise(3, chunk)}
	stream := exported(t, want)
	files := mem(2)
	s := open(t, files, "snap")
	staged := stage(t, s, stream, 1000)
	defer func() { require.Empty(t, s.All(), "it is not published") }()
	again := make([]byte, len(stream))
	_, err := staged.ReadAt(again, 0)
	require.NoError(t, err)
	require.Equal(t, stream, again)
	require.NoError(t, staged.Verify())

	require.Equal(t, at(9), staged.Meta().Last)
	require.Equal(t, 3, staged.Meta().Files)
	require.Equal(t, []string{"a/b", "empty", "z"}, staged.Files())
	for _, name := range staged.Files() { // each beside the stream
		f, err := staged.OpenFile(name)
		require.NoError(t, err)
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		require.Equal(t, string(want[name]), string(got))
		require.NoError(t, f.Close())
	}
	got, err := io.ReadAll(staged)
	require.NoError(t, err)
	require.Equal(t, want[""], got)
	_, err = staged.OpenFile("none")
	require.ErrorIs(t, err, fs.ErrNotExist)

	other := stage(t, s, stream[:50], 50)
	require.Len(t, list(t, files, "snap"), 2)
	require.NoError(t, staged.Close())
	require.NoError(t, other.Close())
	require.Empty(t, list(t, files, "snap"))
	stage(t, s, stream, len(stream))
	files.Crash(vfs.KeepAll)
	open(t, files, "snap")
	require.Empty(t, list(t, files, "snap"), "nothing is left after a restart")
}

// TestStagedRefuses changes each byte, leaves each out with all after it, and adds one.
func TestStagedRefuses(t *testing.T) {
	stream := exported(t, state{"": noise(1, 50), "a": noise(2, 9)})
	s := open(t, mem(2), "snap")
	verify := func(stream []byte) error {
		staged := stage(t, s, stream, len(stream)+1)
		err := staged.Verify()
		require.NoError(t, staged.Close())
		return err
	}
	require.NoError(t, verify(stream))
	for n := range stream {
		require.ErrorIs(t, verify(stream[:n]), raft.ErrCorrupt, "%d bytes", n)
		bad := bytes.Clone(stream)
		bad[n] ^= 0x10
		require.Error(t, verify(bad), "byte %d", n)
	}
	require.ErrorIs(t, verify(append(bytes.Clone(stream), 0)), raft.ErrCorrupt)
	o := options()
	o.Group = "other"
	other, err := snapshot.Open(mem(3), "snap", o)
	require.NoError(t, err)
	require.ErrorIs(t, stage(t, other, stream, 100).Verify(), raft.ErrWrongCluster)
}

// What is read later is checked again.
func TestStagedIsDamaged(t *testing.T) {
	stream := exported(t, state{"": noise(1, 50)})
	files := mem(2)
	s := open(t, files, "snap")
	staged := stage(t, s, stream, 100)
	require.NoError(t, staged.Verify())
	name := "snap/" + list(t, files, "snap")[0] + "/state"
	require.NoError(t, files.FlipBit(name, int64(len(stream)-20), 3))
	_, err := io.ReadAll(staged)
	require.ErrorIs(t, err, raft.ErrCorrupt)
}
