package fsm

import (
	"fmt"
	"runtime/debug"

	"github.com/jraft-go/jraft/raft"
)

// Lead tells the applier which term this member leads; 0: none, and cause why no longer. The
// watcher's OnLeaderStart follows when the first entry of that term is applied, for only then the
// state holds everything that earlier leaders acknowledged (§8); OnLeaderStop only where
// OnLeaderStart went before. Calls may be left out: only the newest situation counts.
func (a *Applier) Lead(term raft.Term, cause error) error {
	a.leads = term
	if a.started != 0 && a.started != term {
		a.stopLeading(cause)
	}
	return a.fault
}

func (a *Applier) startLeading() {
	a.started = a.leads
	if a.leader != nil {
		a.leader.OnLeaderStart(a.leads)
	}
}

func (a *Applier) stopLeading(cause error) {
	a.started = 0
	if a.leader == nil {
		return
	}
	if cause == nil {
		cause = raft.ErrLeadershipLost
	}
	finished := false
	defer func() {
		if r := recover(); !finished && a.fault == nil {
			a.fault = fmt.Errorf("fsm: panic in OnLeaderStop: %v\n%s", r, debug.Stack())
		}
	}()
	a.leader.OnLeaderStop(cause)
	finished = true
}
