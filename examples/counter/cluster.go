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
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// group is the demo's members, each a process of this same program: `counter node --child ...`.
type group struct {
	dir             string
	electionTimeout time.Duration
	snapshotEvery   int
	first           service.Addresses // the members that the group starts with
	fail            func(error)       // told when a member ends that nobody killed
	http            *http.Client

	mu      sync.Mutex
	members []*process
	made    int // members so far, those that are gone included
}

// process is one member. A restart keeps its id, its directory and its addresses.
type process struct {
	id     string
	addr   string // where it speaks Raft; clients come in where clientAddr says
	first  bool   // it is of those that the group starts with; else it waits to be added
	cmd    *exec.Cmd
	stdin  io.Closer     // closing it ends the process, and so does our own death
	exited chan struct{} // closed when the process is gone
	ending bool          // it is meant to end
	alive  bool
	status service.Status // the last answer; zero until the first one
}

// memberState is a copy of what is known of one member.
type memberState struct {
	ID, Addr string
	PID      int
	Alive    bool
	service.Status
}

func (m memberState) web() string { return service.ClientAddr(nil, m.ID, m.Addr) }

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
	if err := g.add(o.Nodes, true); err != nil {
		return nil, err
	}
	for _, p := range g.members {
		g.first = append(g.first, service.Address{ID: p.id, Addr: p.addr})
	}
	return g, nil
}

// add makes up so many new members; they are not started yet.
func (g *group) add(n int, first bool) error {
	ports, err := freePorts(n)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, addr := range ports {
		g.made++
		g.members = append(g.members, &process{id: fmt.Sprintf("n%d", g.made), addr: addr, first: first})
	}
	return nil
}

// freePorts finds ports that are free, as are those for the clients above them, and that lie below
// those that systems give to outgoing connections. One of the latter could be taken, by a client's
// connection, while the member that owns it is dead.
func freePorts(n int) (addrs []string, err error) {
	const low, high, tries = 20000, 32000 - service.ClientPorts, 1000
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(low+rand.IntN(high-low)))
		both := []string{addr, service.ClientAddr(nil, "", addr)}
		for _, a := range both {
			var l net.Listener
			if l, err = net.Listen("tcp", a); err != nil {
				break
			}
			defer l.Close() // held until all are found, so that none is found twice
		}
		if err != nil {
			continue
		}
		if addrs = append(addrs, addr); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("found %d free pairs of ports of %d: %w", len(addrs), n, err)
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
	args := []string{
		"node", "--child", "--id", id, "--addr", p.addr, "--dir", filepath.Join(g.dir, id),
		"--election-timeout", g.electionTimeout.String(),
		"--snapshot-every", strconv.Itoa(g.snapshotEvery),
	}
	if p.first {
		args = append(args, "--peers", g.first.String())
	} else {
		args = append(args, "--join")
	}
	cmd := exec.Command(program, args...)
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
	p.alive, p.ending, p.status = true, false, service.Status{}
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

// stop ends every member.
func (g *group) stop() {
	g.mu.Lock()
	all := slices.Clone(g.members)
	g.mu.Unlock()
	g.end(all)
	g.http.CloseIdleConnections()
}

// remove ends a member and forgets it.
func (g *group) remove(id string) {
	g.end([]*process{g.member(id)})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members = slices.DeleteFunc(g.members, func(p *process) bool { return p.id == id })
}

// end ends members: politely first, by closing their stdin, then by force.
func (g *group) end(members []*process) {
	g.mu.Lock()
	var wait []*process
	for _, p := range members {
		if p.ending = true; p.alive {
			_ = p.stdin.Close()
			wait = append(wait, p)
		}
	}
	g.mu.Unlock()
	polite, cancel := context.WithTimeout(context.Background(), 2*service.StopWithin)
	defer cancel()
	for _, p := range wait {
		select {
		case <-p.exited:
		case <-polite.Done():
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	}
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
	var s service.Status
	if err := service.Call(ctx, g.http, http.MethodGet, "http://"+m.web()+"/status", &s); err != nil {
		return // dead, or not up yet: what to make of that is for those who wait for it
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// The answer of a process that was replaced meanwhile says nothing about its successor.
	if p := g.find(m.ID); p != nil && p.alive && p.cmd.Process.Pid == m.PID {
		p.status = s
	}
}

// read asks one member for the state, by a linearizable read.
func (g *group) read(ctx context.Context, m memberState) (answer, error) {
	a := answer{Member: m.ID}
	err := service.Call(ctx, g.http, http.MethodGet, "http://"+m.web()+"/get", &a.Reading)
	if err != nil {
		return a, fmt.Errorf("read from %s: %w", m.ID, err)
	}
	return a, nil
}

// state returns what is known of the members.
func (g *group) state() (all []memberState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.members {
		m := memberState{ID: p.id, Addr: p.addr, Alive: p.alive, Status: p.status}
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

// webs returns where the members serve clients.
func (g *group) webs() (addrs []string) {
	for _, m := range g.state() {
		addrs = append(addrs, m.web())
	}
	return addrs
}

// addresses returns the same, with the members' ids.
func (g *group) addresses() (list service.Addresses) {
	for _, m := range g.state() {
		list = append(list, service.Address{ID: m.ID, Addr: m.web()})
	}
	return list
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
