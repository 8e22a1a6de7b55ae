package keeper

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
)

// Whoever wants a snapshot gives up a restore that has rested for long, and no other.
func TestOrphanedRestoreIsGivenUp(t *testing.T) {
	var proposed []raft.RestoreChunk
	k := &Keeper{log: slog.New(slog.DiscardHandler)}
	k.o.Propose = func(data []byte, _ func(any, error)) {
		c, err := raft.DecodeRestoreChunk(data)
		require.NoError(t, err)
		proposed = append(proposed, c)
	}
	long := func() { k.saver.waitsSince = k.saver.waitsSince.Add(-giveUpAfter) }
	r := fsm.Restoring{ID: 5, First: 10, Newest: 11}
	k.unsaved(&r, time.Second)
	k.unsaved(&r, time.Second)
	long()
	r.Newest++ // it goes on
	k.unsaved(&r, time.Second)
	require.Empty(t, proposed)
	long()
	k.unsaved(raft.ErrDiskFull, time.Second)
	require.Empty(t, proposed)
	k.unsaved(&r, time.Second)
	require.Equal(t, []raft.RestoreChunk{{ID: 5, Abandon: true, Data: []byte{}}}, proposed)
}
