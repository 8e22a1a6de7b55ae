package node

import (
	"fmt"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// feedSnapshots tells the core what became of snapshots.
func (l *loop) feedSnapshots(now time.Duration) {
	c, w := l.core, &l.work
	if w.saved.Last.Index > 0 { // what it covers was applied, and the core knows that by now
		c.Saved(now, w.saved)
		w.saved = raft.SnapshotMeta{}
	}
	if w.arrived.last.Index > 0 {
		c.Arrived(now, w.arrived.last, w.arrived.bytes)
		w.arrived = arrived{}
	}
	for i := range w.pulled {
		c.Pulled(now, w.pulled[i].meta, l.keepReader(&w.pulled[i]))
	}
	w.pulled = w.pulled[:0]
}

// keepReader takes over the reader of a snapshot that was fetched; false: it could not be had.
func (l *loop) keepReader(p *pulled) bool {
	if p.reader == nil {
		return false
	}
	l.readers = append(l.readers, p.reader)
	p.reader = nil
	return true
}

// pull has the keeper fetch a snapshot.
func (l *loop) pull(p *core.Pull) { l.keeper.Pull(raft.Peer{ID: p.From, Addr: p.Addr}, p.Meta) }

// closeReaders gives up the snapshots that the core does not want restored.
func (l *loop) closeReaders() {
	for _, r := range l.readers {
		l.closeReader(r)
	}
	clear(l.readers)
	l.readers = l.readers[:0]
}

func (n *Node) closeReader(r snapshot.Reader) {
	if err := r.Close(); err != nil {
		n.log.Warn("raft: close a snapshot", "last", r.Meta().Last.String(), "error", err)
	}
}

// restored gives up a snapshot when the applier is through with it.
func (n *Node) restored(r snapshot.Reader) {
	if last := r.Meta().Last; n.applied.Index() >= last.Index {
		n.log.Info("raft: installed a snapshot", "last", last.String())
	}
	n.closeReader(r)
}

// restore has the applier restore the state machine from a snapshot that was fetched. Those who
// wait for commands that it covers can't be told what became of them: whether they are among what
// was committed, nobody can see in it.
func (l *loop) restore(meta raft.SnapshotMeta) {
	a := &l.applying
	for i, r := range l.readers {
		if r.Meta().Last == meta.Last {
			l.readers = append(l.readers[:i], l.readers[i+1:]...)
			a.Restore = &fsm.Restoration{Reader: r, Done: func() { l.restored(r) }}
			break
		}
	}
	if a.Restore == nil {
		l.end(fmt.Errorf("node: snapshot %v is to be restored, which was not fetched", meta.Last))
		return
	}
	for w := l.placed.Next(meta.Last.Index); w != nil; w = l.placed.Next(meta.Last.Index) {
		l.refuse(w, raft.Unknown, fmt.Errorf("%w: snapshot %v, without results, took their place",
			raft.ErrCompacted, meta.Last))
	}
	l.given = meta.Last.Index
	a.Keep = l.unplaced.Len() > 0
	l.log.Info("raft: installing a snapshot", "last", meta.Last.String(), "bytes", meta.Bytes)
	l.applier.Give(a)
	a.Restore = nil
}
