package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport/grpctransport"
)

const installMemberCommand = "install-member"

// task is what a member's process is asked to do in the measurement of installs: one line of JSON
// on its standard input, and its end is the end of the process.
type task struct {
	Op    string        `json:"op"`
	Peers []peer        `json:"peers,omitempty"`
	Size  int64         `json:"size,omitempty"`  // of taskGrow: of the state
	Limit int64         `json:"limit,omitempty"` // of taskStart: bytes per second
	Count int           `json:"count,omitempty"` // of taskFill: commands; of taskLoad: clients, 0 ends it
	Pause time.Duration `json:"pause,omitempty"` // of taskLoad: between a client's writes
}

const (
	taskStart    = "start"
	taskState    = "state"
	taskGrow     = "grow"
	taskFill     = "fill"
	taskLoad     = "load"   // starts writing
	taskSample   = "sample" // answers with what was written since the last sample
	taskSnapshot = "snapshot"
	taskSum      = "sum"
)

// outcome is one line too.
type outcome struct {
	Error    string  `json:"error,omitempty"`
	Leads    bool    `json:"leads,omitempty"`
	First    uint64  `json:"first,omitempty"`
	Last     uint64  `json:"last,omitempty"`
	Applied  uint64  `json:"applied,omitempty"`
	Snapshot uint64  `json:"snapshot,omitempty"`
	Restored uint64  `json:"restored,omitempty"`
	Arrived  int64   `json:"arrived,omitempty"` // bytes of the snapshot being fetched
	Bytes    int64   `json:"bytes,omitempty"`   // of the newest snapshot
	Sum      uint32  `json:"sum,omitempty"`
	Writes   int     `json:"writes,omitempty"`
	P50      float64 `json:"p50_us,omitempty"`
	P99      float64 `json:"p99_us,omitempty"`
}

// installMember is a member whose state is large.
type installMember struct {
	id, dir   string
	transport *grpctransport.Transport
	state     *bulk
	node      *node.Node

	mu      sync.Mutex
	writes  histogram
	failed  error
	loaded  chan struct{} // closed to end the load; nil: there is none
	running sync.WaitGroup
}

// runInstallMember has the id, the directory and the address for arguments.
func runInstallMember(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("need id, directory and address")
	}
	m := &installMember{id: args[0], dir: args[1], state: &bulk{dir: args[1]}}
	var err error
	m.transport, err = grpctransport.Listen(args[2], grpctransport.WithCluster(benchCluster))
	if err != nil {
		return err
	}
	tasks, outcomes := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var t task
		if tasks.Decode(&t) != nil {
			return nil // who started us is gone
		}
		o, err := m.do(t)
		if err != nil {
			o.Error = err.Error()
		}
		if err := outcomes.Encode(o); err != nil {
			return err
		}
	}
}

func (m *installMember) do(t task) (o outcome, err error) {
	ctx := context.Background()
	switch t.Op {
	case taskStart:
		return o, m.start(t)
	case taskState:
		return m.status(), nil
	case taskGrow:
		_, err = m.node.Apply(ctx, growBy(t.Size))
	case taskFill:
		err = m.fill(t.Count)
	case taskLoad:
		m.load(t.Count, t.Pause)
	case taskSample:
		return m.sample()
	case taskSnapshot:
		_, err = m.node.Snapshot(ctx)
	case taskSum:
		o.Sum, err = m.state.sum()
	default:
		err = fmt.Errorf("%q is nothing that a member can do", t.Op)
	}
	return o, err
}

func (m *installMember) start(t task) (err error) {
	var voters []raft.Peer
	for _, p := range t.Peers {
		voters = append(voters, raft.Peer{ID: raft.PeerID(p.ID), Addr: p.Addr})
	}
	policy := node.SnapshotPolicy{Entries: -1, Bytes: -1, TrailingEntries: -1,
		BytesPerSecond: t.Limit}
	log, err := os.OpenFile(filepath.Join(m.dir, "log.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	m.node, err = node.Start(node.Options{
		ID: raft.PeerID(m.id), Cluster: benchCluster, Dir: filepath.Join(m.dir, "raft"), Peers: voters,
		StateMachine: m.state, Transport: m.transport, Snapshot: policy,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return err
}

func (m *installMember) status() outcome {
	s := m.node.Status()
	return outcome{
		Leads: s.Role == node.Leader, First: uint64(s.First), Last: uint64(s.Last),
		Applied: uint64(s.Applied), Snapshot: uint64(s.Snapshot.Last.Index),
		Restored: m.state.restored.Load(), Arrived: s.PullingBytes, Bytes: s.Snapshot.Bytes,
	}
}

// fill writes commands of 128 bytes, many at once.
func (m *installMember) fill(n int) error {
	const clients, size = 1024, 128
	errs := make(chan error, clients)
	for i := range clients {
		go func() {
			var err error
			for range n/clients + min(1, max(0, n%clients-i)) {
				if _, err = m.node.Apply(context.Background(), make([]byte, size)); err != nil {
					break
				}
			}
			errs <- err
		}()
	}
	var all error
	for range clients {
		all = errors.Join(all, <-errs)
	}
	return all
}

// load starts clients that write 128 bytes, wait, and write again.
func (m *installMember) load(clients int, pause time.Duration) {
	if m.loaded != nil {
		close(m.loaded)
		m.loaded = nil
		m.running.Wait()
	}
	over := make(chan struct{})
	m.loaded = over
	for range clients {
		m.running.Go(func() {
			for {
				begin := time.Now()
				_, err := m.node.Apply(context.Background(), make([]byte, 128), node.NoForward())
				m.note(time.Since(begin), err)
				if err != nil {
					return
				}
				select {
				case <-over:
					return
				case <-time.After(pause):
				}
			}
		})
	}
}

func (m *installMember) note(took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.failed = err
		return
	}
	m.writes.record(took)
}

func (m *installMember) sample() (outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := outcome{Writes: int(m.writes.total), P50: micros(m.writes.percentile(50)),
		P99: micros(m.writes.percentile(99))}
	m.writes = histogram{}
	return o, m.failed
}
