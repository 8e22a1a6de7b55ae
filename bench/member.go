package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// request is what a member's process is asked to do: one line of JSON on its standard input. Its
// end is the end of the process, so members never outlive who started them.
type request struct {
	Op    string        `json:"op"`
	Peers []peer        `json:"peers,omitempty"` // of opStart
	Cell  cell          `json:"cell"`            // of opLoad
	For   time.Duration `json:"for,omitempty"`   // of opLoad: to warm up; of opMeasure
}

const (
	opStart   = "start"
	opState   = "state"
	opLoad    = "load"    // starts the clients, and answers once they are warm
	opMeasure = "measure" // answers with the sample; the clients have ended
	opUsage   = "usage"
	opStop    = "stop"
)

// answer is one line too.
type answer struct {
	Error  string `json:"error,omitempty"`
	Addr   string `json:"addr,omitempty"`
	Leads  bool   `json:"leads,omitempty"`
	Sample sample `json:"sample"`
	Usage  usage  `json:"usage"`
}

// memberOptions are the arguments of a member's process.
type memberOptions struct {
	system, id, dir        string
	cpuProfile, memProfile string
}

// member is a member's process.
type member struct {
	options memberOptions
	system  system
	load    *load // nil: none
	done    uint64
	cpu     *os.File // nil: no profile is being taken
}

func runMember(o memberOptions, in io.Reader, out io.Writer) error {
	s, err := newSystem(o.system)
	if err != nil {
		return err
	}
	addr, err := s.listen(o.id, o.dir)
	if err != nil {
		return err
	}
	m := &member{options: o, system: s}
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	if err := answers.Encode(answer{Addr: addr}); err != nil {
		return err
	}
	for {
		var r request
		if err := requests.Decode(&r); err != nil {
			return nil // who started us is gone: so are we, without ado
		}
		a, err := m.do(r)
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil || r.Op == opStop {
			return err
		}
	}
}

func (m *member) do(r request) (a answer, err error) {
	switch r.Op {
	case opStart:
		if err = m.beginProfile(); err == nil {
			err = m.system.start(r.Peers)
		}
	case opState:
		a.Leads = m.system.leads()
	case opLoad:
		err = m.begin(r)
	case opMeasure:
		if m.load == nil {
			return a, errors.New("there is no load to measure")
		}
		a.Sample, err = m.load.measure(r.For)
		m.done, m.load = m.done+m.load.ops(), nil
		if err == nil && !m.system.leads() {
			err = errNotLeader // some of it went to another member
		}
	case opUsage:
		a.Usage = readUsage()
		a.Usage.Syncs, a.Usage.Ops = m.system.syncs(), m.done
		if m.load != nil {
			a.Usage.Ops += m.load.ops()
		}
	case opStop:
		err = errors.Join(m.endProfiles(), m.system.stop())
	default:
		err = fmt.Errorf("%q is nothing that a member can do", r.Op)
	}
	return a, err
}

func (m *member) begin(r request) error {
	if !m.system.leads() {
		return errNotLeader
	}
	m.load = startLoad(m.system, r.Cell)
	m.load.await(r.For)
	return nil
}

func (m *member) beginProfile() (err error) {
	if m.options.cpuProfile == "" {
		return nil
	}
	if m.cpu, err = os.Create(m.options.cpuProfile); err != nil {
		return err
	}
	return pprof.StartCPUProfile(m.cpu)
}

func (m *member) endProfiles() (err error) {
	if m.cpu != nil {
		pprof.StopCPUProfile()
		err = m.cpu.Close()
	}
	if m.options.memProfile == "" {
		return err
	}
	f, made := os.Create(m.options.memProfile)
	if made != nil {
		return errors.Join(err, made)
	}
	runtime.GC() // the heap profile is as of the last collection
	return errors.Join(err, pprof.WriteHeapProfile(f), f.Close())
}
