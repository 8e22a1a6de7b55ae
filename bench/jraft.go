package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport/grpctransport"
)

// jraft is this library as its users get it: node with the segment store and the gRPC transport,
// all options at their defaults.
type jraft struct {
	id        raft.PeerID
	dir       string
	files     *countingFS
	store     *logmanager.Segments
	transport *grpctransport.Transport
	node      *node.Node
}

const benchCluster = "bench"

func (s *jraft) listen(id, dir string) (string, error) {
	s.id, s.dir = raft.PeerID(id), dir
	var err error
	s.transport, err = grpctransport.Listen("127.0.0.1:0", grpctransport.WithCluster(benchCluster))
	if err != nil {
		return "", err
	}
	return s.transport.Addr(), nil
}

func (s *jraft) start(peers []peer) (err error) {
	var voters []raft.Peer
	for _, p := range peers {
		voters = append(voters, raft.Peer{ID: raft.PeerID(p.ID), Addr: p.Addr})
	}
	// The store that node would open by itself, but with its syncs counted.
	s.files = &countingFS{FS: vfs.OS()}
	s.store, err = logmanager.StartSegments(s.files, filepath.Join(s.dir, "log"),
		logmanager.SegmentOptions{Cluster: benchCluster, Peer: s.id})
	if err != nil {
		return err
	}
	s.node, err = node.Start(node.Options{
		ID: s.id, Cluster: benchCluster, Dir: s.dir, Peers: voters,
		StateMachine: &machine{}, Transport: s.transport, Store: s.store,
		Snapshot: node.SnapshotPolicy{Entries: -1, Bytes: -1},
	})
	return err
}

func (s *jraft) leads() bool   { return s.node.Status().Role == node.Leader }
func (s *jraft) syncs() uint64 { return s.files.syncs.Load() }

func (s *jraft) apply(cmd []byte) error {
	_, err := s.node.Apply(context.Background(), cmd)
	return err
}

func (s *jraft) read() error {
	_, err := s.node.Read(context.Background())
	return err
}

func (s *jraft) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.node != nil {
		if err := s.node.Stop(ctx); err != nil {
			return err
		}
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			return err
		}
	}
	return s.transport.Close()
}

// machine is the cheapest state machine: the benchmark measures what is around it.
type machine struct {
	fsm.StateMachine // no snapshots are taken
	commands, bytes  int
}

// Apply counts.
func (m *machine) Apply(e raft.Entry) any {
	m.commands++
	m.bytes += len(e.Data)
	return nil
}
