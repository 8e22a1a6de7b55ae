package node_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// restored makes a group of a backup.
func restored(t *testing.T, backup []byte, size int) *cluster {
	imported := map[raft.PeerID]bool{}
	return newCluster(t, size, func(o *node.Options) {
		asked(o)
		if !imported[o.ID] {
			imported[o.ID] = true
			_, err := node.Import(*o, bytes.NewReader(backup))
			require.NoError(t, err)
		}
	})
}

func TestBackupBecomesAGroup(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 30)
	var backup, exported bytes.Buffer
	meta, err := c.leader().Backup(within(t, 10*time.Second), &backup)
	require.NoError(t, err)
	require.Equal(t, c.leader().Status().Applied, meta.Last.Index)
	want := c.converge()
	c.stop("n1")
	also, err := node.Export(c.options("n1"), &exported)
	require.NoError(t, err)
	require.Equal(t, meta, also)
	require.Equal(t, backup.Bytes(), exported.Bytes())
	c.stopAll()

	group := restored(t, backup.Bytes(), 3)
	require.Equal(t, want, group.converge())
	require.Len(t, group.leader().Status().Configuration.Voters, 3)
	group.write(group.leader(), 30, 40)
	require.Len(t, group.converge(), 40)
	for _, p := range group.peers {
		group.stop(p.ID)
	}
	for _, p := range group.peers {
		group.start(p.ID)
	}
	require.Len(t, group.converge(), 40)
	require.Len(t, group.leader().Status().Configuration.Voters, 3)
}

func TestBackupFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 10)
	boom := errors.New("boom")
	_, err := c.leader().Backup(within(t, 10*time.Second), failingWriter{boom})
	refused(t, err, boom, raft.NotAppended)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.leader().Backup(ctx, &bytes.Buffer{})
	refused(t, err, context.Canceled, raft.NotAppended)
	require.Len(t, c.converge(), 10)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 10)
	var backup bytes.Buffer
	_, err := c.leader().Backup(within(t, 10*time.Second), &backup)
	require.NoError(t, err)
	whole := backup.Bytes()
	for name, test := range map[string]struct {
		change func(o *node.Options)
		backup []byte
		is     error
		says   string
	}{
		"cluster": {func(o *node.Options) { o.Cluster = "other" }, whole, raft.ErrWrongCluster, "other"},
		"group":   {func(o *node.Options) { o.Group = "other" }, whole, raft.ErrWrongCluster, "other"},
		"cut off": {nil, whole[:len(whole)-5], raft.ErrCorrupt, "cut off"},
		"damaged": {nil, append(bytes.Clone(whole[:len(whole)-20]), make([]byte, 20)...),
			raft.ErrCorrupt, ""},
		"occupied": {func(o *node.Options) { o.Dir = c.dirs["n1"] }, whole, nil, "is not empty"},
		"no peers": {func(o *node.Options) { o.Peers = nil }, whole, nil, "Options.Peers is empty"},
		"no dir":   {func(o *node.Options) { o.Dir = "" }, whole, nil, "Options.Dir"},
		"stranger": {func(o *node.Options) { o.ID = "n9" }, whole, nil, `member "n9"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.options("n1")
			o.Dir = t.TempDir()
			if test.change != nil {
				test.change(&o)
			}
			_, err := node.Import(o, bytes.NewReader(test.backup))
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			if name != "occupied" && name != "no dir" {
				left, err := os.ReadDir(o.Dir)
				require.NoError(t, err)
				require.Empty(t, left)
				require.NoDirExists(t, o.Dir+".import")
			}
		})
	}
	o := c.options("n1")
	o.Dir = t.TempDir()
	_, err = node.Export(o, &bytes.Buffer{})
	require.ErrorIs(t, err, snapshot.ErrGone)
	left, err := os.ReadDir(o.Dir)
	require.NoError(t, err)
	require.Empty(t, left, "it only looks")

	mine := filepath.Join(o.Dir+".import", "backup")
	require.NoError(t, os.Mkdir(filepath.Dir(mine), 0o755))
	require.NoError(t, os.WriteFile(mine, whole, 0o600))
	_, err = node.Import(o, bytes.NewReader(whole))
	require.ErrorContains(t, err, "which no import has left")
	require.FileExists(t, mine)
	// What an import that was killed has left.
	require.NoError(t, os.Rename(mine, filepath.Join(filepath.Dir(mine), "log")))
	_, err = node.Import(o, bytes.NewReader(whole))
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Dir(mine))
}

// TestExportOfDamaged: where the newest snapshot is damaged it is the next older one, from its
// first byte on; where all are, nothing.
func TestExportOfDamaged(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, asked)
	c.write(c.leader(), 0, 10)
	older := c.snapshot(c.leader())
	c.write(c.leader(), 10, 20)
	newest := c.snapshot(c.leader())
	c.stop("n1")
	c.damage("n1", newest.Last)
	var exported bytes.Buffer
	meta, err := node.Export(c.options("n1"), &exported)
	require.NoError(t, err)
	require.Equal(t, older, meta)
	o := c.options("n1")
	o.Dir = filepath.Join(t.TempDir(), "new")
	got, err := node.Import(o, &exported)
	require.NoError(t, err)
	require.Equal(t, older, got)
	c.damage("n1", older.Last)
	_, err = node.Export(c.options("n1"), &exported)
	require.ErrorIs(t, err, snapshot.ErrGone)
	require.ErrorIs(t, err, raft.ErrCorrupt)
	require.Zero(t, exported.Len())
}
