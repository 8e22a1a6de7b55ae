package logmanager_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/logmanager/boltlog"
	"github.com/jraft-go/jraft/raft"
)

const benchBytes = 4096

// BenchmarkWrite is one durable write of 4 KiB, by each store, beside what the disk itself takes
// for it: appended to a file, and put over zeros.
func BenchmarkWrite(b *testing.B) {
	b.Run("segments", func(b *testing.B) {
		o := logmanager.SegmentOptions{Peer: "p1"}
		s, err := logmanager.StartSegments(vfs.OS(), b.TempDir(), o)
		require.NoError(b, err)
		benchStore(b, s)
	})
	b.Run("segments, none begun", func(b *testing.B) {
		o := logmanager.SegmentOptions{Peer: "p1", FirstSegmentBytes: 64 << 20}
		s, err := logmanager.OpenSegments(vfs.OS(), b.TempDir(), o)
		require.NoError(b, err)
		benchStore(b, s)
	})
	b.Run("boltlog", func(b *testing.B) {
		s, err := boltlog.Open(filepath.Join(b.TempDir(), "log"), boltlog.Options{Peer: "p1"})
		require.NoError(b, err)
		benchStore(b, s)
	})
	b.Run("raw append", func(b *testing.B) { benchRaw(b, benchBytes, false) })
	b.Run("raw over zeros", func(b *testing.B) { benchRaw(b, benchBytes, true) })
	b.Run("raw over zeros, unaligned", func(b *testing.B) { benchRaw(b, benchBytes+80, true) })
}

func benchStore(b *testing.B, s logmanager.Store) {
	require.NoError(b, s.Write([]logmanager.Write{{Group: "g", HardState: hard(1, "p1")}}))
	data := make([]byte, benchBytes)
	buf := make([]byte, 0, 2*benchBytes)
	batch := []logmanager.Write{{Group: "g", Entries: make([]raft.Entry, 1)}}
	index := raft.Index(0)
	b.SetBytes(benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		index++
		batch[0].Entries[0], _ = raft.MakeEntry(buf, 1, index, raft.EntryCommand, data)
		if err := s.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.Close())
}

func benchRaw(b *testing.B, n int, zeros bool) {
	files := vfs.OS()
	name := filepath.Join(b.TempDir(), "raw")
	f, err := files.Create(name)
	require.NoError(b, err)
	const most = 16 << 20
	if zeros {
		_, err := f.WriteAt(make([]byte, most), 0)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
	}
	data := make([]byte, n)
	data[0] = 1
	at := int64(0)
	b.SetBytes(benchBytes)
	for b.Loop() {
		if _, err := f.WriteAt(data, at); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		if at += int64(n); zeros && at+int64(n) > most {
			at = 0
		}
	}
	require.NoError(b, f.Close())
	require.NoError(b, os.Remove(name))
}

// BenchmarkEncode is what the store itself adds to a write: the same without a disk.
func BenchmarkEncode(b *testing.B) {
	s, err := logmanager.OpenSegments(vfs.NewMem(source(1)), "log",
		logmanager.SegmentOptions{Peer: "p1", FirstSegmentBytes: 64 << 20})
	require.NoError(b, err)
	benchStore(b, s)
}

// BenchmarkRead reads 1 MiB of entries of 1 KiB.
func BenchmarkRead(b *testing.B) {
	s, err := logmanager.StartSegments(vfs.OS(), b.TempDir(), logmanager.SegmentOptions{Peer: "p1"})
	require.NoError(b, err)
	w := logmanager.Write{Group: "g", HardState: hard(1, "")}
	for i := raft.Index(1); i <= 1024; i++ {
		w.Entries = append(w.Entries, entry(1, i, string(make([]byte, 1000))))
	}
	require.NoError(b, s.Write([]logmanager.Write{w}))
	b.SetBytes(1024 * 1025)
	b.ReportAllocs()
	var dst []raft.Entry
	for b.Loop() {
		if dst, err = s.Read("g", 1, 1024, 1<<30, dst[:0]); err != nil || len(dst) != 1024 {
			b.Fatal(err)
		}
	}
	require.NoError(b, s.Close())
}
