package node

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
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
// [raft.ErrWrongCluster] where Dir belongs to another cluster or peer; [raft.ErrCorrupt].
func Start(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := newNode(o.withDefaults())
	if err := n.openStore(); err != nil {
		return nil, fmt.Errorf("node: open the log: %w", err)
	}
	err := n.start()
	if err != nil {
		if n.closeStore != nil {
			err = errors.Join(err, n.closeStore())
		}
		return nil, err
	}
	return n, nil
}

func newNode(o Options) *Node {
	n := &Node{
		opts: o, epoch: time.Now(), store: o.Store, maxPending: o.maxPendingFrames(),
		log:    o.Logger.With("group", string(o.Group), "peer", string(o.ID)),
		inbox:  inbox{wake: make(chan struct{}, 1)},
		writer: newWriter(), reader: newReader(),
		ending: make(chan struct{}), done: make(chan struct{}), closed: make(chan struct{}),
	}
	n.leader.start()
	return n
}

func (n *Node) openStore() error {
	if n.store != nil {
		return nil
	}
	s, err := logmanager.OpenDir(filepath.Join(n.opts.Dir, "log"),
		logmanager.SegmentOptions{
			Cluster: n.opts.Cluster, Peer: n.opts.ID, Logger: n.log,
			Holder: fmt.Sprintf("member %s of group %s", n.opts.ID, n.opts.Group),
		})
	if err != nil {
		return err
	}
	n.store, n.closeStore = s, s.Close
	return nil
}

func (n *Node) start() error {
	stored, err := n.load()
	if err != nil {
		return err
	}
	var seeds [16]byte
	_, _ = rand.Read(seeds[:]) // never fails
	c, err := core.New(core.Options{
		Cluster: n.opts.Cluster, Group: n.opts.Group, ID: n.opts.ID,
		ElectionTimeout: n.opts.ElectionTimeout, HeartbeatInterval: n.opts.HeartbeatInterval,
		Seed:            binary.LittleEndian.Uint64(seeds[:8]),
		Sender:          binary.LittleEndian.Uint64(seeds[8:]),
		Replication:     n.opts.Replication,
		MaxCommandBytes: n.opts.MaxCommandBytes, MaxPendingBytes: n.maxPending,
		MaxApplyBytes: maxApplyBytes, MaxPendingReads: maxReadGroups, CacheBytes: cacheBytes,
	}, n.now(), stored)
	if err != nil {
		return fmt.Errorf("node: recover from the log: %w", err)
	}
	member := transport.Member{Cluster: n.opts.Cluster, Group: n.opts.Group, ID: n.opts.ID}
	if err := n.opts.Transport.Register(member, handler{n}); err != nil {
		return fmt.Errorf("node: register with the transport: %w", err)
	}
	n.run(c, stored.Base.Index)
	return nil
}

// run starts the goroutines.
func (n *Node) run(c *core.Core, applied raft.Index) {
	n.applied.start(applied)
	l := &loop{Node: n, core: c, given: applied, told: applied}
	l.publish(n.now())
	a := fsm.NewApplier(n.opts.StateMachine, applied)
	a.Progress = n.applied.advance
	n.applier = fsm.StartLoop(a, n.inbox.poke, n.end)
	go n.runWriter()
	go n.runReader()
	go l.run()
	n.log.Info("raft: member has started", "applied", uint64(applied))
}

// load returns what the store holds. Where that is nothing, the group's first configuration is
// written first: it is entry 1 of term 0, the same bytes on every member, so that all logs agree on
// it as if a leader had sent it (§5.3, Log Matching).
func (n *Node) load() (logmanager.Stored, error) {
	stored, err := n.store.Load(n.opts.Group)
	if err == nil && stored.Empty() && len(n.opts.Peers) > 0 {
		if err = n.bootstrap(); err == nil {
			stored, err = n.store.Load(n.opts.Group)
		}
	}
	if err != nil {
		return stored, fmt.Errorf("node: load the log: %w", err)
	}
	if stored.Base.Index > 0 {
		return stored, fmt.Errorf("node: the log begins after entry %d and there is no snapshot to "+
			"begin with; remove the data of this member and let it join anew: %w",
			stored.Base.Index, raft.ErrCompacted)
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
