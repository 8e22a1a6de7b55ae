package snapshot_test

import (
	"bytes"
	"path"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// piece is a chunk that was asked for.
type piece struct{ file, n int }

// pull carries requests and replies, several at once and answered in reverse order, until nothing
// more is asked for or stop says so. It returns the chunks that were asked for.
func pull(t testing.TB, from snapshot.Store, in snapshot.Reception,
	stop func(piece) bool) (asked []piece) {
	t.Helper()
	var buf []byte
	for {
		var requests [][]byte
		for len(requests) < 4 {
			request, ok := in.Next()
			if !ok {
				break
			}
			requests = append(requests, request)
		}
		if len(requests) == 0 {
			return asked
		}
		for i := len(requests) - 1; i >= 0; i-- {
			chunk, file, n := snapshot.Asked(requests[i])
			if chunk {
				if stop != nil && stop(piece{file, n}) {
					return asked
				}
				asked = append(asked, piece{file, n})
			}
			reply, err := from.Serve(0, requests[i], buf)
			require.NoError(t, err)
			require.NoError(t, in.Got(requests[i], reply))
			buf = reply
		}
	}
}

func fetch(t testing.TB, from, to snapshot.Store, meta raft.SnapshotMeta,
	stop func(piece) bool) []piece {
	t.Helper()
	in, err := to.Receive(meta)
	require.NoError(t, err)
	asked := pull(t, from, in, stop)
	require.NoError(t, in.Err())
	require.True(t, in.Done())
	require.Equal(t, in.Total(), in.Bytes())
	require.Equal(t, meta.Bytes, in.Total())
	got, err := in.Commit()
	require.NoError(t, err)
	require.Equal(t, meta, got)
	newest, ok := to.Newest()
	require.True(t, ok)
	require.Equal(t, meta, newest)
	return asked
}

// TestResume: after a restart midway only what is missing is asked for, also of another source that
// has the same snapshot, even where the power failed.
func TestResume(t *testing.T) {
	st := state{"": noise(1, 5*chunk+7), "a": noise(2, 3*chunk), "b": noise(3, 10)}
	for stopAt := range 10 {
		source, other, files := mem(1), mem(2), mem(3)
		from := open(t, source, "s")
		meta := mustSave(t, source, from, at(9), st)
		second := open(t, other, "s")
		fetch(t, from, second, meta, nil)
		to := open(t, files, "s")
		in, err := to.Receive(meta)
		require.NoError(t, err)
		count := 0
		first := pull(t, from, in, func(piece) bool { count++; return count > stopAt })
		require.Len(t, first, stopAt)
		switch stopAt % 3 {
		case 0:
			files.Kill()
			to = open(t, files, "s")
			for _, dir := range list(t, files, "s") { // a copy was being made
				require.NoError(t, put(files, path.Join("s", dir, "copy"), []byte("x")))
			}
		case 1:
			files.Crash(vfs.KeepAll)
			to = open(t, files, "s")
		case 2:
			_, err := to.Receive(meta)
			require.ErrorIs(t, err, raft.ErrBusy)
			require.NoError(t, in.Close())
		}
		_, ok := to.Newest()
		require.False(t, ok, "only what is complete counts")
		require.NoError(t, to.Collect(0), "leaves it alone")
		rest := fetch(t, second, to, meta, nil)
		require.ElementsMatch(t, []piece{{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {1, 0}, {1, 1},
			{1, 2}, {2, 0}}, append(first, rest...))
		requireState(t, st, to, at(9))
		require.Equal(t, []string{snapshot.KeptName(at(9))}, list(t, files, "s"))
		require.Len(t, list(t, files, path.Join("s", snapshot.KeptName(at(9)))), 4)
		require.Empty(t, fetch(t, second, to, meta, nil), "it is here")
	}
}

// TestUnchangedFiles: what the previous snapshot has, and what an abandoned reception had got, is
// not asked for again, with hard links and without.
func TestUnchangedFiles(t *testing.T) {
	for _, link := range []bool{true, false} {
		var files vfs.FS = mem(1)
		if !link {
			files = unlinking{files}
		}
		big, more, fresh := noise(1, 2*chunk+1), noise(2, chunk+1), noise(3, 2*chunk)
		from, to := open(t, files, "from"), open(t, files, "to")
		first := mustSave(t, files, from, at(1), state{"": []byte("1"), "big": big})
		second := mustSave(t, files, from, at(2), state{"": []byte("2"), "big": big, "more": more})
		third := mustSave(t, files, from, at(3), state{"": []byte("3"), "a": big, "more": more,
			"z": fresh})
		require.Len(t, fetch(t, from, to, first, nil), 4)

		in, err := to.Receive(second)
		require.NoError(t, err)
		require.ElementsMatch(t, []piece{{0, 0}, {2, 0}, {2, 1}}, pull(t, from, in, nil))
		require.True(t, in.Done())
		require.NoError(t, in.Close())
		require.NoError(t, to.Close())
		to = open(t, files, "to")

		in, err = to.Receive(third)
		require.NoError(t, err)
		require.ElementsMatch(t, []piece{{0, 0}, {3, 0}, {3, 1}}, pull(t, from, in, nil))
		require.Equal(t, third.Bytes, in.Bytes())
		_, err = in.Commit()
		require.NoError(t, err)
		requireState(t, state{"": []byte("3"), "a": big, "more": more, "z": fresh}, to, at(3))
		require.Equal(t, []string{snapshot.KeptName(at(1)), snapshot.KeptName(at(3))},
			list(t, files, "to"))
	}
}

// TestReusedFileIsDamaged: a file of the previous snapshot that went bad is found out, fetched
// where it is bad, and the previous snapshot is not written to.
func TestReusedFileIsDamaged(t *testing.T) {
	files := mem(1)
	big := noise(1, 3*chunk)
	from, to := open(t, files, "from"), open(t, files, "to")
	first := mustSave(t, files, from, at(1), state{"": []byte("1"), "big": big})
	second := mustSave(t, files, from, at(2), state{"": []byte("2"), "big": big})
	fetch(t, from, to, first, nil)
	bad := path.Join("to", snapshot.KeptName(at(1)), snapshot.ContentName(1))
	require.NoError(t, files.FlipBit(bad, chunk+5, 0))
	require.ElementsMatch(t, []piece{{0, 0}, {1, 1}}, fetch(t, from, to, second, nil))
	requireState(t, state{"": []byte("2"), "big": big}, to, at(2))
	require.ErrorIs(t, to.Verify(at(1)), raft.ErrCorrupt)
	require.NoError(t, to.Verify(at(2)))
}

// TestWrongReplies: whatever comes instead of the right piece is refused and asked for again.
func TestWrongReplies(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	st := state{"": noise(1, 2*chunk), "f": noise(2, 100)}
	meta := mustSave(t, files, from, at(1), st)
	another := mustSave(t, files, from, at(2), state{"": noise(3, 2*chunk), "f": noise(4, 100)})
	serve := func(s snapshot.Store, request []byte) []byte {
		reply, err := s.Serve(0, request, nil)
		require.NoError(t, err)
		return reply
	}
	in, err := to.Receive(meta)
	require.NoError(t, err)
	foreign, err := open(t, files, "third").Receive(another)
	require.NoError(t, err)
	manifest, ok := in.Next()
	require.True(t, ok)
	_, ok = in.Next()
	require.False(t, ok, "the manifest comes first")
	foreignManifest, _ := foreign.Next()
	reply := serve(from, foreignManifest)
	require.NoError(t, foreign.Got(foreignManifest, reply))
	require.ErrorIs(t, in.Got(manifest, reply), raft.ErrCorrupt, "of another snapshot")
	manifest, ok = in.Next()
	require.True(t, ok)
	in.Lost(manifest)
	manifest, ok = in.Next()
	require.True(t, ok)
	require.NoError(t, in.Got(manifest, serve(from, manifest)))

	var requests [][]byte
	for request, ok := in.Next(); ok; request, ok = in.Next() {
		requests = append(requests, request)
	}
	require.Len(t, requests, 3)
	other, _ := foreign.Next()
	require.ErrorIs(t, in.Got(requests[0], serve(from, other)), raft.ErrCorrupt,
		"from another snapshot")
	require.ErrorIs(t, in.Got(requests[1], serve(from, requests[2])), raft.ErrCorrupt, "another chunk")
	right := serve(from, requests[2])
	require.ErrorIs(t, in.Got(requests[2], right[:len(right)-1]), raft.ErrCorrupt, "cut off")
	require.Zero(t, in.Bytes())
	require.NoError(t, in.Err())
	require.NoError(t, in.Got(requests[0], serve(from, requests[0])), "not waited for")
	require.Zero(t, in.Bytes())

	request, ok := in.Next()
	require.True(t, ok)
	require.Equal(t, requests[0], request, "asked for again")
	reply = serve(from, request)
	require.NoError(t, in.Got(request, reply))
	require.NoError(t, in.Got(request, reply), "a duplicate does nothing")
	require.EqualValues(t, chunk, in.Bytes())
	require.Error(t, in.Got([]byte("nonsense"), reply))
	_, err = in.Commit()
	require.Error(t, err, "it is not complete")

	request, ok = in.Next()
	require.True(t, ok)
	in.Lost(request)
	in.Lost(request)
	asked := pull(t, from, in, nil)
	require.ElementsMatch(t, []piece{{0, 1}, {1, 0}}, asked)
	_, err = in.Commit()
	require.NoError(t, err)
	requireState(t, st, to, at(1))
}

// TestWrongChecksums: flipped bits are noticed whatever was flipped, and too many fail the source.
func TestWrongChecksums(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	meta := mustSave(t, files, from, at(1), state{"": noise(1, 20)})
	in, err := to.Receive(meta)
	require.NoError(t, err)
	request, ok := in.Next()
	require.True(t, ok)
	reply, err := from.Serve(0, request, nil)
	require.NoError(t, err)
	require.NoError(t, in.Got(request, reply))
	for i := range snapshot.MaxWrong {
		require.NoError(t, in.Err())
		request, ok := in.Next()
		require.True(t, ok)
		reply, err := from.Serve(0, request, nil)
		require.NoError(t, err)
		bad := bytes.Clone(reply)
		bad[i*len(bad)/snapshot.MaxWrong] ^= 4
		require.ErrorIs(t, in.Got(request, bad), raft.ErrCorrupt)
	}
	require.ErrorIs(t, in.Err(), raft.ErrCorrupt)
	_, ok = in.Next()
	require.False(t, ok)
	require.False(t, in.Done())
	_, err = in.Commit()
	require.ErrorIs(t, err, raft.ErrCorrupt)
	require.NoError(t, in.Close())
	require.Len(t, fetch(t, from, to, meta, nil), 1, "another source is better")
}

// TestLies: replies and manifests whose own checksums are right and whose content is not.
func TestLies(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	meta := mustSave(t, files, from, at(1), state{"": noise(1, 20)})
	in, err := to.Receive(meta)
	require.NoError(t, err)
	manifest, _ := in.Next()
	reply, err := from.Serve(0, manifest, nil)
	require.NoError(t, err)
	require.NoError(t, in.Got(manifest, reply))
	for _, flip := range []int{snapshot.ReplyHead, 36, 4, 8, 26, 30} {
		request, ok := in.Next()
		require.True(t, ok)
		reply, err := from.Serve(0, request, nil)
		require.NoError(t, err)
		reply[flip] ^= 2
		snapshot.MendHead(reply)
		require.Error(t, in.Got(request, reply), "byte %d", flip)
	}
	require.Zero(t, in.Bytes())
	require.NoError(t, in.Close())

	require.NoError(t, from.Close())
	name := path.Join("from", snapshot.KeptName(at(1)), snapshot.ManifestName)
	lie := snapshot.WrongSHA(content(t, files, name))
	require.NoError(t, files.Remove(name))
	require.NoError(t, put(files, name, lie))
	from = open(t, files, "from")
	in, err = to.Receive(meta)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, in.Err())
		request, ok := in.Next()
		require.True(t, ok)
		reply, err := from.Serve(0, request, nil)
		require.NoError(t, err)
		err = in.Got(request, reply)
		require.True(t, err == nil || !in.Done())
	}
	require.ErrorIs(t, in.Err(), raft.ErrCorrupt)
	require.NoError(t, in.Close())
	require.Empty(t, list(t, files, "to"))
	var stream bytes.Buffer
	require.NoError(t, from.Export(&stream, at(1)))
	_, err = to.Import(&stream)
	require.ErrorIs(t, err, raft.ErrCorrupt)
	require.Empty(t, list(t, files, "to"))
}

// TestServeRefuses: what is not there, or not ours, is told at once.
func TestServeRefuses(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	meta := mustSave(t, files, from, at(1), state{"": noise(1, 20)})
	in, err := to.Receive(meta)
	require.NoError(t, err)
	manifest, _ := in.Next()
	_, err = from.Serve(0, manifest[:len(manifest)-1], nil)
	require.ErrorIs(t, err, raft.ErrCorrupt)
	o := options()
	o.Cluster = "d"
	stranger, err := snapshot.Open(files, "stranger", o)
	require.NoError(t, err)
	_, err = stranger.Serve(0, manifest, nil)
	require.ErrorIs(t, err, raft.ErrWrongCluster)

	reply, err := from.Serve(0, manifest, nil)
	require.NoError(t, err)
	require.NoError(t, in.Got(manifest, reply))
	request, _ := in.Next()
	// The source took a damage: it says so, and does not offer the snapshot any more.
	require.NoError(t, files.FlipBit(path.Join("from", snapshot.KeptName(at(1)), "state"), 3, 3))
	reply, err = from.Serve(0, request, make([]byte, 0, snapshot.MaxReplyBytes))
	require.NoError(t, err)
	require.ErrorIs(t, in.Got(request, reply), snapshot.ErrGone)
	_, ok := from.Newest()
	require.False(t, ok)
	require.NoError(t, in.Abandon())
	require.Empty(t, list(t, files, "to"))

	// Another member's snapshot of the same entry is not taken for this one.
	second := mustSave(t, files, from, at(1), state{"": noise(1, 21)})
	in, err = to.Receive(meta)
	require.NoError(t, err)
	request, _ = in.Next()
	reply, err = from.Serve(0, request, nil)
	require.NoError(t, err)
	require.ErrorIs(t, in.Got(request, reply), snapshot.ErrGone, "it is not what was named")
	require.NoError(t, in.Close())
	fetch(t, from, to, second, nil)
}

// TestSourceChanges: a new source whose bytes differ is asked for everything that differs.
func TestSourceChanges(t *testing.T) {
	files := mem(1)
	one, two, to := open(t, files, "one"), open(t, files, "two"), open(t, files, "to")
	same := noise(1, 2*chunk)
	first := mustSave(t, files, one, at(5), state{"": noise(2, 2*chunk), "same": same})
	st := state{"": noise(3, 2*chunk), "same": same}
	second := mustSave(t, files, two, at(5), st)
	in, err := to.Receive(first)
	require.NoError(t, err)
	pull(t, one, in, nil)
	require.NoError(t, in.Close())
	require.ElementsMatch(t, []piece{{0, 0}, {0, 1}}, fetch(t, two, to, second, nil))
	requireState(t, st, to, at(5))
}

// TestSourceReplaces: a source that found its snapshot damaged takes another one of the same
// entries, which may have another size. That is not the one that was named.
func TestSourceReplaces(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	named := mustSave(t, files, from, at(5), state{"": noise(1, 100)})
	require.NoError(t, files.FlipBit(path.Join("from", snapshot.KeptName(at(5)), "state"), 0, 0))
	require.ErrorIs(t, from.Verify(at(5)), raft.ErrCorrupt)
	now := mustSave(t, files, from, at(5), state{"": noise(1, 101)})
	in, err := to.Receive(named)
	require.NoError(t, err)
	request, ok := in.Next()
	require.True(t, ok)
	reply, err := from.Serve(0, request, nil)
	require.NoError(t, err)
	require.ErrorIs(t, in.Got(request, reply), snapshot.ErrGone)
	require.ErrorIs(t, in.Err(), snapshot.ErrGone)
	require.NoError(t, in.Close())
	fetch(t, from, to, now, nil)
}

// TestCollectReceived: what arrived of a snapshot that is not wanted any more goes.
func TestCollectReceived(t *testing.T) {
	files := mem(1)
	from, to := open(t, files, "from"), open(t, files, "to")
	meta := mustSave(t, files, from, at(5), state{"": noise(1, 100)})
	in, err := to.Receive(meta)
	require.NoError(t, err)
	pull(t, from, in, nil)
	mustSave(t, files, to, at(6), state{})
	require.NoError(t, to.Collect(0))
	require.Len(t, list(t, files, "to"), 2, "a reception is under way")
	require.NoError(t, in.Close())
	require.NoError(t, to.Collect(0))
	require.Equal(t, []string{snapshot.KeptName(at(6))}, list(t, files, "to"))
}
