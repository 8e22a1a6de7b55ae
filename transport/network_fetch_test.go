package transport

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// echo is a handler that serves requests with what they say, and counts them.
type echo struct {
	inbox
	served int
}

func (h *echo) Serve(_ context.Context, from raft.PeerID, request []byte) ([]byte, error) {
	h.served++
	return append([]byte(from), request...), nil
}

func TestNetworkFetchesGoThroughTheSameLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, h := NewNetwork(1), &echo{}
		a, b := n.Transport("a"), n.Transport("b")
		defer a.Close()
		defer b.Close()
		require.NoError(t, b.Register(Member{"c", "g", "B"}, h))
		fetch := func(want error, took time.Duration) {
			t.Helper()
			start := time.Now()
			reply, err := a.Fetch(t.Context(), "b", Call{Cluster: "c", Group: "g", From: "A", To: "B"},
				[]byte("x"))
			require.ErrorIs(t, err, want)
			if want == nil {
				require.Equal(t, "Ax", string(reply))
			}
			require.Equal(t, took, time.Since(start))
		}
		fetch(nil, 0)
		slow := Link{DelayMin: time.Second, DelayMax: time.Second}
		n.SetLink("a", "b", slow)
		n.SetLink("b", "a", slow)
		fetch(nil, 2*time.Second)
		n.SetLink("a", "b", Link{Cut: true})
		fetch(ErrUnreachable, 0)
		require.Equal(t, 2, h.served)
		n.SetLink("a", "b", Link{})
		n.SetLink("b", "a", Link{Cut: true})
		fetch(ErrUnreachable, 0)
		require.Equal(t, 3, h.served, "the reply was lost, the request not")
		n.SetLink("b", "a", Link{})
		n.Partition([]string{"a"})
		fetch(ErrUnreachable, 0)
		n.Heal()
		for _, lossy := range []string{"a", "b"} {
			n.SetLink(lossy, map[string]string{"a": "b", "b": "a"}[lossy], Link{Drop: 1})
			fetch(context.DeadlineExceeded, MaxFetchTime)
			n.SetLink(lossy, map[string]string{"a": "b", "b": "a"}[lossy], Link{})
		}
		require.Equal(t, 4, h.served)
		n.SetLink("a", "b", slow)
		ended := make(chan struct{})
		go func() { defer close(ended); fetch(ErrUnreachable, time.Second) }()
		synctest.Wait()
		n.Partition([]string{"a"}) // takes what is under way
		<-ended
		n.Heal()
		n.SetLink("a", "b", Link{})
		fetch(nil, 0)
	})
}

func TestNetworkFetchesDoNotShiftTheChanceOfMessages(t *testing.T) {
	run := func(fetches int) (got []uint64) {
		synctest.Test(t, func(t *testing.T) {
			n := NewNetwork(7)
			a, _, in := pair(t, n)
			n.SetLink("a", "b", Link{Drop: 0.5})
			for range fetches {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				_, err := a.Fetch(ctx, "b", Call{Cluster: "c", Group: "g", From: "A", To: "B"}, nil)
				require.Error(t, err)
				cancel()
			}
			sendRounds(a, 1, 100)
			synctest.Wait()
			got = in.rounds()
		})
		return got
	}
	require.Equal(t, run(0), run(5))
}
