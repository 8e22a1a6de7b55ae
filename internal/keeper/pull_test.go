package keeper

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// failing is a store that can receive nothing.
type failing struct {
	snapshot.Store
	err   error
	begun int
}

func (f *failing) Receive(raft.SnapshotMeta) (snapshot.Reception, error) {
	f.begun++
	return nil, f.err
}

// TestFullDisk: where the disk is full, what had come is discarded; so it is not fetched again at
// once, and again.
func TestFullDisk(t *testing.T) {
	begun := map[error]int{}
	for _, err := range []error{raft.ErrCorrupt, raft.ErrDiskFull} {
		store := &failing{err: fmt.Errorf("test: %w", err)}
		k := New(context.Background(), Options{Store: store, Logger: slog.New(slog.DiscardHandler)}, 0)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		k.pull(ctx, pull{from: raft.Peer{ID: "n2"}})
		cancel()
		begun[err] = store.begun
	}
	require.Greater(t, begun[raft.ErrCorrupt], 1)
	require.Equal(t, 1, begun[raft.ErrDiskFull])
}
