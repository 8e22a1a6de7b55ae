package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/edge"
	"github.com/jraft-go/jraft/internal/keeper"
	"github.com/jraft-go/jraft/internal/petition"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

const (
	cacheBytes    = 16 << 20 // of entries kept in memory for followers that lag a little
	maxApplyBytes = 4 << 20  // of entries that the applier has at a time
	maxReadGroups = 4096
)

// Start runs a member. The same call serves first boot, restart and join: what the store holds
// decides, and only when it holds nothing are Options.Peers made the group's first configuration.
// It does not wait for a leader.
//
// Errors: those of [Options.Validate]; that another process or member has Dir, naming the holder;
// [raft.ErrWrongCluster] where Dir belongs to another cluster, group or peer; [raft.ErrCorrupt];
// that of the state machine's Restore.
func Start(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := newNode(o.withDefaults())
	err := n.openStores()
	if err == nil {
		err = n.start()
	}
	if err != nil {
		n.cancel(err)
		return nil, errors.Join(err, n.closeStores())
	}
	return n, nil
}

func newNode(o Options) *Node {
	n := &Node{
		opts: o, epoch: time.Now(), store: o.Store, maxPending: o.maxPendingFrames(),
		snapshots: o.Snapshots,
		log:       o.Logger.With("group", string(o.Group), "peer", string(o.ID)),
		inbox:     inbox{wake: make(chan struct{}, 1)},
		writer:    edge.NewWriter(), reader: edge.NewReader(),
		ending: make(chan struct{}), done: make(chan struct{}), closed: make(chan struct{}),
	}
	n.life, n.cancel = context.WithCancelCause(context.Background())
	n.leader.Start()
	n.desk = petition.NewDesk(&n.inbox)
	n.asker = petition.Asker{
		Self: o.member(), Transport: o.Transport, Desk: n.desk, Leader: n.leader.Get, Ended: n.ended,
		Life: n.life, Pause: o.HeartbeatInterval,
	}
	return n
}

func (n *Node) openStores() error {
	home := n.opts.home(n.log)
	if n.store == nil {
		s, err := home.OpenLog()
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
		n.store, n.closeLog = s, s.Close
	}
	if n.snapshots == nil {
		s, err := home.OpenSnapshots()
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
		n.snapshots, n.closeSnapshots = s, s.Close
	}
	return nil
}

// closeStores closes what Start has opened.
func (n *Node) closeStores() (err error) {
	if n.closeLog != nil {
		err = n.closeLog()
	}
	if n.closeSnapshots != nil {
		err = errors.Join(err, n.closeSnapshots())
	}
	return err
}

func (n *Node) start() error {
	stored, err := n.load()
	if err != nil {
		return err
	}
	a := fsm.NewApplier(n.opts.StateMachine, 0)
	meta, err := n.restore(a)
	if err != nil {
		return err
	}
	var seeds [24]byte
	_, _ = rand.Read(seeds[:]) // never fails
	c, err := core.New(core.Options{
		Cluster: n.opts.Cluster, Group: n.opts.Group, ID: n.opts.ID,
		ElectionTimeout: n.opts.ElectionTimeout, HeartbeatInterval: n.opts.HeartbeatInterval,
		Seed:            binary.LittleEndian.Uint64(seeds[:8]),
		Sender:          binary.LittleEndian.Uint64(seeds[8:]),
		Replication:     n.opts.Replication,
		MaxCommandBytes: n.opts.MaxCommandBytes, MaxPendingBytes: n.maxPending,
		MaxApplyBytes: maxApplyBytes, MaxPendingReads: maxReadGroups, CacheBytes: cacheBytes,
		TrailingEntries: n.opts.Snapshot.TrailingEntries,
		TrailingBytes:   n.opts.Snapshot.TrailingBytes,
	}, n.now(), stored, meta)
	if err != nil {
		return fmt.Errorf("node: recover from the log: %w", err)
	}
	origin := c.Status().Configuration.Origin
	if len(n.opts.Peers) > 0 && origin != 0 && origin != n.opts.firstConfiguration().Origin {
		n.log.Warn("raft: Options.Peers and Learners are not those that the group began with; they are " +
			"ignored, because the directory holds its log")
	}
	n.applied.Start(meta.Last.Index)
	n.keeper = keeper.New(n.life, keeper.Options{
		Member: n.opts.member(), Store: n.snapshots, Transport: n.opts.Transport,
		Policy: n.opts.Snapshot, Seed: binary.LittleEndian.Uint64(seeds[16:]), Logger: n.log,
		Listener: &n.inbox, Now: n.now, Applied: n.applied.Index, Fail: n.end,
		Propose: n.proposeRestore, MaxCommandBytes: n.opts.MaxCommandBytes,
	}, meta.Last.Index)
	if err := n.opts.Transport.Register(n.opts.member(), handler{n}); err != nil {
		return fmt.Errorf("node: register with the transport: %w", err)
	}
	n.run(c, a, n.knows(stored, meta))
	return nil
}

// run starts the goroutines.
func (n *Node) run(c *core.Core, a *fsm.Applier, member bool) {
	applied := a.Applied()
	l := &loop{Node: n, core: c, given: applied, told: applied,
		petitions: make(map[uint64]*petition.Petition), member: member}
	l.publish(n.now())
	a.Progress, a.Stage = n.applied.Advance, n.keeper.Stage
	n.applier = fsm.StartLoop(a, func() {
		n.keeper.Applied(a.Applied(), a.AppliedBytes())
		n.inbox.poke()
	}, n.end)
	s := edge.Store{
		Store: n.store, Group: n.opts.Group, Ending: n.ending, Fail: n.end, Catch: n.catch,
	}
	go n.writer.Run(s, n.inbox.setWritten)
	go n.reader.Run(s, n.inbox.addFetched)
	n.keeper.Run(n.applier)
	go l.run()
	n.log.Info("raft: member has started", "applied", uint64(applied))
}

// load returns what the store holds. Where that is nothing, the group's first configuration is
// written first: it is entry 1 of term 0, the same bytes on every member, so that all logs agree on
// it as if a leader had sent it (§5.3, Log Matching).
func (n *Node) load() (logmanager.Stored, error) {
	stored, err := n.store.Load(n.opts.Group)
	_, snapshotted := n.snapshots.Newest()
	if err == nil && stored.Empty() && !snapshotted && len(n.opts.Peers) > 0 {
		if err = n.bootstrap(); err == nil {
			stored, err = n.store.Load(n.opts.Group)
		}
	}
	if err != nil {
		return stored, fmt.Errorf("node: load the log: %w", err)
	}
	return stored, nil
}

func (n *Node) bootstrap() error {
	first, _ := raft.MakeEntry(nil, 0, 1, raft.EntryConfiguration,
		raft.EncodeConfiguration(n.opts.firstConfiguration()))
	err := n.store.Write([]logmanager.Write{
		{Seq: 1, Group: n.opts.Group, Entries: []raft.Entry{first}},
	})
	if err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	return nil
}

// knows reports whether this member is in some configuration of what was stored: if it is in the
// newest no more, it was removed.
func (n *Node) knows(stored logmanager.Stored, snapshot raft.SnapshotMeta) bool {
	_, member := snapshot.Configuration.Peer(n.opts.ID)
	for i := range stored.Configurations {
		e := &stored.Configurations[i]
		if c, err := raft.DecodeConfiguration(e.Index, e.Data); err == nil && !member {
			_, member = c.Peer(n.opts.ID)
		}
	}
	return member
}

// restore brings the state machine to the newest snapshot that is sound. A damaged one is as good
// as none: with an older one the log has to reach further back, which core.New checks.
func (n *Node) restore(a *fsm.Applier) (raft.SnapshotMeta, error) {
	for _, meta := range n.snapshots.All() {
		reader, err := n.openSound(meta.Last)
		if err != nil {
			n.log.Warn("raft: a snapshot can't be used, trying an older one", "last", meta.Last.String(),
				"error", err)
			continue
		}
		err = errors.Join(a.Restore(reader), reader.Close())
		if err != nil {
			return meta, fmt.Errorf("node: restore snapshot %v: %w", meta.Last, err)
		}
		return meta, nil
	}
	return raft.SnapshotMeta{}, nil
}

func (n *Node) openSound(last raft.LogID) (snapshot.Reader, error) {
	if err := n.snapshots.Verify(last); err != nil {
		return nil, err
	}
	return n.snapshots.Open(last)
}
