package keeper

import (
	"context"
	"errors"
	"io"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// Backup takes a snapshot of everything that is applied and writes it to w.
func (k *Keeper) Backup(ctx context.Context, w io.Writer) (raft.SnapshotMeta, error) {
	for {
		meta, err := k.Snapshot(ctx, k.o.Applied())
		if err != nil {
			return meta, err
		}
		err = k.o.Store.Export(backupWriter{ctx, k.life, w}, meta.Last)
		if err == nil {
			return meta, nil
		}
		// Newer ones may have taken its place already; but once something was written it stays.
		if newest, _ := k.o.Store.Newest(); !errors.Is(err, snapshot.ErrGone) ||
			newest.Last.Index <= meta.Last.Index {
			return raft.SnapshotMeta{}, err
		}
	}
}

// backupWriter ends a backup when its caller or the member does.
type backupWriter struct {
	ctx, life context.Context
	w         io.Writer
}

// Write implements io.Writer.
func (b backupWriter) Write(p []byte) (int, error) {
	if err := errors.Join(context.Cause(b.life), b.ctx.Err()); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}
