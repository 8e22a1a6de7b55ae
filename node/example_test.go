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

type counter struct{ atomic.Int64 }             // what is replicated
func (c *counter) Apply(raft.Entry) any         { return c.Add(1) }
func (c *counter) Snapshot() (fsm.Saver, error) { return fsm.Bytes(fmt.Append(nil, c.Load())), nil }
func (c *counter) Restore(r fsm.SnapshotReader) error {
	var total int64
	_, err := fmt.Fscan(r, &total)
	c.Store(total)
	return err
}

func Example() {
	ctx, c := context.Background(), &counter{}
	dir, _ := os.MkdirTemp("", "hello")
	defer os.RemoveAll(dir)
	n, err := node.Start(node.Options{ID: "n1", Dir: dir, StateMachine: c,
		Peers:     []raft.Peer{{ID: "n1", Addr: "localhost:7000"}},
		Transport: transport.NewNetwork(1).Transport("localhost:7000")})
	if err != nil {
		panic(err)
	}
	defer n.Stop(ctx)
	r, err := n.Apply(ctx, []byte("add one")) // on disk on a majority, and applied here
	fmt.Println(r.Value, err)                 // an error says whether it may have happened
	// Output: 1 <nil>
}
