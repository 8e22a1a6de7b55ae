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

// counter is a state machine: every command adds one.
type counter struct {
	fsm.StateMachine // snapshots are not used here
	total            atomic.Int64
}

func (c *counter) Apply(raft.Entry) any { return c.total.Add(1) }

func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "hello")
	defer os.RemoveAll(dir)
	c := &counter{}
	n, err := node.Start(node.Options{
		ID: "n1", Dir: dir, StateMachine: c,
		Peers:     []raft.Peer{{ID: "n1", Addr: "n1:7000"}}, // list three for a group that survives one
		Transport: transport.NewNetwork(1).Transport("n1:7000"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.Stop(ctx)
	result, err := n.Apply(ctx, []byte("+1"))
	fmt.Println(result.Value, err)
	total, err := node.Query(ctx, n, func() (int64, error) { return c.total.Load(), nil })
	fmt.Println(total, err)
	// Output:
	// 1 <nil>
	// 1 <nil>
}
