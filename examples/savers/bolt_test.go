package savers_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/examples/savers"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Example backs a running member up, and restores the backup later, while it goes on running. In a
// group of several members either may be done on any of them.
func ExampleBolt() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "bolt")
	defer os.RemoveAll(dir)
	b, err := savers.OpenBolt(filepath.Join(dir, "pairs.db"))
	if err != nil {
		panic(err)
	}
	defer b.Close()
	n, err := node.Start(node.Options{
		ID: "n1", Dir: filepath.Join(dir, "raft"), StateMachine: b,
		Peers:     []raft.Peer{{ID: "n1", Addr: "localhost:7003"}},
		Transport: transport.NewNetwork(1).Transport("localhost:7003"),
	})
	if err != nil {
		panic(err)
	}
	defer n.Stop(ctx)
	n.Apply(ctx, []byte("sky=blue"))
	var backup bytes.Buffer // a file, in earnest
	_, err = n.Backup(ctx, &backup)
	fmt.Println("backed up:", err)

	result, _ := n.Apply(ctx, []byte("sky=grey"))
	fmt.Println("was", result.Value)
	fmt.Println("restored:", n.Restore(ctx, &backup))
	sky, err := node.Query(ctx, n, func() ([]byte, error) { return b.Get("sky") })
	fmt.Println("is", string(sky), err)
	// Output:
	// backed up: <nil>
	// was blue
	// restored: <nil>
	// is blue <nil>
}

// TestRestart takes a snapshot while commands go on, and starts again from it.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := func() (*savers.Bolt, *node.Node) {
		b, err := savers.OpenBolt(filepath.Join(dir, "pairs.db"))
		require.NoError(t, err)
		n, err := node.Start(node.Options{
			ID: "n1", Dir: filepath.Join(dir, "raft"), StateMachine: b,
			Peers:     []raft.Peer{{ID: "n1", Addr: "localhost:7004"}},
			Transport: transport.NewNetwork(1).Transport("localhost:7004"),
		})
		require.NoError(t, err)
		return b, n
	}
	b, n := start()
	put := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			_, err := n.Apply(ctx, fmt.Appendf(nil, "%d=%0200d", i, i))
			require.NoError(t, err)
		}
	}
	put(0, 100)
	saved := make(chan error, 1)
	go func() {
		_, err := n.Snapshot(ctx)
		saved <- err
	}()
	put(100, 200)
	require.NoError(t, <-saved)
	require.NoError(t, n.Stop(ctx))
	require.NoError(t, b.Close())

	b, n = start()
	_, err := n.Read(ctx)
	require.NoError(t, err)
	for i := range 200 {
		value, err := b.Get(fmt.Sprint(i))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%0200d", i), string(value))
	}
	require.NoError(t, n.Stop(ctx))
	require.NoError(t, b.Close())
}
