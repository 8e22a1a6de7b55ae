package raft_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

var leader = raft.Peer{ID: "n2", Addr: "host:7000"}

func TestOutcomeAndLeader(t *testing.T) {
	refused := &raft.Error{
		Op: "apply", Group: "g", Outcome: raft.NotAppended, Leader: leader, Err: raft.ErrNotLeader,
	}
	for name, c := range map[string]struct {
		err     error
		outcome raft.Outcome
		leader  raft.Peer
	}{
		"nil":        {nil, raft.Committed, raft.Peer{}},
		"foreign":    {io.EOF, raft.Unknown, raft.Peer{}},
		"a sentinel": {raft.ErrBusy, raft.Unknown, raft.Peer{}},
		"a context":  {context.Canceled, raft.Unknown, raft.Peer{}},
		"not leader": {refused, raft.NotAppended, leader},
		"wrapped":    {fmt.Errorf("order 7: %w", refused), raft.NotAppended, leader},
		"joined":     {errors.Join(io.EOF, refused), raft.NotAppended, leader},
		"committed": {
			&raft.Error{Outcome: raft.Committed, Err: raft.ErrStopped}, raft.Committed, raft.Peer{},
		},
		"zero values": {&raft.Error{Err: raft.ErrStopped}, raft.Unknown, raft.Peer{}},
		"the outer one": {
			&raft.Error{Outcome: raft.Unknown, Err: refused}, raft.Unknown, raft.Peer{},
		},
	} {
		require.Equal(t, c.outcome, raft.OutcomeOf(c.err), name)
		who, ok := raft.LeaderOf(c.err)
		require.Equal(t, c.leader, who, name)
		require.Equal(t, c.leader.ID != "", ok, name)
	}
	var e *raft.Error
	require.ErrorAs(t, fmt.Errorf("wrapped: %w", refused), &e)
	require.Same(t, refused, e)
	require.ErrorIs(t, refused, raft.ErrNotLeader)
	require.NotErrorIs(t, refused, raft.ErrNoLeader)
	require.True(t, refused.Is(raft.ErrNotLeader))
	require.False(t, refused.Is(raft.ErrNoLeader))
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]*raft.Error{
		"raft: apply in group g: not the leader (the leader is n2 at host:7000); " +
			"not appended, safe to retry": {
			Op: "apply", Group: "g", Outcome: raft.NotAppended, Leader: leader, Err: raft.ErrNotLeader,
		},
		"raft: apply in group g: stopped; outcome unknown": {
			Op: "apply", Group: "g", Err: raft.ErrStopped,
		},
		"raft: apply: stopped; committed": {
			Op: "apply", Outcome: raft.Committed, Err: raft.ErrStopped,
		},
		"raft: read in group g: no leader known": {Op: "read", Group: "g", Err: raft.ErrNoLeader},
	} {
		require.EqualError(t, err, want)
	}
}

func TestSentinelsDiffer(t *testing.T) {
	all := []error{
		raft.ErrNotLeader, raft.ErrNoLeader, raft.ErrLeadershipLost, raft.ErrTransferring, raft.ErrBusy,
		raft.ErrTooLarge, raft.ErrTermChanged, raft.ErrStopped, raft.ErrFailed, raft.ErrChangeInProgress,
		raft.ErrConfigurationStale, raft.ErrCatchUp, raft.ErrCompacted, raft.ErrCorrupt,
		raft.ErrDiskFull, raft.ErrWrongCluster,
	}
	texts := map[string]bool{}
	for i, a := range all {
		for j, b := range all {
			require.Equal(t, i == j, errors.Is(a, b))
		}
		texts[a.Error()] = true
	}
	require.Len(t, texts, len(all))
}

func TestIsTimeout(t *testing.T) {
	wrap := func(err error) error { return &raft.Error{Op: "apply", Err: err} }
	require.True(t, raft.IsTimeout(wrap(context.DeadlineExceeded)))
	require.True(t, raft.IsTimeout(wrap(context.Canceled)))
	require.False(t, raft.IsTimeout(wrap(raft.ErrBusy)))
	require.False(t, raft.IsTimeout(nil))
}

func TestRefusals(t *testing.T) {
	for number, want := range []error{nil, raft.ErrBusy, raft.ErrTooLarge, raft.ErrTermChanged,
		raft.ErrTransferring} {
		r := raft.Refusal(number)
		require.True(t, r.Valid())
		require.Equal(t, want, r.Err())
		require.Equal(t, r, raft.RefusalOf(want))
	}
	require.False(t, raft.Refusal(5).Valid())
	require.False(t, raft.Refusal(255).Valid())
	require.Error(t, raft.Refusal(255).Err(), "a reason not known is a refusal all the same")
	require.Equal(t, raft.RefusedBusy, raft.RefusalOf(io.EOF))
}

func TestBulk(t *testing.T) {
	for name, c := range map[string]struct {
		body raft.Body
		bulk bool
	}{
		"entries":      {&raft.AppendEntries{Entries: make([]raft.Entry, 1)}, true},
		"no entries":   {&raft.AppendEntries{}, true},
		"propose":      {&raft.Propose{}, true},
		"heartbeat":    {&raft.Heartbeat{}, false},
		"vote":         {&raft.RequestVote{}, false},
		"append reply": {&raft.AppendEntriesReply{}, false},
		"no body":      {nil, false},
	} {
		require.Equal(t, c.bulk, (&raft.Message{Body: c.body}).Bulk(), name)
	}
}
