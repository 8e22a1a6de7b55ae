package snapshot_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// life is what happens to a store in the tests below: it takes a snapshot, fetches two (the second
// has a file of the first), imports one, and collects in between. Snapshot i holds states[i].
type life struct {
	states [6]state
	metas  [6]raft.SnapshotMeta
	from   *snapshot.Files
	export []byte
}

func newLife(t *testing.T) *life {
	l := &life{}
	common := noise(99, 3000)
	for i := range l.states {
		l.states[i] = state{"": noise(uint64(i), 900*i), "a": noise(uint64(10+i), 700), "b": common}
	}
	l.states[3]["c"] = noise(98, chunk+700)
	files := mem(7)
	l.from = open(t, files, "from")
	for i := 1; i < len(l.states); i++ {
		l.metas[i] = mustSave(t, files, l.from, at(i), l.states[i])
	}
	var stream buffer
	require.NoError(t, l.from.Export(&stream, at(5)))
	l.export = stream
	return l
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

// reader is an io.Reader that hands out little at once.
type reader []byte

func (r *reader) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), 100_000)], *r)
	*r = (*r)[n:]
	if n == 0 {
		return 0, errors.New("read beyond the end")
	}
	return n, nil
}

// live does everything, as far as it is not done, and tells in done what was promised so far.
func (l *life) live(files vfs.FS, s *snapshot.Files, done func(i int)) error {
	newest := func() int { meta, _ := s.Newest(); return int(meta.Last.Index) }
	if newest() < 2 {
		if _, err := save(files, s, at(2), l.states[2]); err != nil {
			return err
		}
		done(2)
	}
	if err := s.Collect(0); err != nil {
		return err
	}
	for i := 3; i <= 4; i++ {
		if newest() < i {
			if err := l.receive(s, i); err != nil {
				return err
			}
			done(i)
		}
		if err := s.Collect(0); err != nil {
			return err
		}
	}
	if newest() < 5 {
		r := reader(l.export)
		if _, err := s.Import(&r); err != nil {
			return err
		}
		done(5)
	}
	return s.Collect(0)
}

func (l *life) receive(s *snapshot.Files, i int) (err error) {
	in, err := s.Receive(l.metas[i])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for {
		request, ok := in.Next()
		if !ok {
			break
		}
		reply, err := l.from.Serve(0, request, nil)
		if err != nil {
			return err
		}
		if err := in.Got(request, reply); err != nil {
			return err
		}
	}
	_, err = in.Commit()
	return err
}

// check opens the store and tells what is wrong with it: anything that is not whole, or the loss of
// a snapshot that was published.
func (l *life) check(files vfs.FS, promised int) (*snapshot.Files, error) {
	s, err := snapshot.Open(files, "s", options())
	if err != nil {
		return nil, err
	}
	return s, errors.Join(errors.Join(s.Problems()...), l.whole(s, promised))
}

func (l *life) whole(s *snapshot.Files, promised int) error {
	all := s.All()
	if len(all) == 0 || int(all[0].Last.Index) < promised {
		return fmt.Errorf("snapshot %d is lost, there are %v", promised, all)
	}
	for _, meta := range all {
		if err := s.Verify(meta.Last); err != nil {
			return err
		}
		got, err := load(s, meta.Last)
		if err != nil {
			return err
		}
		for name, want := range l.states[meta.Last.Index] {
			if string(got[name]) != string(want) {
				return fmt.Errorf("snapshot %v, file %q is another", meta.Last, name)
			}
		}
	}
	return nil
}

// begin returns a disk with a store that has snapshot 1.
func (l *life) begin(t *testing.T, seed uint64) (*vfs.Mem, *snapshot.Files) {
	files := mem(seed)
	s := open(t, files, "s")
	mustSave(t, files, s, at(1), l.states[1])
	return files, s
}

// TestCrashAnywhere stops the file system after every number of changes and takes the power, or
// only the process: there is always a whole snapshot, at least as new as what was promised, never a
// part of one, and life goes on from there, also after a second crash while it begins again.
func TestCrashAnywhere(t *testing.T) {
	l := newLife(t)
	files, s := l.begin(t, 1)
	before := files.Changes()
	require.NoError(t, l.live(files, s, func(int) {}))
	changes := int(files.Changes() - before)
	require.Greater(t, changes, 80)
	for n := range changes {
		for _, keep := range []vfs.Keep{vfs.KeepNone, vfs.KeepSome, vfs.KeepAll} {
			files, s := l.begin(t, uint64(n))
			promised := 1
			done := func(i int) { promised = i }
			files.StopAfter(n)
			err := l.live(files, s, done)
			require.ErrorIs(t, err, vfs.ErrCrashed)
			again := keep
			if keep == vfs.KeepAll { // what a life saw and relied on, the next one must have
				files.Kill()
				files.StopAfter(n % 60)
				again = vfs.KeepNone
			} else {
				files.Crash(keep)
				files.StopAfter(n % 7)
			}
			if s, err := l.check(files, promised); err == nil {
				meta, _ := s.Newest()
				promised = int(meta.Last.Index)
				err = l.live(files, s, done)
				require.True(t, err == nil || errors.Is(err, vfs.ErrCrashed), "%v", err)
			} else {
				require.ErrorIs(t, err, vfs.ErrCrashed, "change %d, keep %d", n, keep)
			}
			files.Crash(again)
			s, err = l.check(files, promised)
			require.NoError(t, err, "change %d, keep %d", n, keep)
			require.NoError(t, l.live(files, s, done))
			require.NoError(t, l.whole(s, 5))
			require.Equal(t, []string{snapshot.KeptName(at(4)), snapshot.KeptName(at(5))},
				list(t, files, "s"))
		}
	}
}

// TestSeenStays: a snapshot that was seen once, by a store that did nothing but open, is not lost
// with the power. Its writer may have been killed before it made the name durable.
func TestSeenStays(t *testing.T) {
	l := newLife(t)
	seen := 0
	for n := range 40 {
		files, s := l.begin(t, 1)
		files.StopAfter(n)
		_, failed := save(files, s, at(2), l.states[2])
		files.Kill()
		s, err := l.check(files, 1)
		require.NoError(t, err)
		meta, _ := s.Newest()
		if failed != nil && meta.Last == at(2) {
			seen++
		}
		files.Crash(vfs.KeepNone)
		_, err = l.check(files, int(meta.Last.Index))
		require.NoError(t, err)
	}
	require.NotZero(t, seen)
}

// TestFaultAnywhere lets every operation fail once: what is published is whole, nothing that was
// promised is lost, also when the power fails afterwards, and another try succeeds.
func TestFaultAnywhere(t *testing.T) {
	l := newLife(t)
	broken := errors.New("broken")
	for op := vfs.OpCreate; op <= vfs.OpList; op++ {
		files, s := l.begin(t, 1)
		before := files.Count(op)
		require.NoError(t, l.live(files, s, func(int) {}))
		for n := 1; n <= int(files.Count(op)-before); n++ {
			files, s := l.begin(t, uint64(n))
			promised := 1
			done := func(i int) { promised = i }
			failed := broken
			if n%2 == 0 {
				failed = vfs.ErrNoSpace
			}
			files.Fail(op, n, failed)
			if err := l.live(files, s, done); err != nil {
				require.ErrorIs(t, err, failed)
				if failed == vfs.ErrNoSpace && strings.HasPrefix(err.Error(), "snapshot: ") {
					require.ErrorIs(t, err, raft.ErrDiskFull)
				}
			}
			require.NoError(t, l.whole(s, promised), "%v %d", op, n)
			require.NoError(t, l.live(vfs.FS(files), s, done), "%v %d", op, n)
			files.Crash(vfs.KeepNone)
			require.Equal(t, 5, promised)
			s, err := l.check(files, promised)
			require.NoError(t, err, "%v %d", op, n)
			require.NoError(t, s.Collect(0))
			require.Len(t, s.All(), 2)
		}
	}
}
