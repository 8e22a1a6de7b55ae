package main

import (
	"errors"
	"fmt"
)

// peer is one of the three members.
type peer struct {
	ID   string `json:"id"`
	Addr string `json:"addr"`
}

// system is one member of a replicated system, in a process of its own. To measure another
// library, implement this and name it in newSystem. The calls come in the order of the methods;
// apply and read from many goroutines at once, on the leader only.
type system interface {
	// listen opens whatever port the others will reach this member at, on loopback.
	listen(id, dir string) (addr string, err error)
	// start runs the member; the first peer is the one to lead, where the system lets that be chosen.
	start(peers []peer) error
	// leads reports whether apply and read will be served by this member itself.
	leads() bool
	// apply returns once cmd is durable on a majority and applied here. Cmd may be used again then.
	apply(cmd []byte) error
	// read returns once the local state may be read linearizably; errNoReads if the system has none.
	read() error
	// syncs is how many times this member has synced a file.
	syncs() uint64
	stop() error
}

const (
	nameJraft       = "jraft"
	nameIdeal       = "ideal"
	nameIdealAppend = "ideal-append"
)

// ideals are what the others' throughput is compared with.
var ideals = [...]string{nameIdeal, nameIdealAppend}

var (
	errNotLeader = errors.New("this member does not lead")
	errNoReads   = errors.New("this system has no reads")
)

func newSystem(name string) (system, error) {
	switch name {
	case nameIdeal:
		return &ideal{disk: &ring{}}, nil
	case nameIdealAppend:
		return &ideal{disk: &grown{}}, nil
	case nameJraft:
		return &jraft{}, nil
	}
	return nil, fmt.Errorf("there is no system %q", name)
}
