package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// group is the demo's members, each a process of this same program: `counter node --child ...`.
type group struct {
	dir             string
	electionTimeout time.Duration
	snapshotEvery   int
	peers, web      addresses
	fail            func(error) // told when a member ends that nobody killed
	http            *http.Client

	mu      sync.Mutex
	members []*process
}

// process is one member. A restart keeps its id, its directory and its addresses.
type process struct {
	id     string
	cmd    *exec.Cmd
	stdin  io.Closer     // closing it ends the process, and so does our own death
	exited chan struct{} // closed when the process is gone
	ending bool          // it is meant to end
	alive  bool
	status status // the last answer; zero until the first one
}

// memberState is a copy of what is known of one member.
type memberState struct {
	ID, Addr string
	PID      int
	Alive    bool
	status
}

const (
	readyWithin  = 20 * time.Second
	pollEvery    = 25 * time.Millisecond
	pollWithin   = 250 * time.Millisecond
	roleLeader   = "leader"
	logTailLines = 8
)

func newGroup(o demoOptions, dir string, fail func(error)) (*group, error) {
	g := &group{
		dir: dir, electionTimeout: o.ElectionTimeout, snapshotEvery: o.SnapshotEvery,
		fail: fail, http: &http.Client{Transport: &http.Transport{}},
	}
	ports, err := freePorts(2 * o.Nodes)
	if err != nil {
		return nil, err
	}
	for i := range o.Nodes {
		id := fmt.Sprintf("n%d", i+1)
		g.peers = append(g.peers, address{id, ports[2*i]})
		g.web = append(g.web, address{id, ports[2*i+1]})
		g.members = append(g.members, &process{id: id})
	}
	return g, nil
}

// freePorts finds free ports below those that systems give to outgoing connections. One of the
// latter could be taken, by a client's connection, while the member that owns it is dead.
func freePorts(n int) (addrs []string, err error) {
	const low, high, tries = 20000, 32000, 1000
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(low+rand.IntN(high-low)))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err != nil {
			continue
		}
		defer l.Close() // held until all are found, so that none is found twice
		if addrs = append(addrs, addr); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("found %d free ports of %d: %w", len(addrs), n, err)
}

// start runs a member's process; it does not wait until the member answers.
func (g *group) start(id string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	p := g.member(id)
	log, err := os.OpenFile(g.logFile(id), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, "node", "--child", "--id", id, "--dir", filepath.Join(g.dir, id),
		"--peers", g.peers.String(), "--http", g.web.String(),
		"--election-timeout", g.electionTimeout.String(),
		"--snapshot-every", strconv.Itoa(g.snapshotEvery))
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p.cmd, p.stdin, p.exited = cmd, stdin, make(chan struct{})
	p.alive, p.ending, p.status = true, false, status{}
	go g.wait(p, cmd, p.exited)
	return nil
}

func (g *group) wait(p *process, cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	g.mu.Lock()
	p.alive = false
	unasked := !p.ending
	g.mu.Unlock()
	if unasked {
		if err == nil {
			err = errors.New("exit code 0")
		}
		g.fail(fmt.Errorf("%s ended unasked: %w\n%s", p.id, err, g.logTail(p.id)))
	}
	close(exited)
}

// kill ends a member with SIGKILL: it can't flush, say goodbye, or hand its leadership on.
func (g *group) kill(id string) error {
	g.mu.Lock()
	p := g.find(id)
	p.ending = true
	cmd, exited := p.cmd, p.exited
	g.mu.Unlock()
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", id, err)
	}
	<-exited
	return nil
}

// stop ends every member: politely first, by closing its stdin, then by force.
func (g *group) stop() {
	g.mu.Lock()
	var wait []*process
	for _, p := range g.members {
		if p.ending = true; p.alive {
			_ = p.stdin.Close()
			wait = append(wait, p)
		}
	}
	g.mu.Unlock()
	polite, cancel := context.WithTimeout(context.Background(), 2*stopWithin)
	defer cancel()
	for _, p := range wait {
		select {
		case <-p.exited:
		case <-polite.Done():
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	}
	g.http.CloseIdleConnections()
}

// watch asks every member for its status, again and again, until ctx ends.
func (g *group) watch(ctx context.Context) {
	for ctx.Err() == nil {
		var polls sync.WaitGroup
		for _, m := range g.state() {
			if m.Alive {
				polls.Go(func() { g.poll(ctx, m) })
			}
		}
		polls.Wait()
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
		}
	}
}

func (g *group) poll(ctx context.Context, m memberState) {
	ctx, cancel := context.WithTimeout(ctx, pollWithin)
	defer cancel()
	var s status
	if call(ctx, g.http, http.MethodGet, "http://"+find(g.web, m.ID)+"/status", &s) != nil {
		return // dead, or not up yet: what to make of that is for those who wait for it
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// The answer of a process that was replaced meanwhile says nothing about its successor.
	if p := g.find(m.ID); p.alive && p.cmd.Process.Pid == m.PID {
		p.status = s
	}
}

// read asks one member for the state, by a linearizable read.
func (g *group) read(ctx context.Context, id string) (answer, error) {
	a := answer{Member: id}
	err := call(ctx, g.http, http.MethodGet, "http://"+find(g.web, id)+"/get", &a.reading)
	if err != nil {
		return a, fmt.Errorf("read from %s: %w", id, err)
	}
	return a, nil
}

// state returns what is known of the members.
func (g *group) state() (all []memberState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.members {
		m := memberState{ID: p.id, Addr: find(g.peers, p.id), Alive: p.alive, status: p.status}
		if p.cmd != nil {
			m.PID = p.cmd.Process.Pid
		}
		all = append(all, m)
	}
	return all
}

// leader returns the living member that leads in the newest term.
func leader(all []memberState) (memberState, bool) {
	var best memberState
	for _, m := range all {
		if m.Alive && m.Role == roleLeader && m.Term > best.Term {
			best = m
		}
	}
	return best, best.ID != ""
}

// await waits until the members' state is as wanted.
func (g *group) await(ctx context.Context, what string, cond func([]memberState) bool) error {
	late := time.After(readyWithin)
	for !cond(g.state()) {
		select {
		case <-time.After(pollEvery / 5):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late:
			return fmt.Errorf("%s did not happen within %v:\n%s", what, readyWithin,
				strings.Join(frame{Members: g.state()}.members(false), "\n"))
		}
	}
	return nil
}

func (g *group) member(id string) *process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.find(id)
}

// find returns a member by its id; g.mu is held.
func (g *group) find(id string) *process {
	for _, p := range g.members {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (g *group) logFile(id string) string { return filepath.Join(g.dir, id+".log") }

// logTail returns the last lines that a member wrote; of a panic, the first.
func (g *group) logTail(id string) string {
	data, err := os.ReadFile(g.logFile(id))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	from := max(0, len(lines)-logTailLines)
	for i, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			from = i
			break
		}
	}
	return strings.Join(lines[from:min(len(lines), from+logTailLines)], "\n")
}
