package boltlog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

var owner = Options{Cluster: "c", Peer: "p"}

// FuzzDecode: what decodes is the entry that was asked for, and all of what was stored. The fuzzed
// frames get the right checksum by being made as the leader makes them.
func FuzzDecode(f *testing.F) {
	_, frame := raft.MakeEntry(nil, 7, 42, raft.EntryCommand, []byte("set x 1"))
	f.Add(uint64(42), key(42), frame, uint64(7), uint64(42), byte(1), []byte("set x 1"))
	f.Add(uint64(42), key(43), frame, uint64(0), uint64(43), byte(2), []byte{})
	f.Add(uint64(42), key(42)[:7], frame[:len(frame)-1], uint64(1), uint64(1<<63), byte(9), []byte{})
	f.Add(uint64(0), []byte{}, []byte{}, uint64(0), uint64(0), byte(0), []byte{})
	f.Add(uint64(42), key(42), append(frame, frame...), uint64(7), uint64(42), byte(4), frame)
	f.Fuzz(func(t *testing.T, want uint64, k, v []byte, term, index uint64, kind byte, data []byte) {
		_, made := raft.MakeEntry(nil, raft.Term(term), raft.Index(index), raft.EntryKind(kind), data)
		for _, v := range [][]byte{v, made, append(made, 0)} {
			e, err := decode("g", raft.Index(want), k, v)
			if err != nil {
				require.ErrorIs(t, err, raft.ErrCorrupt)
				continue
			}
			require.Equal(t, raft.Index(want), e.Index)
			require.Equal(t, key(e.Index), k)
			require.Equal(t, v, e.Frame())
		}
	})
}

// TestNewerVersion: a file of a later format is refused, whoever's it is, and left as it is.
func TestNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s, err := Open(path, owner)
	require.NoError(t, err)
	require.NoError(t, s.Write([]logmanager.Write{{Group: "g", HardState: &raft.HardState{Term: 3}}}))
	require.NoError(t, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(versionKey, []byte{version + 1})
	}))
	require.NoError(t, s.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, o := range []Options{owner, {Peer: "another"}} {
		_, err = Open(path, o)
		require.ErrorContains(t, err, path+" has format version 2, this program reads version 1")
		require.NotErrorIs(t, err, raft.ErrCorrupt)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
}
