package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// group is the three processes of a group whose state is large. Each can be killed and
// started again.
type group struct {
	dir     string
	peers   []peer
	members []*process
	limit   int64 // bytes per second of a transfer; -1: none; 0: the default
}

// process is one of them; command is nil while it does not run.
type process struct {
	peer
	dir      string
	command  *exec.Cmd
	in       io.WriteCloser
	tasks    *json.Encoder
	outcomes *json.Decoder
}

func newGroup(dir string) (*group, error) {
	g := &group{dir: dir}
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // when all have an address
		p := peer{ID: "n" + strconv.Itoa(i+1), Addr: l.Addr().String()}
		g.peers = append(g.peers, p)
		one := &process{peer: p, dir: filepath.Join(dir, p.ID)}
		g.members = append(g.members, one)
		if err := os.MkdirAll(one.dir, 0o755); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// start runs a member. It returns its resident memory before the member was started in it.
func (g *group) start(p *process) (base int64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	c := exec.Command(self, memberCommand, p.ID, p.dir, p.Addr)
	c.Stderr = os.Stderr
	if p.in, err = c.StdinPipe(); err != nil {
		return 0, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	p.command, p.tasks, p.outcomes = c, json.NewEncoder(p.in), json.NewDecoder(out)
	<-time.After(baseAfter)
	base, _ = p.memory()
	_, err = p.ask(task{Op: taskStart, Peers: g.peers, Limit: g.limit})
	return base, err
}

// baseAfter is the time a process has to come to rest before its memory is looked at.
const baseAfter = 300 * time.Millisecond

func (p *process) ask(t task) (o outcome, err error) {
	if err = p.tasks.Encode(t); err == nil {
		err = p.outcomes.Decode(&o)
	}
	if err == nil && o.Error != "" {
		err = errors.New(o.Error)
	}
	if err != nil {
		err = fmt.Errorf("member %s: %s: %w", p.ID, t.Op, err)
	}
	return o, err
}

// kill ends the process with SIGKILL.
func (p *process) kill() error {
	if p.command == nil {
		return nil
	}
	err := p.command.Process.Kill()
	_ = p.command.Wait() // it says that it was killed
	p.command = nil
	return err
}

func (g *group) killAll() (err error) {
	for _, p := range g.members {
		err = errors.Join(err, p.kill())
	}
	return err
}

// memory returns the resident memory of now and at its peak; zeros where /proc does not tell.
func (p *process) memory() (now, peak int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak
}

// forgetPeak begins the peak of memory anew; it returns the memory of now.
func (p *process) forgetPeak() (int64, error) {
	name := fmt.Sprintf("/proc/%d/clear_refs", p.command.Process.Pid)
	if err := os.WriteFile(name, []byte("5"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	now, _ := p.memory()
	return now, nil
}

const (
	installWithin = 5 * time.Minute
	leaderWithin  = 30 * time.Second
	pollEvery     = 10 * time.Millisecond
)

// await asks a member for its state until it is as wanted.
func (p *process) await(what string, cond func(outcome) bool) (outcome, error) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for end := time.Now().Add(installWithin); time.Now().Before(end); <-poll.C {
		o, err := p.ask(task{Op: taskState})
		if err != nil || cond(o) {
			return o, err
		}
	}
	return outcome{}, fmt.Errorf("member %s: %s did not happen within %v", p.ID, what, installWithin)
}

// leader waits until one of those leads, and returns the other, too.
func (g *group) leader(of ...*process) (leader, other *process, err error) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for end := time.Now().Add(leaderWithin); time.Now().Before(end); <-poll.C {
		for i, p := range of {
			o, err := p.ask(task{Op: taskState})
			if err != nil {
				return nil, nil, err
			}
			if o.Leads {
				return p, of[(i+1)%len(of)], nil
			}
		}
	}
	return nil, nil, fmt.Errorf("no leader within %v", leaderWithin)
}
