package node_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

type nothing struct{ fsm.StateMachine }

func (nothing) Apply(raft.Entry) any { return nil }

// benchGroup returns the leader of a group in this process, and a follower if there is one.
func benchGroup(b *testing.B, size int, memory bool) (lead, follower *node.Node) {
	net := transport.NewNetwork(1)
	var peers []raft.Peer
	for i := range size {
		id := raft.PeerID(fmt.Sprint("n", i))
		peers = append(peers, raft.Peer{ID: id, Addr: string(id) + ":1"})
	}
	for _, p := range peers {
		n := benchMember(b, net, p, peers, memory)
		lead, follower = n, lead
	}
	p, err := lead.WaitLeader(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if p.ID != lead.Status().ID && follower != nil && p.ID == follower.Status().ID {
		lead, follower = follower, lead
	}
	if _, err := lead.Read(b.Context()); err != nil {
		b.Fatal(err)
	}
	return lead, follower
}

func benchMember(
	b *testing.B, net *transport.Network, p raft.Peer, peers []raft.Peer, memory bool,
) *node.Node {
	o := node.Options{
		ID: p.ID, Peers: peers, StateMachine: nothing{}, Transport: net.Transport(p.Addr),
		ElectionTimeout: 500 * time.Millisecond,
	}
	o.Dir, o.Snapshot = b.TempDir(), node.SnapshotPolicy{Entries: -1, Bytes: -1}
	if memory {
		o.Store = &memoryStore{}
	}
	n, err := node.Start(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Stop(context.Background()); _ = o.Transport.Close() })
	return n
}

// BenchmarkApply measures commands of 128 bytes applied by 1024 callers.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 3} {
		for _, memory := range []bool{true, false} {
			b.Run(fmt.Sprintf("size=%d/memory=%v", size, memory), func(b *testing.B) {
				n, _ := benchGroup(b, size, memory)
				cmd := make([]byte, 128)
				load(b, func() error {
					_, err := n.Apply(context.Background(), cmd)
					return err
				})
			})
		}
	}
}

// BenchmarkRead measures linearizable reads of 1024 callers.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1, 3} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			n, _ := benchGroup(b, size, true)
			load(b, func() error {
				_, err := n.Read(context.Background())
				return err
			})
		})
	}
}

func load(b *testing.B, do func() error) {
	b.ReportAllocs()
	runtime.GC()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var callers sync.WaitGroup
	for range 1024 {
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkAdd measures how long a member without a log takes to become a voter.
func BenchmarkAdd(b *testing.B) {
	net := transport.NewNetwork(1)
	first := peer(0)
	lead := benchMember(b, net, first, []raft.Peer{first}, true)
	if _, err := lead.WaitLeader(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := make([]time.Duration, 0, b.N)
	for i := range b.N {
		joins := peer(i + 1)
		n := benchMember(b, net, joins, nil, true)
		begun := time.Now()
		if _, err := lead.ChangePeers(b.Context(), node.Add(joins)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		if _, err := lead.ChangePeers(b.Context(), node.Remove(joins.ID)); err != nil {
			b.Fatal(err)
		}
		_ = n.Stop(b.Context())
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "median-ms")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "max-ms")
}
