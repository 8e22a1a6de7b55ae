// readme:begin

package node_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

type counter struct { // what is replicated: a number that every command raises by one
	fsm.StateMachine // stands for Snapshot and Restore, which are not used here
	total            atomic.Int64
}

func (c *counter) Apply(raft.Entry) any { return c.total.Add(1) }

func Example() {
	ctx, c := context.Background(), &counter{}
	dir, _ := os.MkdirTemp("", "hello")
	defer os.RemoveAll(dir)
	n, err := node.Start(node.Options{
		ID: "n1", Dir: dir, StateMachine: c, Snapshot: node.SnapshotPolicy{Entries: -1, Bytes: -1},
		Peers:     []raft.Peer{{ID: "n1", Addr: "localhost:7000"}},
		Transport: transport.NewNetwork(1).Transport("localhost:7000"),
	})
	if err != nil {
		panic(err)
	}
	defer n.Stop(ctx)
	result, _ := n.Apply(ctx, []byte("add one")) // on disk on a majority, and applied here
	total, err := node.Query(ctx, n, func() (int64, error) { return c.total.Load(), nil })
	fmt.Println(result.Value, total, err) // Query is linearizable, on any member
	// Output:
	// 1 1 <nil>
}
