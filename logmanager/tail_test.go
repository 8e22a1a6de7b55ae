package logmanager_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

func configurationEntry(term raft.Term, index raft.Index, voter string) raft.Entry {
	e, _ := raft.MakeEntry(nil, term, index, raft.EntryConfiguration,
		raft.EncodeConfiguration(raft.Configuration{
			Voters: []raft.Peer{{ID: raft.PeerID(voter), Addr: "h:1"}},
		}))
	return e
}

// storedLog is consistent: entries 4 to 9 of the terms 2, 2, 3, 3, 3, 5 after entry 3 of term 1.
func storedLog() logmanager.Stored {
	return logmanager.Stored{
		HardState:      raft.HardState{Term: 6},
		Base:           raft.LogID{Term: 1, Index: 3},
		Last:           raft.LogID{Term: 5, Index: 9},
		Runs:           []logmanager.Run{{First: 4, Term: 2}, {First: 6, Term: 3}, {First: 9, Term: 5}},
		Configurations: []raft.Entry{configurationEntry(2, 4, "a"), configurationEntry(3, 7, "b")},
	}
}

// storedSnapshot covers the entries up to the base of storedLog.
func storedSnapshot() raft.SnapshotMeta {
	return raft.SnapshotMeta{
		Last: raft.LogID{Term: 1, Index: 3},
		Configuration: raft.Configuration{
			Index: 2, Voters: []raft.Peer{{ID: "s", Addr: "h:1"}},
		},
	}
}

func TestNewTail(t *testing.T) {
	s := storedLog()
	tail, err := logmanager.NewTail(s, storedSnapshot(), 0)
	require.NoError(t, err)
	require.Equal(t, s.Last, tail.Last())
	require.Equal(t, raft.Index(4), tail.First())
	require.Equal(t, raft.Index(9), tail.Durable())
	require.Equal(t, raft.Index(10), tail.FirstInMemory())
	require.Equal(t, s.HardState, tail.HardState())
	require.True(t, tail.Configuration().IsVoter("b"))
	require.Equal(t, raft.Index(7), tail.Configuration().Index)
	require.False(t, tail.Outstanding())
	require.Equal(t, tail.Seq(), tail.WrittenSeq(), "nothing to wait for")
	require.Nil(t, tail.Entries(9, 9, 1000), "on disk only")

	tail.Truncate(7)
	require.True(t, tail.Configuration().IsVoter("a"), "the one before is in force again")
	tail.Truncate(4)
	require.True(t, tail.Configuration().IsVoter("s"), "the snapshot's")
	require.Equal(t, s.Base, tail.Last())
	require.Equal(t, storedLog(), s, "the input is left alone")
}

func TestNewTailOfNothing(t *testing.T) {
	tail, err := logmanager.NewTail(logmanager.Stored{}, raft.SnapshotMeta{}, 0)
	require.NoError(t, err)
	require.Zero(t, tail.Last())
	require.Equal(t, raft.Index(1), tail.First())
	require.Equal(t, raft.Configuration{}, *tail.Configuration())
	var w logmanager.Write
	require.False(t, tail.TakeWrite(&w))
}

func TestNewTailRejects(t *testing.T) {
	type stored = logmanager.Stored
	for name, spoil := range map[string]func(*stored){
		"ends before its base": func(s *stored) { s.Last = raft.LogID{Term: 1, Index: 2} },
		"empty with runs":      func(s *stored) { s.Last = s.Base },
		"empty, another base": func(s *stored) {
			s.Last, s.Runs = raft.LogID{Term: 2, Index: 3}, nil
		},
		"no runs":                 func(s *stored) { s.Runs = nil },
		"first run too late":      func(s *stored) { s.Runs[0].First = 5 },
		"first run too early":     func(s *stored) { s.Runs[0].First = 3 },
		"first run before base":   func(s *stored) { s.Base.Term = 3 },
		"last term differs":       func(s *stored) { s.Last.Term = 6 },
		"terms fall":              func(s *stored) { s.Runs[1].Term = 1 },
		"term twice":              func(s *stored) { s.Runs[1].Term = 2 },
		"runs out of order":       func(s *stored) { s.Runs[1].First = 4 },
		"run beyond the end":      func(s *stored) { s.Runs[2].First = 10 },
		"hard state of old":       func(s *stored) { s.HardState.Term = 4 },
		"configuration of old":    func(s *stored) { s.Configurations[0].Index = 3 },
		"configuration beyond":    func(s *stored) { s.Configurations[1].Index = 10 },
		"configuration's term":    func(s *stored) { s.Configurations[1].Term = 2 },
		"configurations in order": func(s *stored) { s.Configurations[0].Index = 8 },
		"configuration twice":     func(s *stored) { s.Configurations[1] = s.Configurations[0] },
		"configuration of noop":   func(s *stored) { s.Configurations[1].Kind = raft.EntryNoop },
		"configuration unread":    func(s *stored) { s.Configurations[1].Data = []byte("x") },
	} {
		s := storedLog()
		spoil(&s)
		_, err := logmanager.NewTail(s, storedSnapshot(), 0)
		require.ErrorIs(t, err, raft.ErrCorrupt, name)
	}
}

// TestTruncatedWriteProvesNothing is the write-number rule in its smallest form: a write that was
// under way when its entries were truncated makes nothing durable of what replaced them.
func TestTruncatedWriteProvesNothing(t *testing.T) {
	tail, err := logmanager.NewTail(logmanager.Stored{HardState: raft.HardState{Term: 2}},
		raft.SnapshotMeta{}, 0)
	require.NoError(t, err)
	put := func(term raft.Term, index raft.Index) {
		e, _ := raft.MakeEntry(nil, term, index, raft.EntryCommand, nil)
		require.NoError(t, tail.Append(e))
	}
	put(1, 1)
	put(1, 2)
	put(1, 3)
	var first, second logmanager.Write
	require.True(t, tail.TakeWrite(&first))
	tail.Truncate(2)
	put(2, 2)
	put(2, 3)
	require.True(t, tail.TakeWrite(&second))
	tail.Written(first.Seq)
	require.Equal(t, raft.Index(1), tail.Durable(), "2 and 3 on disk are not those of now")
	require.True(t, tail.Outstanding())
	tail.Written(second.Seq)
	require.Equal(t, raft.Index(3), tail.Durable())
	require.Equal(t, raft.Index(2), second.Truncate)
}

// TestNewTailOnSnapshot: the log goes on after the snapshot if it has it, is reset if it differs or
// ends before, and is refused if it begins after it.
func TestNewTailOnSnapshot(t *testing.T) {
	at := func(term raft.Term, index raft.Index) raft.SnapshotMeta {
		m := storedSnapshot()
		m.Last = raft.LogID{Term: term, Index: index}
		return m
	}
	for _, m := range []raft.SnapshotMeta{at(1, 3), at(2, 5), at(5, 9)} {
		tail, err := logmanager.NewTail(storedLog(), m, 0)
		require.NoError(t, err)
		require.Equal(t, raft.LogID{Term: 5, Index: 9}, tail.Last())
		require.False(t, tail.TakeWrite(new(logmanager.Write)))
	}
	for _, m := range []raft.SnapshotMeta{at(3, 5), at(5, 10), at(7, 100)} {
		tail, err := logmanager.NewTail(storedLog(), m, 0)
		require.NoError(t, err)
		require.Equal(t, m.Last, tail.Last())
		require.Equal(t, m.Last.Index+1, tail.First())
		require.Equal(t, m.Configuration, *tail.Configuration())
		require.Equal(t, max(6, m.Last.Term), tail.HardState().Term)
		var w logmanager.Write
		require.True(t, tail.TakeWrite(&w))
		require.Equal(t, m.Last, w.Reset)
	}
	for _, m := range []raft.SnapshotMeta{{}, at(1, 2)} {
		_, err := logmanager.NewTail(storedLog(), m, 0)
		require.ErrorIs(t, err, raft.ErrCorrupt)
	}
}
