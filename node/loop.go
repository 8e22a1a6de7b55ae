package node

import (
	"context"
	"math"
	"runtime"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/await"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/edge"
	"github.com/jraft-go/jraft/internal/petition"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// loop is what the goroutine of that name owns: the core, and what it remembers of those that wait.
// It never waits for anything but work.
type loop struct {
	*Node
	core *core.Core
	out  core.Output
	work work // taken from the inbox, and not yet given to the core

	proposals []core.Proposal // given to the core at once; reused
	unplaced  await.Unplaced[waiter]
	placed    await.Placed[waiter]
	reads     await.Reads
	petitions map[uint64]*petition.Petition // given to the core and not decided
	petition  uint64                        // the ticket given last
	resets    []*resetCall                  // done by the core, and not durable yet
	member    bool                          // this one was in some configuration
	strangers int                           // that were reported

	given     raft.Index        // the last index given to the applier
	told      raft.Index        // the last index that the core knows to be applied
	applying  fsm.Work          // being put together for the applier; reused
	readers   []snapshot.Reader // of snapshots that were fetched, until the core has decided
	outbox    edge.Outbox
	published time.Duration // when the status was published last
	stale     bool          // something may have changed since then
}

// publishInterval is how old a published status may be while the member is busy.
const publishInterval = 10 * time.Millisecond

// now is the time that the core goes by: monotonic, from the member's start.
func (n *Node) now() time.Duration { return time.Since(n.epoch) }

func (l *loop) run() {
	defer l.shutdown()
	defer l.catch("loop")
	timer := time.NewTimer(0)
	defer timer.Stop()
	armed := time.Duration(0) // when the timer fires
	for {
		select {
		case <-l.inbox.wake:
		case <-timer.C:
			armed = math.MaxInt64
		case <-l.ending:
			return
		}
		// Whoever is about to call gets to do so first: what is taken together costs one write and one
		// message to each peer, and results wake many callers at once.
		runtime.Gosched()
		l.inbox.take(&l.work)
		now := l.now()
		l.feed(now)
		for l.core.Take(&l.out) {
			l.dispatch(now)
		}
		l.closeReaders()
		l.finishResets(now)
		// A timer that fires too early costs one idle turn; setting it anew each time would cost more.
		if next := l.nextTurn(now); next < armed {
			timer.Reset(max(next-now, 0))
			armed = next
		}
	}
}

// feed tells the core what happened.
func (l *loop) feed(now time.Duration) {
	c, w := l.core, &l.work
	if w.written > 0 {
		c.Written(now, w.written)
		w.written = 0
	}
	if i := l.applied.Index(); i > l.told {
		l.told = i
		c.Applied(now, i)
	}
	l.feedSnapshots(now)
	for _, f := range w.fetched {
		c.Fetched(now, f.peer, f.entries)
	}
	l.receive(now)
	l.propose(now)
	l.feedPetitions(now)
	l.startReads(now)
	if now >= c.NextDeadline() {
		c.Tick(now)
	}
}

// receive gives the core the messages that came, and between them the ends of streams.
func (l *loop) receive(now time.Duration) {
	next := 0
	for _, b := range l.work.breaks {
		for ; next < b.after; next++ {
			l.core.Receive(now, l.work.messages[next])
		}
		l.core.Broken(now, b.from)
	}
	for ; next < len(l.work.messages); next++ {
		l.core.Receive(now, l.work.messages[next])
	}
}

func (l *loop) propose(now time.Duration) {
	queue := l.work.proposals
	if len(queue) == 0 {
		return
	}
	for _, w := range queue {
		if w.Abandoned() { // nobody waits any more, and it has not been sent
			l.refuse(w, raft.NotAppended, context.Canceled)
			continue
		}
		l.proposals = append(l.proposals, core.Proposal{
			ID: l.unplaced.Add(w), Data: w.command,
			ExpectTerm: w.options.expectTerm, NoForward: w.options.noForward,
			Restore: w.options.restore,
		})
	}
	clear(queue)
	l.work.proposals = queue[:0] // in unplaced from here on
	l.core.Propose(now, l.proposals)
	for i := range l.proposals {
		l.proposals[i].Data = nil
	}
	l.proposals = l.proposals[:0]
}

// dispatch hands out what the core wants done. None of it waits.
func (l *loop) dispatch(now time.Duration) {
	o := &l.out
	if o.Write.Seq != 0 {
		l.writer.Add(o.Write)
	}
	l.outbox.Send(o.Messages, l.core, l.opts.Transport)
	for _, f := range o.Fetches {
		l.reader.Add(f)
	}
	if o.Changed { // first, so that errors name the new leader
		l.situate(now, o.Cause)
	}
	for i := range o.Placed {
		l.place(&o.Placed[i])
	}
	if o.Lost != 0 {
		for _, w := range l.placed.Lose(o.Lost, o.Committed) {
			l.refuse(w, raft.Unknown, raft.ErrLeadershipLost)
		}
	}
	l.apply()
	if o.Restore != nil {
		l.restore(*o.Restore)
	}
	if o.Pull != nil {
		l.pull(o.Pull)
	}
	for _, r := range o.Reads {
		l.finishReads(r)
	}
	l.decide(now)
	l.stale = true
}

// place notes where a command stands in the log, or tells its proposer that it does not.
func (l *loop) place(p *core.Placed) {
	w := l.unplaced.Remove(p.ID)
	w.dropLarge()
	switch {
	case p.Err != nil && p.Unknown:
		l.refuse(w, raft.Unknown, p.Err)
	case p.Err != nil:
		l.refuse(w, raft.NotAppended, p.Err)
	case p.At.Index <= l.given:
		l.applying.Late = append(l.applying.Late, fsm.Late{At: p.At, Waiter: w})
	default:
		w.at = p.At
		l.placed.Add(w.at, w)
	}
}

// apply gives the applier the entries that are committed, together with those that wait for them.
func (l *loop) apply() {
	o, a := &l.out, &l.applying
	keep := l.unplaced.Len() > 0
	if len(o.Apply) == 0 && len(a.Late) == 0 && !o.Changed && keep == a.Keep {
		return
	}
	a.Entries, a.Keep = o.Apply, keep
	for i := range o.Apply {
		a.Waiters = append(a.Waiters, l.attach(o.Apply[i].ID()))
	}
	if n := len(o.Apply); n > 0 {
		l.given = o.Apply[n-1].Index
	}
	l.applier.Give(a)
	clear(a.Waiters)
	clear(a.Late)
	a.Entries, a.Waiters, a.Late, a.Cause = nil, a.Waiters[:0], a.Late[:0], nil
}

// attach returns who waits for the entry id, nil if nobody does. Those who wait for another entry
// at that index learn that theirs will never be committed: this one is (§5.4.3, State Machine
// Safety).
func (l *loop) attach(id raft.LogID) (found fsm.Waiter) {
	for {
		w := l.placed.Next(id.Index)
		if w == nil {
			return found
		}
		if w.at == id && found == nil {
			found = w
			continue
		}
		l.refuse(w, raft.NotAppended, raft.ErrLeadershipLost)
	}
}

// situate follows a change of role, term or leader.
func (l *loop) situate(now time.Duration, cause error) {
	s := l.out.Situation
	l.applying.Leads = 0
	if s.Role == core.Leader {
		l.applying.Leads = s.Term
	}
	if cause != nil {
		l.applying.Cause = cause
	}
	log := l.log
	if cause != nil {
		log = log.With("cause", cause)
	}
	log.Info("raft: role", "role", s.Role.String(), "term", uint64(s.Term), "leader", string(s.Leader))
	l.publish(now)
}

// nextTurn returns when the loop must run again even if nothing happens, and publishes the status
// if that is due.
func (l *loop) nextTurn(now time.Duration) time.Duration {
	next := l.core.NextDeadline()
	if !l.stale {
		return next
	}
	if due := l.published + publishInterval; now < due {
		return min(next, due)
	}
	l.publish(now)
	return next
}

func (l *loop) startReads(now time.Duration) {
	group := l.work.reads
	if len(group) == 0 {
		return
	}
	id := l.reads.Add(group)
	clear(group)
	l.work.reads = group[:0] // in reads from here on
	l.core.Read(now, id)
}

// finishReads passes on what the core found for a group of reads.
func (l *loop) finishReads(ready core.ReadReady) {
	group := l.reads.Remove(ready.ID)
	for _, r := range group {
		err := ready.Err
		if err == nil {
			r.Until = max(r.Until, ready.Index)
			err = l.applied.Add(r)
		}
		if err != nil {
			r.Err = err
			r.Complete()
		}
	}
	l.reads.Reuse(group)
}
