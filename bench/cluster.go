package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// cluster is three processes of one system.
type cluster struct {
	system  string
	members []*process
}

const members = 3

// process is a member as seen from outside.
type process struct {
	id       string
	command  *exec.Cmd
	in       io.WriteCloser
	requests *json.Encoder
	answers  *json.Decoder
	addr     string
}

// startCluster starts the processes and waits for a leader.
func startCluster(system string, o options) (*cluster, error) {
	c := &cluster{system: system}
	var peers []peer
	for i := range members {
		p, err := startMember(system, fmt.Sprintf("n%d", i+1), o)
		if err != nil {
			return nil, errors.Join(err, c.stop())
		}
		c.members = append(c.members, p)
		peers = append(peers, peer{ID: p.id, Addr: p.addr})
	}
	// The leader of ideal is the first, and needs the others to listen; all do by now.
	for _, p := range c.members {
		if _, err := p.ask(request{Op: opStart, Peers: peers}); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	if _, err := c.leader(); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func startMember(system, id string, o options) (*process, error) {
	dir := filepath.Join(o.dir, system+"-"+id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	args := []string{memberCommand, "-system", system, "-id", id, "-dir", dir}
	if system == nameJraft && o.cpuProfile != "" {
		args = append(args, "-cpuprofile", o.cpuProfile+"."+id)
	}
	if system == nameJraft && o.memProfile != "" {
		args = append(args, "-memprofile", o.memProfile+"."+id)
	}
	return startProcess(id, args...)
}

// startProcess runs this program with other arguments, and waits until it tells its address.
func startProcess(id string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{id: id, command: exec.Command(self, args...)}
	p.command.Stderr = os.Stderr
	p.in, err = p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	p.requests, p.answers = json.NewEncoder(p.in), json.NewDecoder(out)
	a, err := p.answer()
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	p.addr = a.Addr
	return p, nil
}

func (p *process) ask(r request) (answer, error) {
	if err := p.requests.Encode(r); err != nil {
		return answer{}, fmt.Errorf("member %s: %s: %w", p.id, r.Op, err)
	}
	a, err := p.answer()
	if err != nil {
		return a, fmt.Errorf("member %s: %s: %w", p.id, r.Op, err)
	}
	return a, nil
}

func (p *process) answer() (a answer, err error) {
	if err := p.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("its process has ended: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// end ends the process: without its standard input it does so by itself, unless it hangs.
func (p *process) end() error {
	_ = p.in.Close()
	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(stopWithin):
		return errors.Join(fmt.Errorf("member %s hangs", p.id), p.command.Process.Kill(), <-ended)
	}
}

const (
	leaderWithin = 30 * time.Second
	stopWithin   = 10 * time.Second
)

// leader waits until a member leads.
func (c *cluster) leader() (*process, error) {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(leaderWithin); time.Now().Before(end); <-poll.C {
		for _, p := range c.members {
			a, err := p.ask(request{Op: opState})
			if err != nil {
				return nil, err
			}
			if a.Leads {
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("%s: no leader within %v", c.system, leaderWithin)
}

const tries = 3

// run measures a cell. The leader may change meanwhile; then it is measured again.
func (c *cluster) run(one cell, o options) (m measurement, err error) {
	for range tries {
		var p *process
		if p, err = c.leader(); err != nil {
			return m, err
		}
		if m, err = c.runOn(p, one, o); err == nil {
			return m, nil
		}
	}
	return m, fmt.Errorf("%s: %v: %w", c.system, one, err)
}

func (c *cluster) runOn(leader *process, one cell, o options) (m measurement, err error) {
	m = measurement{Type: typeCell, System: c.system, Leader: leader.id, Cell: one}
	if _, err = leader.ask(request{Op: opLoad, Cell: one, For: o.warm}); err != nil {
		return m, err
	}
	before, err := c.usage()
	if err != nil {
		return m, err
	}
	a, err := leader.ask(request{Op: opMeasure, For: o.time})
	if err != nil {
		return m, err
	}
	after, err := c.usage()
	if err != nil {
		return m, err
	}
	m.sample = a.Sample
	m.HeapBytes = after.Heap
	after.subtract(before)
	if ops := float64(after.Ops); ops > 0 {
		m.CPUMillisPerOp = float64(after.CPUNanos) / ops / 1e6
		m.AllocsPerOp = float64(after.Allocs) / ops
		m.BytesPerOp = float64(after.Bytes) / ops
		m.SwitchesPerOp = float64(after.Switches) / ops
		m.SyncsPerOp = float64(after.Syncs) / ops
	}
	return m, nil
}

// usage adds up what the members have used.
func (c *cluster) usage() (sum usage, err error) {
	for _, p := range c.members {
		a, err := p.ask(request{Op: opUsage})
		if err != nil {
			return sum, err
		}
		sum.add(a.Usage)
	}
	return sum, nil
}

func (c *cluster) stop() (err error) {
	for _, p := range c.members {
		_, stopped := p.ask(request{Op: opStop})
		err = errors.Join(err, stopped, p.end())
	}
	return err
}
