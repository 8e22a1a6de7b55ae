package node

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/await"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
)

func TestInboxIsBounded(t *testing.T) {
	heartbeat := raft.Message{Body: &raft.Heartbeat{}}
	bulk := func(bytes int) raft.Message {
		return raft.Message{Body: &raft.AppendEntries{Entries: []raft.Entry{{Data: make([]byte, bytes)}}}}
	}
	in := inbox{wake: make(chan struct{}, 1)}
	dropped := in.receive([]raft.Message{bulk(maxInboxBulkBytes * 2), heartbeat, bulk(1), heartbeat})
	require.Equal(t, 1, dropped, "one large message is taken, and what is no bulk")
	require.Len(t, in.wake, 1)
	<-in.wake
	require.Zero(t, in.receive([]raft.Message{heartbeat}))
	require.Empty(t, in.wake, "the loop is awake already")
	var w work
	in.take(&w)
	require.Len(t, w.messages, 4)
	require.Zero(t, in.receive([]raft.Message{bulk(1)}), "there is room again")
	in.take(&w)

	many := make([]raft.Message, maxInboxMessages+5)
	for i := range many {
		many[i] = heartbeat
	}
	require.Equal(t, 5, in.receive(many))
	in.close(raft.ErrStopped)
	require.Equal(t, 1, in.receive([]raft.Message{heartbeat}))
	require.ErrorIs(t, in.propose(&waiter{}), raft.ErrStopped)
	require.ErrorIs(t, in.read(await.NewRead()), raft.ErrStopped)
	propose := raft.Message{Body: &raft.Propose{Commands: []raft.Command{{Data: make([]byte, 10)}}}}
	require.Equal(t, raft.FrameHead+10, bulkBytes(&propose))
}

// TestAttach gives a committed entry to those that wait at its index.
func TestAttach(t *testing.T) {
	n := newNode(Options{Group: "g"}.withDefaults())
	l := &loop{Node: n}
	at := func(term raft.Term, i raft.Index) *waiter {
		w := n.newWaiter([]byte("x"), applyOptions{})
		n.pending.Add(w.charge)
		w.at = raft.LogID{Term: term, Index: i}
		l.placed.Add(w.at, w)
		return w
	}
	mine, other, below, next := at(2, 5), at(1, 5), at(1, 4), at(2, 6)
	require.Equal(t, mine, l.attach(raft.LogID{Term: 2, Index: 5}))
	for _, w := range []*waiter{other, below} {
		require.NoError(t, w.Wait(t.Context()))
		require.ErrorIs(t, w.err, raft.ErrLeadershipLost)
		require.Equal(t, raft.NotAppended, raft.OutcomeOf(w.err))
	}
	require.Nil(t, l.attach(raft.LogID{Term: 2, Index: 5}))
	require.Equal(t, next, l.attach(raft.LogID{Term: 2, Index: 6}))
	mine.Applied(mine.at, "value", nil)
	next.Applied(next.at, nil, &raft.Error{Op: "apply", Outcome: raft.Committed, Err: raft.ErrStopped})
	require.Equal(t, Result{Index: 5, Term: 2, Value: "value"}, mine.result)
	require.EqualError(t, next.err, "raft: apply in group g: stopped; committed")
	require.Zero(t, n.pending.Load())
}

// TestLateWaiter lets the leader's answer come after the entry was given to the applier.
func TestLateWaiter(t *testing.T) {
	n := newNode(Options{Group: "g"}.withDefaults())
	l := &loop{Node: n, given: 7}
	w := n.newWaiter(make([]byte, 2*keptCommandBytes), applyOptions{})
	l.place(&core.Placed{ID: l.unplaced.Add(w), At: raft.LogID{Term: 1, Index: 7}})
	require.Equal(t, []fsm.Late{{At: raft.LogID{Term: 1, Index: 7}, Waiter: w}}, l.applying.Late)
	require.Empty(t, l.placed.Drain())
	require.Nil(t, w.command, "a large buffer is not kept")
	early := n.newWaiter(nil, applyOptions{})
	l.place(&core.Placed{ID: l.unplaced.Add(early), At: raft.LogID{Term: 1, Index: 8}})
	require.Equal(t, []*waiter{early}, l.placed.Drain())
	for unknown, outcome := range map[bool]raft.Outcome{true: raft.Unknown, false: raft.NotAppended} {
		w := n.newWaiter(nil, applyOptions{})
		l.place(&core.Placed{ID: l.unplaced.Add(w), Err: raft.ErrBusy, Unknown: unknown})
		require.Equal(t, outcome, raft.OutcomeOf(w.err))
	}
	require.Zero(t, l.unplaced.Len())
}

func TestCallbacksAreBounded(t *testing.T) {
	n := newNode(Options{}.withDefaults())
	gate, entered := make(chan struct{}), make(chan struct{})
	called := 0
	refused := func(done func(Result, error)) {
		w := n.newWaiter(nil, applyOptions{})
		w.charge, w.done = 0, done
		n.callbacks.add(n, w)
	}
	refused(func(Result, error) { close(entered); <-gate })
	<-entered
	var queued atomic.Int64
	for range maxUnadmitted {
		refused(func(Result, error) { queued.Add(1) })
	}
	require.Zero(t, queued.Load())
	refused(func(Result, error) { called++ })
	require.Equal(t, 1, called, "the queue is full, so it is called at once")
	drained := n.callbacks.drained()
	close(gate)
	<-drained
	require.Equal(t, int64(maxUnadmitted), queued.Load())
	<-n.callbacks.drained()
}
