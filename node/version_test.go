package node_test

import (
	"encoding/binary"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
)

// contents are the files below a directory, without a segment that is made ahead of time: it has
// nothing in it, and an unfinished one goes at any start.
func contents(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) == ".new" {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	}))
	return all
}

// TestDirectoryOfANewerVersion: neither the log nor a snapshot of a later release is touched, and
// the member does not start without it.
func TestDirectoryOfANewerVersion(t *testing.T) {
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 3)
	c.snapshot(c.leader())
	c.stop("n1")
	for pattern, reseal := range map[string]func(b []byte){
		"log/*.seg": func(b []byte) { binary.LittleEndian.PutUint32(b[12:], raft.Checksum(b[:12])) },
		"snapshot/snap-*/manifest": func(b []byte) {
			end := len(b) - 4
			binary.LittleEndian.PutUint32(b[end:], raft.Checksum(b[:end]))
		},
	} {
		names, err := filepath.Glob(filepath.Join(c.dirs["n1"], pattern))
		require.NoError(t, err)
		require.NotEmpty(t, names)
		old, err := os.ReadFile(names[0])
		require.NoError(t, err)
		b := append([]byte(nil), old...)
		binary.LittleEndian.PutUint32(b[8:], 2)
		reseal(b)
		require.NoError(t, os.WriteFile(names[0], b, 0o600))
		before := contents(t, c.dirs["n1"])
		_, err = node.Start(c.options("n1"))
		require.ErrorContains(t, err, filepath.Base(names[0]))
		require.Regexp(t, `version.* 2, this program reads .* 1: run the newer program`, err.Error())
		require.NotErrorIs(t, err, raft.ErrCorrupt)
		after := contents(t, c.dirs["n1"])
		require.ElementsMatch(t, slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
		for name := range after {
			require.True(t, before[name] == after[name], name) // a segment is too large to be shown
		}
		require.NoError(t, os.WriteFile(names[0], old, 0o600))
	}
	c.start("n1")
	require.Len(t, c.converge(), 3)
}
