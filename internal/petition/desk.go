package petition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jraft-go/jraft/raft"
)

const (
	maxOpen    = 64 // petitions that are not decided
	maxDecided = 64 // whose replies are remembered
	// maxWaiting is how many requests of other members wait for a decision at once: they take up
	// places for the snapshot requests of all groups. Others are told to ask again.
	maxWaiting = 4
	pollTime   = time.Second     // that they wait at most
	neglected  = 5 * time.Second // after which a petition that nobody asks after is withdrawn
)

// Loop is what decides petitions. Its methods don't block.
type Loop interface {
	// Begin hands in a petition, on which Decide is then called once. An error: it was not taken.
	Begin(p *Petition) error
	// Withdraw tells that nobody waits for the petition any more. Decide is called all the same.
	Withdraw(p *Petition, cause error)
}

// Desk holds the petitions that came to this member. All methods may be called from several
// goroutines.
type Desk struct {
	loop Loop

	mu      sync.Mutex
	known   map[uint64]*Petition
	decided []uint64 // oldest first; the others in known are open
	waiting int
}

// NewDesk returns the desk in front of a loop.
func NewDesk(loop Loop) *Desk { return &Desk{loop: loop, known: make(map[uint64]*Petition)} }

// Petition is a request that this member has.
type Petition struct {
	Request
	// Ticket is for the loop to use.
	Ticket uint64

	desk  *Desk
	done  chan struct{} // closed when reply is set
	reply Reply
	late  *time.Timer // withdraws it when nobody asks after it; of other members' only
}

// errNeglected is why a petition is withdrawn that nobody asks after.
var errNeglected = errors.New("the member that asked for it does not ask any more")

// Decide sets the reply. What may be asked for again with another result is not remembered.
func (p *Petition) Decide(r Reply) {
	d := p.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-p.done:
		return // the first counts
	default:
	}
	p.reply = r
	close(p.done)
	if p.late != nil {
		p.late.Stop()
	}
	if again(p.Op, r.Err) {
		delete(d.known, p.ID)
		return
	}
	d.decided = append(d.decided, p.ID)
	if len(d.decided) > maxDecided {
		delete(d.known, d.decided[0])
		d.decided = slices.Delete(d.decided, 0, 1)
	}
}

// take returns the petition for a request, handed in if it is new.
func (d *Desk) take(r Request) (p *Petition, known bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, known = d.known[r.ID]; known {
		return p, true, nil
	}
	if len(d.known)-len(d.decided) >= maxOpen {
		return nil, false, fmt.Errorf("%w: %d changes and transfers are waiting", raft.ErrBusy, maxOpen)
	}
	p = &Petition{Request: r, desk: d, done: make(chan struct{})}
	if err := d.loop.Begin(p); err != nil {
		return nil, false, err
	}
	d.known[r.ID] = p
	return p, false, nil
}

// Ask hands in a request of this member itself and waits for the reply. When ctx ends the petition
// is withdrawn, and the reply tells what became of it.
func (d *Desk) Ask(ctx context.Context, r Request) Reply {
	p, known, err := d.take(r)
	if err != nil {
		return Reply{Err: err}
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		d.loop.Withdraw(p, ctx.Err())
		<-p.done
	}
	reply := p.reply
	reply.Known = known
	return reply
}

// Serve answers a request of another member.
func (d *Desk) Serve(ctx context.Context, request []byte) ([]byte, error) {
	r, err := DecodeRequest(request)
	if err != nil {
		return nil, err
	}
	p, known, err := d.take(r)
	if err != nil {
		return EncodeReply(&Reply{Err: err})
	}
	patience := neglected
	if r.Patience > 0 {
		patience = min(patience, r.Patience)
	}
	d.mu.Lock()
	if p.late != nil {
		p.late.Reset(patience)
	} else {
		p.late = time.AfterFunc(patience, func() { d.loop.Withdraw(p, errNeglected) })
	}
	wait := d.waiting < maxWaiting
	if wait {
		d.waiting++
	}
	d.mu.Unlock()
	reply := Reply{Pending: true}
	if wait {
		p.wait(ctx)
		d.mu.Lock()
		d.waiting--
		d.mu.Unlock()
	}
	select {
	case <-p.done:
		p.late.Stop()
		reply = p.reply
	default:
	}
	reply.Known = known
	return EncodeReply(&reply)
}

func (p *Petition) wait(ctx context.Context) {
	timer := time.NewTimer(pollTime)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
