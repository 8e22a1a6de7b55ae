package node_test

import (
	"context"
	"runtime"
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

func benchNode(b *testing.B, memory bool) *node.Node {
	o := node.Options{
		ID: "n1", Peers: []raft.Peer{{ID: "n1", Addr: "n1:1"}}, StateMachine: nothing{},
		Transport:       transport.NewNetwork(1).Transport("n1:1"),
		ElectionTimeout: 200 * time.Millisecond,
	}
	if memory {
		o.Store = &memoryStore{}
	} else {
		o.Dir = b.TempDir()
	}
	n, err := node.Start(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Stop(context.Background()); _ = o.Transport.Close() })
	if _, err := n.Read(context.Background()); err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkApply measures commands of 128 bytes applied by 1024 callers in a group of one.
func BenchmarkApply(b *testing.B) {
	for name, memory := range map[string]bool{"memory": true, "disk": false} {
		b.Run(name, func(b *testing.B) {
			n := benchNode(b, memory)
			cmd := make([]byte, 128)
			b.ReportAllocs()
			runtime.GC()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var callers sync.WaitGroup
			for range 1024 {
				callers.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := n.Apply(context.Background(), cmd); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "applies/s")
		})
	}
}
