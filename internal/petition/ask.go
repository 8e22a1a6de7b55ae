package petition

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Asker asks the leader, whoever that is at the moment.
type Asker struct {
	Self      transport.Member
	Transport transport.Transport
	Desk      *Desk                               // for while this member leads
	Leader    func() (raft.Peer, <-chan struct{}) // who leads, and what is closed when that changes
	Ended     func() error                        // why this member has ended; nil: it has not
	Life      context.Context                     // of this member
	Pause     time.Duration                       // between two attempts, unless the leader changes
}

// fetchTime is how long an answer is waited for; a leader that lives gives one every pollTime.
const fetchTime = 3 * pollTime

// again reports whether a request is worth asking for once more: its error says that the one who
// was asked could not decide, not what was decided.
func again(op Op, err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrNoLeader) ||
		errors.Is(err, raft.ErrLeadershipLost) ||
		op == OpChange && errors.Is(err, raft.ErrTransferring)
}

// attempts is what is known of a request that has been asked for.
type attempts struct {
	// suspect was asked and has not answered: it may be at it.
	suspect raft.PeerID
	// unsure: one that was asked before may have done it, or may still do it.
	unsure bool
	last   error // why it is asked for again
}

// NewID draws the id of a request.
func NewID() uint64 {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return binary.LittleEndian.Uint64(id[:])
}

// Do asks until there is a decision, until ctx ends or until this member does. A request that was
// asked for in vain is asked of the next leader, even if the last one may have carried it out: it
// says what is wanted, not what is to be done, so nothing is done twice.
func (a *Asker) Do(ctx context.Context, r Request) Reply {
	r.ID = NewID()
	at := attempts{last: raft.ErrNoLeader}
	for {
		leader, changed := a.Leader()
		if err := a.Ended(); err != nil {
			return Reply{Err: err, Unknown: at.unsure || at.suspect != ""}
		}
		if err := ctx.Err(); err != nil {
			err = fmt.Errorf("%w: %w", at.last, err)
			return Reply{Err: err, Unknown: at.unsure || at.suspect != ""}
		}
		if reply, decided := a.once(ctx, &r, leader, &at); decided {
			return reply
		}
		a.pause(ctx, changed)
	}
}

func (a *Asker) pause(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(a.Pause)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	case <-a.Life.Done():
	}
}

// once asks one leader one time.
func (a *Asker) once(
	ctx context.Context, r *Request, leader raft.Peer, at *attempts,
) (_ Reply, decided bool) {
	if leader.ID == "" {
		return Reply{}, false
	}
	if at.suspect != "" && at.suspect != leader.ID {
		at.suspect, at.unsure = "", true
		if r.Op == OpTransfer && (r.To == "" || r.To == leader.ID) {
			return Reply{To: leader.ID}, true
		}
	}
	reply, answered := a.ask(ctx, r, leader)
	switch {
	case !answered || reply.Pending:
		at.suspect = leader.ID
		if reply.Err != nil {
			at.last = reply.Err
		}
		return reply, false
	case at.suspect == leader.ID && !reply.Known: // it may have been started anew meanwhile
		at.unsure = true
	}
	at.suspect = ""
	at.unsure = at.unsure || reply.Unknown
	if again(r.Op, reply.Err) {
		at.last = reply.Err
		return reply, false
	}
	reply.Unknown = reply.Err != nil && at.unsure
	return reply, true
}

// ask returns answered false if the leader may have got the request without its answer having
// arrived.
func (a *Asker) ask(
	ctx context.Context, r *Request, leader raft.Peer,
) (reply Reply, answered bool) {
	if leader.ID == a.Self.ID {
		return a.Desk.Ask(ctx, *r), true
	}
	if end, ok := ctx.Deadline(); ok {
		r.Patience = max(time.Until(end), time.Millisecond)
	}
	wire, err := EncodeRequest(r)
	if err != nil {
		return Reply{Err: err}, true
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	defer context.AfterFunc(a.Life, cancel)()
	answer, err := a.Transport.Fetch(ctx, leader.Addr, transport.Call{
		Cluster: a.Self.Cluster, Group: a.Self.Group, From: a.Self.ID, To: leader.ID,
	}, wire)
	switch {
	case errors.Is(err, raft.ErrTooLarge), errors.Is(err, raft.ErrWrongCluster):
		return Reply{Err: err}, true
	case errors.Is(err, transport.ErrNoMember), errors.Is(err, raft.ErrBusy):
		return Reply{Err: fmt.Errorf("%w: %w", raft.ErrNoLeader, err)}, true
	case err == nil:
		reply, err = DecodeReply(answer)
	}
	if err != nil {
		return Reply{Err: fmt.Errorf("%w: %w", raft.ErrNoLeader, err)}, false
	}
	if errors.Is(reply.Err, raft.ErrStopped) || errors.Is(reply.Err, raft.ErrFailed) {
		reply.Err = fmt.Errorf("%w: the last one, %s: %s", raft.ErrNoLeader, leader.ID, reply.Err.Error())
	}
	return reply, true
}
