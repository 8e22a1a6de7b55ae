package grpctransport

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/transporttest"
)

// toBeKilled names the address that a second process of this test sends to.
const toBeKilled = "JRAFT_TEST_KILLED_SENDS_TO"

// TestKilledProcess has another process send, kills it (kill -9), and waits to be told.
func TestKilledProcess(t *testing.T) {
	if addr := os.Getenv(toBeKilled); addr != "" {
		a := open(t, local, WithCluster("c"))
		for { // until it is killed, or its parent has gone
			a.Send(addr, heartbeat(1))
			if _, err := bufio.NewReader(os.Stdin).ReadByte(); err != nil {
				return
			}
		}
	}
	b := open(t, local)
	h := &breaks{from: make(chan raft.PeerID, 10)}
	require.NoError(t, b.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	other := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	other.Env = append(os.Environ(), toBeKilled+"="+b.Addr())
	in, err := other.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	until(t, func() bool {
		_, _ = in.Write([]byte{0}) // it sends once more
		return len(h.Messages()) > 0
	}, "the other process sends")
	require.Empty(t, h.from)
	start := time.Now()
	require.NoError(t, other.Process.Kill())
	require.Equal(t, raft.PeerID("A"), <-h.from)
	t.Logf("told after %v", time.Since(start))
	require.Less(t, time.Since(start), time.Second)
	_ = other.Wait()
	_ = in.Close()
}

// ordered notes whether something came after the end of its stream.
type ordered struct {
	transporttest.Inbox
	told chan int // how many messages had come
}

func (h *ordered) StreamBroken(raft.PeerID) { h.told <- len(h.Messages()) }

// TestNothingComesAfterTheBreak sends as fast as it can, and closes.
func TestNothingComesAfterTheBreak(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	h := &ordered{told: make(chan int, 10)}
	require.NoError(t, b.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	arrives(t, a, b.Addr(), &h.Inbox)
	for i := range uint64(20_000) {
		a.Send(b.Addr(), heartbeat(i))
	}
	require.NoError(t, a.Close())
	told := <-h.told
	require.NoError(t, b.Close())
	require.Len(t, h.Messages(), told)
}

// TestBreakOfBothStreams is told of after what was left of the bulk stream has come.
func TestBreakOfBothStreams(t *testing.T) {
	a, b := open(t, local, WithCluster("c")), open(t, local)
	h := &ordered{told: make(chan int, 10)}
	require.NoError(t, b.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	arrives(t, a, b.Addr(), &h.Inbox)
	before := len(h.Messages())
	for range 200 {
		a.Send(b.Addr(), bulk(100<<10))
	}
	until(t, func() bool { return len(h.Messages()) > before }, "an append arrives")
	require.NoError(t, a.Close())
	told := <-h.told
	require.NoError(t, b.Close())
	for len(h.told) > 0 {
		told = <-h.told
	}
	require.Len(t, h.Messages(), told)
}

// TestEndOfABulkStream alone is nothing to tell of: the peer speaks on the other.
func TestEndOfABulkStream(t *testing.T) {
	in := func(tr *Transport, lane string) *inbound {
		return &inbound{t: tr, lane: lane, senders: make(map[raft.PeerID]bool)}
	}
	tr := open(t, local)
	h := &breaks{from: make(chan raft.PeerID, 10)}
	require.NoError(t, tr.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
	control, bulk := in(tr, laneControl), in(tr, laneBulk)
	control.saw("A")
	control.saw("A")
	bulk.saw("A")
	bulk.broken()
	require.Empty(t, h.from)
	control.broken()
	require.Len(t, h.from, 1)
	bulk.broken()
	require.Len(t, h.from, 2)
	require.Empty(t, tr.senders.open)
}
