package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport/grpctransport"
)

// Options describe one member of the group: `counter node` runs exactly one.
type Options struct {
	ID              string
	Dir             string
	Addr            string    // where it speaks Raft to the others
	Peers           []Address // the first members; the same list on all of them. Empty: it joins
	HTTP            []Address // where members speak to clients, if not where clientAddr has it
	ElectionTimeout time.Duration
	SnapshotEvery   int // entries; 0: as the library has it
	Log             io.Writer
}

// member is a running one: a node of the library, the state machine that it feeds, and an HTTP
// server.
type member struct {
	id      string
	node    *node.Node
	counter *Counter
	http    []Address
}

// Run runs a member until ctx ends or it fails. This is all there is to running Raft: a
// transport, a state machine, and node.Start with both.
func Run(ctx context.Context, o Options) (err error) {
	transport, err := grpctransport.Listen(o.Addr, grpctransport.WithCluster(cluster))
	if err != nil {
		return err
	}
	defer transport.Close()

	m := &member{id: o.ID, counter: NewCounter(), http: o.HTTP}
	m.node, err = node.Start(node.Options{
		ID:              raft.PeerID(o.ID),
		Cluster:         cluster,         // others, who got our address by mistake, are refused
		Dir:             o.Dir,           // the log: after a crash, the same call carries on from it
		Peers:           voters(o.Peers), // of the first start; later the log knows. Empty: it joins
		StateMachine:    m.counter,
		Transport:       transport,
		ElectionTimeout: o.ElectionTimeout,
		Snapshot:        policy(o.SnapshotEvery),
		Logger:          slog.New(slog.NewTextHandler(o.Log, nil)),
	})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.Background(), StopWithin)
		defer cancel()
		err = errors.Join(err, m.node.Stop(stopping))
	}()
	return m.serve(ctx, ClientAddr(o.HTTP, o.ID, o.Addr))
}

// serve answers clients until ctx ends or the member fails.
func (m *member) serve(ctx context.Context, addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: m.handler(), ReadHeaderTimeout: AnswerWithin}
	defer server.Close()
	broken := make(chan error, 1)
	go func() { broken <- server.Serve(listener) }()

	select {
	case <-ctx.Done():
		return nil
	case <-m.node.Done(): // the node has failed, for instance because its disk did
		return m.node.Err()
	case err := <-broken:
		return err
	}
}

const cluster = "counter"

// How long things may take.
const (
	AnswerWithin = 2 * time.Second  // a request, for the group to decide
	ChangeWithin = 30 * time.Second // a membership change, for new members to catch up
	StopWithin   = 3 * time.Second  // the end of a member
)

// policy has snapshots taken after so many entries, and keeps a tenth as many behind them in the
// log: a member that misses more has to fetch a snapshot. Real services keep more.
func policy(entries int) node.SnapshotPolicy {
	if entries == 0 {
		return node.SnapshotPolicy{}
	}
	return node.SnapshotPolicy{Entries: entries, TrailingEntries: max(1, entries/10)}
}

func voters(peers []Address) (list []raft.Peer) {
	for _, p := range peers {
		list = append(list, raft.Peer{ID: raft.PeerID(p.ID), Addr: p.Addr})
	}
	return list
}

// ClientPorts is how far above its Raft port a member serves clients, so that whoever knows the
// members, as the log does, knows where to send clients.
const ClientPorts = 1000

// ClientAddr returns where a member serves clients: as listed, else by its Raft address.
func ClientAddr(listed []Address, id, addr string) string {
	if at := Find(listed, id); at != "" {
		return at
	}
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port) // 0, which nobody serves, if it is none
	return net.JoinHostPort(host, strconv.Itoa(n+ClientPorts))
}

func (m *member) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add", m.add)
	mux.HandleFunc("GET /get", m.get)
	mux.HandleFunc("GET /status", m.status)
	mux.HandleFunc("GET /members", m.members)
	mux.HandleFunc("POST /members", m.change)
	mux.HandleFunc("POST /transfer", m.transfer)
	return m.tellMembers(mux)
}

// add proposes an increment and answers once it is committed and applied. Only the leader can:
// the others name it, and the client goes there. With forward=1 a follower passes the increment
// on instead, at the price of a second hop; that is what Apply does when nothing else is said.
func (m *member) add(w http.ResponseWriter, r *http.Request) {
	cmd, err := parseCommand(r)
	if err != nil {
		reply(w, http.StatusBadRequest, Failure{Message: err.Error(), Outcome: outcomeNotAppended})
		return
	}
	var opts []node.ApplyOption
	if r.FormValue("forward") != "1" {
		opts = append(opts, node.NoForward())
	}
	ctx, cancel := context.WithTimeout(r.Context(), AnswerWithin)
	defer cancel()
	data, _ := json.Marshal(cmd) // strings and numbers always encode
	res, err := m.node.Apply(ctx, data, opts...)
	if err != nil {
		m.fail(w, err)
		return
	}
	reply(w, http.StatusOK, res.Value)
}

// get answers a linearizable read, on any member: Query asks the leader how far the log was
// committed when the question came, waits until that is applied here, and then runs the
// function.
func (m *member) get(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), AnswerWithin)
	defer cancel()
	read, err := node.Query(ctx, m.node, m.counter.Read)
	if err != nil {
		m.fail(w, err)
		return
	}
	reply(w, http.StatusOK, read)
}

// Status is what a member says of itself, without asking anybody.
type Status struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	Term    uint64 `json:"term"`
	Leader  string `json:"leader,omitempty"` // as far as it knows
	First   uint64 `json:"first"`            // indexes: the oldest entry of its log, the newest,
	Last    uint64 `json:"last"`
	Commit  uint64 `json:"commit"`  // the newest that it knows to be committed,
	Applied uint64 `json:"applied"` // and the newest that is applied

	Snapshot uint64 `json:"snapshot"` // the last entry in its newest snapshot,
	Restored uint64 `json:"restored"` // and in the one that its state began with

	Configuration Configuration `json:"configuration"` // the newest in its log
	Changing      string        `json:"changing,omitempty"`
	Removed       bool          `json:"removed,omitempty"` // it knows that it is no member any more
}

// The stages of a membership change, as the leader sees them.
const (
	stageCatchUp = "new members catch up"
	stageJoint   = "joint: old and new majority decide together"
	stageLast    = "the new members decide, their configuration is not committed yet"
)

func (m *member) status(w http.ResponseWriter, _ *http.Request) {
	s := m.node.Status()
	stage := ""
	switch {
	case s.Changing != nil && len(s.Changing.CatchingUp) > 0:
		stage = stageCatchUp
	case s.Configuration.Joint():
		stage = stageJoint
	case s.Changing != nil:
		stage = stageLast
	}
	reply(w, http.StatusOK, Status{
		ID: m.id, Role: s.Role.String(), Term: uint64(s.Term), Leader: string(s.Leader.ID),
		First: uint64(s.First), Last: uint64(s.Last),
		Commit: uint64(s.Commit), Applied: uint64(s.Applied),
		Snapshot: uint64(s.Snapshot.Last.Index), Restored: m.counter.restoredFrom(),
		Configuration: m.describe(&s), Changing: stage, Removed: s.Removed,
	})
}

// fail passes on the two things that an error of the library tells a client: what became of the
// command, and whom to ask instead.
func (m *member) fail(w http.ResponseWriter, err error) {
	f := Failure{Message: err.Error(), Outcome: outcomeUnknown}
	if raft.OutcomeOf(err) == raft.NotAppended {
		f.Outcome = outcomeNotAppended
	}
	if leader, ok := raft.LeaderOf(err); ok {
		f.Leader, f.LeaderHTTP = string(leader.ID), m.web(leader)
	}
	code := http.StatusServiceUnavailable
	if errors.Is(err, raft.ErrBadConfiguration) || errors.Is(err, raft.ErrConfigurationStale) {
		code, f.Final = http.StatusConflict, true
	}
	reply(w, code, f)
}

func parseCommand(r *http.Request) (Command, error) {
	seq, err := strconv.ParseUint(r.FormValue("seq"), 10, 64)
	if err != nil || seq == 0 {
		return Command{}, fmt.Errorf("seq is %q, need a number from 1 on", r.FormValue("seq"))
	}
	delta, err := strconv.ParseInt(r.FormValue("delta"), 10, 64)
	if err != nil {
		return Command{}, fmt.Errorf("delta is %q, need a number", r.FormValue("delta"))
	}
	id := r.FormValue("client")
	if id == "" || len(id) > 64 {
		return Command{}, fmt.Errorf("client has %d characters, need 1 to 64", len(id))
	}
	return Command{Client: id, Seq: seq, Delta: delta}, nil
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that has gone away is the only cause of an error here, and it asks again.
	_ = json.NewEncoder(w).Encode(body)
}
