package keeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// saver takes snapshots, one at a time: by the policy, and on request.
type saver struct {
	wake  chan struct{} // capacity 1
	ended chan struct{} // closed when the goroutine has ended
	// The restore that keeps the goroutine from taking one, as it was last seen to go on.
	waitsFor   fsm.Restoring
	waitsSince time.Time

	mu      sync.Mutex
	policy  snapshot.Policy
	rand    *rand.Rand
	applied raft.Index // as the applier has told
	bytes   int64      // applied since the start
	since   raft.Index // what the newest snapshot covers
	from    int64      // bytes at that moment
	at      time.Time  // when it was taken
	// The next one is due after so many entries or bytes, or so long; 0: never.
	entries raft.Index
	size    int64
	every   time.Duration
	damaged bool     // one is due because the newest was damaged
	attempt *attempt // asked for or under way; nil: none
	working bool
}

// attempt is one snapshot being taken. What it came to is there when done is closed.
type attempt struct {
	done chan struct{}
	meta raft.SnapshotMeta
	err  error
}

func (s *saver) init(o *Options, covered raft.Index) {
	s.wake, s.ended = make(chan struct{}, 1), make(chan struct{})
	s.policy, s.rand = o.Policy, rand.New(rand.NewPCG(o.Seed, 0))
	s.draw(covered, 0)
}

// draw begins to count anew after a snapshot.
func (s *saver) draw(covered raft.Index, bytes int64) {
	spread := func(n int64) int64 { return int64(float64(n) * (0.75 + s.rand.Float64()/2)) }
	s.since, s.from, s.at = covered, bytes, time.Now()
	s.entries, s.size, s.every = 0, 0, time.Duration(spread(int64(s.policy.Every)))
	s.damaged = false
	if n := s.policy.Entries; n > 0 {
		s.entries = raft.Index(max(1, spread(int64(n))))
	}
	if n := s.policy.Bytes; n > 0 {
		s.size = max(1, spread(n))
	}
}

// Applied tells up to where entries were applied, and how many bytes of them since the start. It is
// called by the applying goroutine.
func (k *Keeper) Applied(applied raft.Index, bytes int64) {
	s := &k.saver
	s.mu.Lock()
	s.applied, s.bytes = applied, bytes
	due := s.due()
	s.mu.Unlock()
	if due {
		s.call()
	}
}

// saved tells of a snapshot that was taken when so many bytes were applied.
func (s *saver) saved(last raft.Index, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last >= s.since {
		s.draw(last, bytes)
	}
}

// covered tells of a snapshot that is there, however it came.
func (s *saver) covered(last raft.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last >= s.since {
		s.draw(last, s.bytes)
	}
}

// newest returns what the newest snapshot covers that ever was here.
func (s *saver) newest() raft.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// due runs with the lock held. It looks at what is, not at what has happened: no snapshot is
// forgotten because another one was under way or has failed.
func (s *saver) due() bool {
	if s.damaged {
		return true
	}
	if s.applied <= s.since {
		return false
	}
	return s.entries > 0 && s.applied-s.since >= s.entries ||
		s.size > 0 && s.bytes-s.from >= s.size ||
		s.every > 0 && time.Since(s.at) >= s.every
}

// replace makes another snapshot due.
func (s *saver) replace() {
	s.mu.Lock()
	s.damaged = true
	s.mu.Unlock()
	s.call()
}

func (s *saver) call() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// join asks for a snapshot, or joins the one that is asked for or under way.
func (s *saver) join() *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt == nil {
		s.attempt = &attempt{done: make(chan struct{})}
	}
	s.call()
	return s.attempt
}

// begin returns what to do now; nil: nothing. After a failure the policy waits for quiet to pass.
func (s *saver) begin(quiet bool) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt == nil && !quiet && s.due() {
		s.attempt = &attempt{done: make(chan struct{})}
	}
	s.working = s.attempt != nil
	return s.attempt
}

func (s *saver) finish(a *attempt, meta raft.SnapshotMeta, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.meta, a.err = meta, err
	close(a.done)
	s.attempt, s.working = nil, false
}

// next returns how long nothing is due by the time; 0: the time does not matter, or it has passed
// and the next entry that is applied makes one due.
func (s *saver) next() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.every == 0 {
		return 0
	}
	return max(time.Until(s.at.Add(s.every)), 0)
}

// Saving reports whether a snapshot is being taken.
func (k *Keeper) Saving() bool {
	s := &k.saver
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.working
}

const (
	firstSaveBackoff = 250 * time.Millisecond
	maxSaveBackoff   = time.Minute
)

// runSaver takes snapshots. What goes wrong is the caller's to know, and is tried again later as
// long as the policy asks for it; a panic in user code fails the member.
func (k *Keeper) runSaver() {
	defer close(k.saver.ended)
	defer k.o.Fail(errEnded)
	defer k.catch("saver")
	s := &k.saver
	timer := time.NewTimer(0)
	defer timer.Stop()
	backoff := time.Duration(0)
	var quietUntil time.Time
	for {
		select {
		case <-k.life.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		quiet := time.Until(quietUntil)
		if a := s.begin(quiet > 0); a != nil {
			meta, err := k.save()
			s.finish(a, meta, err)
			backoff = nextBackoff(backoff, err)
			if quiet = backoff; backoff > 0 && k.life.Err() == nil {
				k.unsaved(err, backoff)
			}
			quietUntil = time.Now().Add(quiet)
			s.call() // there may be another one due
		}
		switch next := s.next(); {
		case quiet > 0:
			timer.Reset(quiet)
		case next > 0:
			timer.Reset(next)
		}
	}
}

// giveUpAfter is how long a restore may rest before whoever wants to take a snapshot ends it: the
// member that has proposed it may be gone.
const giveUpAfter = 30 * time.Second

// unsaved tells why no snapshot was taken. While a backup is being restored none can be.
func (k *Keeper) unsaved(err error, again time.Duration) {
	s := &k.saver
	var r *fsm.Restoring
	if !errors.As(err, &r) {
		k.log.Error("raft: take a snapshot", "error", err, "again", again)
		return
	}
	if s.waitsFor != *r {
		s.waitsFor, s.waitsSince = *r, time.Now()
	} else if time.Since(s.waitsSince) > giveUpAfter {
		k.log.Warn("raft: ending a restore that nobody goes on with", "began", uint64(r.First))
		k.giveUp(r.ID)
	}
}

func nextBackoff(last time.Duration, err error) time.Duration {
	switch {
	case err == nil:
		return 0
	case last == 0, errors.Is(err, raft.ErrBusy):
		return firstSaveBackoff
	}
	return min(2*last, maxSaveBackoff)
}

// save takes one snapshot of everything that is applied, unless there is one.
func (k *Keeper) save() (raft.SnapshotMeta, error) {
	if meta, ok := k.o.Store.Newest(); ok && meta.Last.Index >= k.o.Applied() {
		k.saver.covered(meta.Last.Index)
		return meta, nil
	}
	cut, err := k.pin()
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	release := sync.OnceFunc(cut.Saver.Release)
	defer release()
	w, err := k.o.Store.Create(cut.Last, cut.Configuration)
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	defer w.Abort() // nothing once it is published
	k.log.Info("raft: taking a snapshot", "last", cut.Last.String())
	err = cut.Saver.Save(k.life, w)
	if err == nil {
		err = k.life.Err() // what an interrupted Save has written may not be all
	}
	if err != nil {
		return raft.SnapshotMeta{}, fmt.Errorf("keeper: the state machine failed to save its state "+
			"at %v: %w", cut.Last, err)
	}
	release()
	meta, err := w.Commit()
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	k.log.Info("raft: took a snapshot", "last", meta.Last.String(), "bytes", meta.Bytes,
		"files", meta.Files)
	k.saver.saved(meta.Last.Index, cut.Bytes)
	k.o.Listener.Saved(meta)
	k.collect()
	return meta, nil
}

// pin has the applier make a cut. Once it has, the cut is ours to release: so the wait ends only
// with the applier.
func (k *Keeper) pin() (cut fsm.Cut, err error) {
	taken := make(chan struct{})
	k.applier.Pin(func(c fsm.Cut, e error) {
		cut, err = c, e
		close(taken)
	})
	select {
	case <-taken:
		return cut, err
	case <-k.applier.Ended():
	}
	select {
	case <-taken:
		return cut, err
	default:
		return fsm.Cut{}, context.Cause(k.life)
	}
}

// Snapshot takes a snapshot of everything up to the index want, which is applied. It joins the one
// under way if that covers enough.
func (k *Keeper) Snapshot(ctx context.Context, want raft.Index) (raft.SnapshotMeta, error) {
	for {
		a := k.saver.join()
		var err error
		select {
		case <-a.done:
			err = a.err
		case <-ctx.Done():
			err = ctx.Err()
		case <-k.life.Done():
		}
		if ended := context.Cause(k.life); ended != nil {
			err = ended
		}
		if err != nil {
			return raft.SnapshotMeta{}, err
		}
		if a.meta.Last.Index >= want {
			return a.meta, nil
		}
	}
}
