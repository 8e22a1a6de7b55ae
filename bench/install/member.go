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
	"slices"
	"sync"
	"time"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport/grpctransport"
)

// memberCommand, as the first argument, makes this process one that we start more of.
const memberCommand = "member"

const clusterID = "bench"

type peer struct {
	ID   string `json:"id"`
	Addr string `json:"addr"`
}

// task is what a member's process is asked to do: one line of JSON on its standard input, and its
// end is the end of the process.
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

// member is a member whose state is large.
type member struct {
	id, dir   string
	transport *grpctransport.Transport
	state     *bulk
	node      *node.Node

	mu      sync.Mutex
	writes  []time.Duration
	failed  error
	loaded  chan struct{} // closed to end the load; nil: there is none
	running sync.WaitGroup
}

// runMember has the id, the directory and the address for arguments.
func runMember(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("need id, directory and address")
	}
	m := &member{id: args[0], dir: args[1], state: &bulk{dir: args[1]}}
	var err error
	m.transport, err = grpctransport.Listen(args[2], grpctransport.WithCluster(clusterID))
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

func (m *member) do(t task) (o outcome, err error) {
	ctx := context.Background()
	switch t.Op {
	case taskStart:
		return o, m.start(t)
	case taskState:
		return m.status(), nil
	case taskGrow:
		var grown node.Result
		if grown, err = m.node.Apply(ctx, growBy(t.Size)); err == nil && grown.Value != nil {
			err = fmt.Errorf("make the state: %v", grown.Value)
		}
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

func (m *member) start(t task) (err error) {
	var voters []raft.Peer
	for _, p := range t.Peers {
		voters = append(voters, raft.Peer{ID: raft.PeerID(p.ID), Addr: p.Addr})
	}
	policy := node.SnapshotPolicy{Entries: -1, Bytes: -1, TrailingEntries: -1,
		BytesPerSecond: t.Limit}
	log, err := os.OpenFile(filepath.Join(m.dir, "log.txt"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	m.node, err = node.Start(node.Options{
		ID: raft.PeerID(m.id), Cluster: clusterID, Dir: filepath.Join(m.dir, "raft"), Peers: voters,
		StateMachine: m.state, Transport: m.transport, Snapshot: policy,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return err
}

func (m *member) status() outcome {
	s := m.node.Status()
	return outcome{
		Leads: s.Role == node.Leader, First: uint64(s.First), Last: uint64(s.Last),
		Applied: uint64(s.Applied), Snapshot: uint64(s.Snapshot.Last.Index),
		Restored: m.state.restored.Load(), Arrived: s.PullingBytes, Bytes: s.Snapshot.Bytes,
	}
}

// fill writes commands of 128 bytes, many at once.
func (m *member) fill(n int) error {
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
func (m *member) load(clients int, pause time.Duration) {
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

func (m *member) note(took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.failed = err
		return
	}
	m.writes = append(m.writes, took)
}

func (m *member) sample() (outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := outcome{Writes: len(m.writes)}
	if o.Writes > 0 {
		slices.Sort(m.writes)
		o.P50, o.P99 = micros(m.writes[o.Writes/2]), micros(m.writes[o.Writes*99/100])
	}
	m.writes = m.writes[:0]
	return o, m.failed
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
