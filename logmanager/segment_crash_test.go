package logmanager_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// randomWrite is a write that a member could ask for, given the log that it has.
func randomWrite(rng *rand.Rand, g *modelGroup, id raft.GroupID) logmanager.Write {
	w := logmanager.Write{Group: id}
	last, first, term := g.last(), g.compact+1, g.hard.Term
	if rng.IntN(4) == 0 {
		term += raft.Term(rng.IntN(2))
		w.HardState = hard(term, []raft.PeerID{"", "p1", "peer-2"}[rng.IntN(3)])
	}
	if rng.IntN(12) == 0 {
		// Below the end as well: a snapshot may replace entries that were never committed.
		w.Reset = raft.LogID{Term: term, Index: first + raft.Index(rng.IntN(20))}
		last, first = w.Reset.Index, w.Reset.Index+1
	}
	if last >= first && rng.IntN(4) == 0 {
		w.Truncate = first + raft.Index(rng.IntN(int(last-first)+1))
		last = w.Truncate - 1
	}
	for range []int{0, 1, 1, 2, 5}[rng.IntN(5)] {
		last++
		// Data that could be anyone's shows a mix-up: it says whose it is and when it was made.
		data := fmt.Appendf(nil, "%s %d %d %d", id, term, last, rng.Uint64())
		data = append(data, make([]byte, []int{0, 8, 100, 700}[rng.IntN(4)])...)
		e, _ := raft.MakeEntry(nil, term, last, raft.EntryKind(1+rng.IntN(3)), data)
		w.Entries = append(w.Entries, e)
	}
	if last >= first && rng.IntN(3) == 0 {
		w.Compact = first + raft.Index(rng.IntN(int(last-first)+1))
	}
	return w
}

func randomCall(rng *rand.Rand, m *model) (batch []logmanager.Write) {
	m = m.clone()
	for range 1 + rng.IntN(3) {
		id := testGroups[rng.IntN(len(testGroups))]
		batch = append(batch, randomWrite(rng, m.group(id), id))
		m.apply(batch[len(batch)-1])
	}
	return batch
}

// life is a member's store through crashes: what was acknowledged, and what may be there beyond.
type life struct {
	t     *testing.T
	files *vfs.Mem
	rng   *rand.Rand
	s     *logmanager.Segments
	sure  *model             // acknowledged, or seen after an opening
	maybe []logmanager.Write // the steps of a call that was not acknowledged
	what  string             // for messages
}

// run opens the store and writes, until something fails.
func (l *life) run(calls int) error {
	if err := l.open(); err != nil {
		return err
	}
	for i := range calls {
		batch := randomCall(l.rng, l.sure)
		l.maybe = steps(batch)
		if err := l.s.Write(batch); err != nil {
			require.ErrorIs(l.t, l.s.Write(nil), err, "a write after a failed one")
			return err
		}
		l.sure.apply(batch...)
		l.maybe = nil
		if i%3 == 1 {
			if err := l.s.Prepare(); err != nil {
				return err
			}
		}
		if i%11 == 10 {
			if err := l.s.Close(); err != nil {
				return err
			}
			if err := l.open(); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens the store, and demands that it holds what is sure and a beginning of what may be
// there. From then on that is sure as well: a member acts on what it has read.
func (l *life) open() (err error) {
	l.s, err = logmanager.OpenSegments(l.files, "log", options())
	if err != nil {
		return err
	}
	m := l.sure.clone()
	first := ""
	for i := 0; ; i++ {
		diff, err := m.differs(l.s, testGroups...)
		if err != nil {
			return err
		}
		if diff == "" {
			break
		}
		if i == 0 {
			first = diff
		}
		if i == len(l.maybe) {
			require.Fail(l.t, "not what was acknowledged", "%s: %s; and with all %d steps of the write: %s",
				l.what, first, i, diff)
		}
		m.apply(l.maybe[i])
	}
	l.sure, l.maybe = m, nil
	return nil
}

func (l *life) crash(how int) {
	switch how {
	case 0:
		l.files.Crash(vfs.KeepNone)
	case 1:
		l.files.Crash(vfs.KeepAll)
	case 2:
		l.files.Kill()
	default:
		l.files.Crash(vfs.KeepSome)
	}
}

// TestCrashAnywhere stops the store after every number of changes to the file system, takes the
// power, in several ways, and again while it recovers, and checks (I28): what was acknowledged is
// there, what is there beyond is a beginning of the write that was under way, and what was there
// after an opening stays.
func TestCrashAnywhere(t *testing.T) {
	const calls = 26
	whole := &life{t: t, files: vfs.NewMem(source(0)), rng: source(7), sure: newModel()}
	require.NoError(t, whole.run(calls))
	names, err := whole.files.List("log")
	require.NoError(t, err)
	require.NotContains(t, names, "log-00000002.seg", "the workload must free segments")
	require.Contains(t, names, "log-00000012.seg", "and fill several")
	changes := int(whole.files.Changes())
	for n := range changes {
		for how := range 5 {
			seed := uint64(n*100 + how)
			l := &life{t: t, files: vfs.NewMem(source(seed)), rng: source(7), sure: newModel()}
			l.what = fmt.Sprintf("stopped after %d changes, crash %d", n, how)
			l.files.StopAfter(n)
			require.ErrorIs(t, l.run(calls), vfs.ErrCrashed, l.what)
			l.crash(how)
			l.rng = source(seed)
			// Crashes during recovery or soon after it; then a long good time and a last one.
			for again := range 3 {
				l.files.StopAfter(l.rng.IntN(8))
				l.what += fmt.Sprintf(", again %d", again)
				if l.run(3) != nil {
					l.crash(l.rng.IntN(6))
				} else {
					l.crash(0)
				}
			}
			require.NoError(t, l.run(6), l.what)
			l.what += ", the end"
			l.crash(0)
			require.NoError(t, l.open(), l.what)
		}
	}
}

// TestCrashSeeds does the same with other workloads and crash points drawn at random.
func TestCrashSeeds(t *testing.T) {
	for seed := range uint64(100) {
		l := &life{t: t, files: vfs.NewMem(source(seed)), rng: source(seed + 1e6), sure: newModel()}
		for round := range 8 {
			l.what = fmt.Sprintf("seed %d, round %d", seed, round)
			l.files.StopAfter(l.rng.IntN(60))
			if err := l.run(20); err != nil {
				require.ErrorIs(t, err, vfs.ErrCrashed, l.what)
			}
			l.crash(l.rng.IntN(6))
		}
		require.NoError(t, l.open(), l.what)
	}
}
