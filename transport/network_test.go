package transport

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/jraft-go/jraft/raft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox keeps what it receives.
type inbox struct {
	mu   sync.Mutex
	msgs []raft.Message
}

func (in *inbox) Receive(msgs []raft.Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.msgs = append(in.msgs, msgs...)
}

// rounds returns the rounds of the heartbeats received so far, and forgets them.
func (in *inbox) rounds() []uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := []uint64{}
	for _, m := range in.msgs {
		out = append(out, m.Body.(*raft.Heartbeat).Round)
	}
	in.msgs = nil
	return out
}

func heartbeat(from, to raft.PeerID, round uint64) raft.Message {
	return raft.Message{Cluster: "c", Group: "g", From: from, To: to, Term: 1,
		Body: &raft.Heartbeat{Round: round}}
}

// pair returns transports a and b on n, and b's inbox.
func pair(t *testing.T, n *Network) (a, b Transport, in *inbox) {
	a, b, in = n.Transport("a"), n.Transport("b"), &inbox{}
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
	require.NoError(t, b.Register(Member{"c", "g", "B"}, in))
	return a, b, in
}

func sendRounds(tr Transport, first, last uint64) {
	for r := first; r <= last; r++ {
		tr.Send("b", []raft.Message{heartbeat("A", "B", r)})
	}
}

func sequence(first, last uint64) (out []uint64) {
	for r := first; r <= last; r++ {
		out = append(out, r)
	}
	return out
}

func TestNetworkDeliversInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(1)
		a, _, in := pair(t, n)
		start := time.Now()
		sendRounds(a, 1, 100)
		synctest.Wait()
		require.Equal(t, sequence(1, 100), in.rounds())
		require.Zero(t, time.Since(start), "an idle network moved the clock")
		require.Equal(t, NetworkStats{Sent: 100, Delivered: 100}, n.Stats())
	})
}

func TestNetworkDelayKeepsOrderAndReorderDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(2)
		a, _, in := pair(t, n)
		n.SetLink("a", "b", Link{DelayMin: 5 * time.Millisecond, DelayMax: 20 * time.Millisecond})
		sendRounds(a, 1, 50)
		synctest.Wait()
		require.Empty(t, in.rounds())
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, sequence(1, 50), in.rounds())

		n.SetLink("a", "b", Link{Reorder: 0.3})
		sendRounds(a, 1, 50)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		got := in.rounds()
		require.ElementsMatch(t, sequence(1, 50), got)
		require.NotEqual(t, sequence(1, 50), got)
	})
}

func TestNetworkDropsAndDuplicatesByTheSeed(t *testing.T) {
	run := func(seed uint64) (got []uint64) {
		synctest.Test(t, func(t *testing.T) {
			n := NewNetwork(seed)
			a, _, in := pair(t, n)
			n.SetLink("a", "b", Link{Drop: 0.3, Duplicate: 0.3})
			sendRounds(a, 1, 1000)
			time.Sleep(time.Second)
			synctest.Wait()
			got = in.rounds()
			s := n.Stats()
			require.Equal(t, len(got), int(s.Delivered))
			require.InDelta(t, 300, s.Dropped, 60)
		})
		return got
	}
	first := run(7)
	require.ElementsMatch(t, first, run(7))
	require.NotEqual(t, len(first), len(run(8)))
	require.InDelta(t, 910, len(first), 100)
}

func TestNetworkCutAndPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(3)
		a, b, in := pair(t, n)
		c := n.Transport("c")
		defer c.Close()
		back := &inbox{}
		require.NoError(t, a.Register(Member{"c", "g", "A"}, back))
		receives := func(want bool) {
			t.Helper()
			sendRounds(a, 1, 1)
			synctest.Wait()
			require.Equal(t, want, len(in.rounds()) == 1)
		}
		n.SetLink("a", "b", Link{Cut: true})
		receives(false)
		b.Send("a", []raft.Message{heartbeat("B", "A", 9)})
		synctest.Wait()
		require.Equal(t, []uint64{9}, back.rounds(), "a cut is of one direction")
		n.SetLink("a", "b", Link{})
		receives(true)
		n.Partition([]string{"a"})
		receives(false)
		n.Partition([]string{"c"})
		receives(true) // those not named are together
		n.Partition([]string{"a", "b"}, []string{"c"})
		receives(true)
		n.Partition([]string{"a"}, []string{"b"})
		receives(false)

		n.Heal()
		n.SetLink("a", "b", Link{DelayMin: time.Second, DelayMax: time.Second})
		sendRounds(a, 1, 1)
		n.Partition([]string{"a"})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Empty(t, in.rounds(), "a partition takes what is under way")
	})
}

func TestNetworkRefusesWhatIsNotMeantForTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(4)
		a, _, in := pair(t, n)
		for _, change := range []func(*raft.Message){
			func(m *raft.Message) { m.Cluster = "other" },
			func(m *raft.Message) { m.Group = "other" },
			func(m *raft.Message) { m.To = "other" },
			func(m *raft.Message) { m.Term = 1 << 63 },
			func(m *raft.Message) { m.Body = nil },
		} {
			m := heartbeat("A", "B", 1)
			change(&m)
			a.Send("b", []raft.Message{m})
		}
		synctest.Wait()
		require.Empty(t, in.rounds())
		require.Equal(t, NetworkStats{Sent: 5, Refused: 5}, n.Stats())
	})
}

func TestNetworkBoundsItsQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(5)
		a, _, in := pair(t, n)
		n.SetLink("a", "b", Link{DelayMin: time.Second, DelayMax: time.Second})
		sendRounds(a, 1, linkMessages+10)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, in.rounds(), linkMessages)
		require.Equal(t, uint64(10), n.Stats().Dropped)
	})
}

func TestNetworkRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(6)
		a, b, in := pair(t, n)
		require.Same(t, b, n.Transport("b"))
		require.NoError(t, b.Close())
		require.NoError(t, b.Close())
		require.ErrorIs(t, b.Register(Member{"c", "g", "B"}, in), raft.ErrStopped)
		sendRounds(a, 1, 1)
		sendRounds(b, 1, 1)
		synctest.Wait()
		require.Empty(t, in.rounds())
		again := n.Transport("b")
		defer again.Close()
		require.NoError(t, again.Register(Member{"c", "g", "B"}, in))
		sendRounds(a, 2, 3)
		synctest.Wait()
		require.Equal(t, sequence(2, 3), in.rounds())
	})
}

// broken is a handler that keeps whose streams broke.
type broken struct {
	inbox
	from []raft.PeerID
}

func (h *broken) StreamBroken(from raft.PeerID) { h.from = append(h.from, from) }

func TestNetworkTellsOfBrokenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := NewNetwork(9), &broken{}
		b := n.Transport("b")
		defer b.Close()
		require.NoError(t, b.Register(Member{"c", "g", "B"}, h))
		for _, reachable := range []bool{true, false} {
			a := n.Transport("a")
			sendRounds(a, 1, 1)
			synctest.Wait()
			if !reachable {
				n.Partition([]string{"a"})
			}
			require.NoError(t, a.Close())
			require.NoError(t, a.Close())
			require.Equal(t, []raft.PeerID{"A"}, h.from)
		}
	})
}

// TestNetworkBreaks links under two transports that stay open.
func TestNetworkBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := NewNetwork(9), &broken{}
		a, b := n.Transport("a"), n.Transport("b")
		defer a.Close()
		defer b.Close()
		require.NoError(t, b.Register(Member{"c", "g", "B"}, h))
		n.Break("a", "b")
		n.Break("x", "b")
		sendRounds(a, 1, 3)
		synctest.Wait()
		require.Empty(t, h.from, "there was no link to break")
		n.SetLink("a", "b", Link{DelayMin: time.Second, DelayMax: time.Second})
		sendRounds(a, 4, 5)
		n.Break("a", "b")
		synctest.Wait()
		require.Equal(t, []raft.PeerID{"A"}, h.from)
		sendRounds(a, 6, 7)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, []uint64{1, 2, 3, 6, 7}, h.rounds(), "what was under way is lost")
		n.SetLink("a", "b", Link{Cut: true})
		n.Break("a", "b")
		synctest.Wait()
		require.Len(t, h.from, 1, "silence tells nothing")
	})
}

func TestRegistry(t *testing.T) {
	var r Registry
	in := &inbox{}
	require.Error(t, r.Register(Member{"c", "", "B"}, in))
	require.Error(t, r.Register(Member{"c", "g", "a b"}, in))
	require.NoError(t, r.Register(Member{"c", "g", "B"}, in))
	require.ErrorContains(t, r.Register(Member{"c", "g", "C"}, in), "already")
	require.ErrorIs(t, r.Register(Member{"d", "h", "B"}, in), raft.ErrWrongCluster)
	require.ErrorIs(t, r.Pin("d"), raft.ErrWrongCluster)
	other := &inbox{}
	require.NoError(t, r.Register(Member{"c", "h", "B2"}, other))
	toOther := heartbeat("A", "B2", 2)
	toOther.Group = "h"
	refused := r.Deliver([]raft.Message{
		heartbeat("A", "B", 1), toOther, heartbeat("A", "B", 3), heartbeat("A", "B", 4), heartbeat("A",
			"X", 5),
	})
	require.Equal(t, 1, refused)
	require.Equal(t, []uint64{1, 3, 4}, in.rounds())
	require.Equal(t, []uint64{2}, other.rounds())
}

// slow is a handler that takes its time and tells whether it is called.
type slow struct{ entered, leave chan struct{} }

func (s *slow) Receive([]raft.Message) {
	s.entered <- struct{}{}
	<-s.leave
}

func TestUnregisterWaitsForTheHandler(t *testing.T) {
	var r Registry
	h := &slow{make(chan struct{}), make(chan struct{})}
	require.NoError(t, r.Register(Member{"c", "g", "B"}, h))
	go r.Deliver([]raft.Message{heartbeat("A", "B", 1)})
	<-h.entered
	gone := make(chan struct{})
	go func() { r.Unregister("g"); close(gone) }()
	// Once the name is free again, Unregister has nothing left to do but wait for the handler.
	require.Eventually(t, func() bool {
		return r.Register(Member{"c", "g", "B"}, h) == nil
	}, 5*time.Second, time.Millisecond)
	select {
	case <-gone:
		t.Fatal("Unregister returned while the handler was running")
	case <-time.After(10 * time.Millisecond):
	}
	close(h.leave)
	<-gone
	r.Close()
	require.Equal(t, 1, r.Deliver([]raft.Message{heartbeat("A", "B", 1)}))
}

func BenchmarkNetwork(b *testing.B) {
	n := NewNetwork(1)
	got := make(chan struct{}, 1)
	x, y := n.Transport("a"), n.Transport("b")
	defer x.Close()
	defer y.Close()
	h := &slow{got, make(chan struct{})}
	close(h.leave)
	if err := y.Register(Member{"c", "g", "B"}, h); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		x.Send("b", []raft.Message{heartbeat("A", "B", 1)})
		<-got
	}
	if s := n.Stats(); s.Delivered != s.Sent {
		b.Fatal(fmt.Sprint(s))
	}
}
