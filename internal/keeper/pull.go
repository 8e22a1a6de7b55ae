package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
	"github.com/jraft-go/jraft/transport"
)

// puller fetches snapshots of other members, one at a time.
type puller struct {
	wake  chan struct{} // capacity 1
	ended chan struct{} // closed when the goroutine has ended
	limit *rate.Limiter // nil: none
	// patience is how long to wait before the leader is asked for another snapshot: it may name one
	// time and again that it does not have.
	patience time.Duration

	mu     sync.Mutex
	next   pull
	cancel context.CancelFunc // ends the pull under way; nil: there is none
}

// pull is a snapshot to be fetched. The peer's id is empty where there is nothing to do.
type pull struct {
	from raft.Peer
	meta raft.SnapshotMeta
}

func newPuller(p snapshot.Policy) puller {
	return puller{wake: make(chan struct{}, 1), ended: make(chan struct{}), limit: newLimiter(p)}
}

// Pull begins to fetch a snapshot of another member; with a zero peer there is none to fetch any
// more. It replaces the pull under way; what that has fetched stays, and is used if it fits.
func (k *Keeper) Pull(from raft.Peer, meta raft.SnapshotMeta) {
	p := &k.puller
	p.mu.Lock()
	p.next = pull{from, meta}
	if p.cancel != nil {
		p.cancel()
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns the pull to do now, and its context.
func (p *puller) take(life context.Context) (pull, context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel()
	}
	next := p.next
	p.next = pull{}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(life)
	return next, ctx
}

// Fetches.
const (
	maxFetches       = 4 // outstanding
	firstPullBackoff = 20 * time.Millisecond
	maxPullBackoff   = time.Second
	fullPullBackoff  = 30 * time.Second
	arrivedInterval  = 100 * time.Millisecond
)

func (k *Keeper) runPuller() {
	defer close(k.puller.ended)
	defer k.o.Fail(errEnded)
	defer k.catch("puller")
	for {
		select {
		case <-k.life.Done():
			k.puller.take(k.life)
			return
		case <-k.puller.wake:
		}
		if p, ctx := k.puller.take(k.life); p.from.ID != "" {
			k.pull(ctx, p)
		}
	}
}

// pull fetches a snapshot, however often it takes, until it is here, can't be had or is not wanted
// any more.
func (k *Keeper) pull(ctx context.Context, p pull) {
	log := k.log.With("last", p.meta.Last.String(), "from", string(p.from.ID))
	log.Info("raft: fetching a snapshot", "bytes", p.meta.Bytes)
	for backoff := firstPullBackoff; ctx.Err() == nil; backoff = min(2*backoff, maxPullBackoff) {
		meta, err := k.fetch(ctx, p)
		var reader snapshot.Reader
		if err == nil {
			reader, err = k.o.Store.Open(meta.Last)
		}
		if err == nil {
			k.puller.patience = 0
			log.Info("raft: fetched a snapshot", "bytes", meta.Bytes)
			k.saver.covered(meta.Last.Index)
			if !k.o.Listener.Pulled(meta, stoppable{reader, k.life}) {
				k.close(reader)
			}
			k.collect()
			return
		}
		if ctx.Err() != nil {
			return
		}
		log.Warn("raft: fetch a snapshot", "error", err)
		if errors.Is(err, snapshot.ErrGone) {
			wait := &k.puller.patience
			if *wait = min(max(2**wait, firstPullBackoff), maxPullBackoff); pause(ctx, *wait) == nil {
				k.o.Listener.Pulled(p.meta, nil)
			}
			return
		}
		if errors.Is(err, raft.ErrDiskFull) { // what had come is gone: not all of it again each second
			backoff = max(backoff, fullPullBackoff)
		}
		_ = pause(ctx, backoff) // ctx is looked at by the loop
	}
}

// fetch fetches a snapshot once. The reception is this goroutine's; those that carry the requests
// hand the replies to it.
func (k *Keeper) fetch(ctx context.Context, p pull) (raft.SnapshotMeta, error) {
	r, err := k.o.Store.Receive(p.meta)
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	f := &fetching{keeper: k, pull: p, reception: r, width: 1,
		replies: make(chan fetchReply, maxFetches)}
	err = f.run(ctx)
	if err == nil {
		var meta raft.SnapshotMeta
		if meta, err = r.Commit(); err == nil {
			return meta, nil
		}
	}
	return raft.SnapshotMeta{}, errors.Join(err, r.Close())
}

// fetching carries the requests of one reception.
type fetching struct {
	keeper    *Keeper
	pull      pull
	reception snapshot.Reception
	replies   chan fetchReply
	under     int // way
	width     int // how many may be
	backoff   time.Duration
	buffers   [][]byte
	told      int64 // bytes, of those that are here
	warned    bool  // that nothing comes
}

type fetchReply struct {
	request, reply []byte
	buffer         []byte
	err            error
}

// run fetches until the reception is done or has failed or ctx ends; nothing is under way
// afterwards.
func (f *fetching) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		for f.under > 0 {
			f.settle(<-f.replies)
		}
	}()
	tick := time.NewTicker(arrivedInterval)
	defer tick.Stop()
	for !f.reception.Done() {
		if err := f.reception.Err(); err != nil {
			return err
		}
		if err := pause(ctx, f.backoff); err != nil {
			return err
		}
		for f.under < f.width {
			request, ok := f.reception.Next()
			if !ok {
				break
			}
			f.ask(ctx, request)
		}
		if f.under == 0 {
			return fmt.Errorf("keeper: snapshot %v: nothing more to ask for, and not complete",
				f.pull.meta.Last)
		}
		select {
		case got := <-f.replies:
			f.settle(got)
			if err := f.throttle(ctx, len(got.reply)); err != nil {
				return err
			}
		case <-tick.C:
			f.tell()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ask sends a request, from a goroutine of its own.
func (f *fetching) ask(ctx context.Context, request []byte) {
	var buffer []byte
	if last := len(f.buffers) - 1; last >= 0 {
		buffer, f.buffers = f.buffers[last], f.buffers[:last]
	}
	f.under++
	o := &f.keeper.o
	call := transport.Call{Cluster: o.Member.Cluster, Group: o.Member.Group, From: o.Member.ID,
		To: f.pull.from.ID, Into: buffer}
	go func() {
		reply, err := o.Transport.Fetch(ctx, f.pull.from.Addr, call, request)
		if err == nil {
			buffer = reply
		}
		f.replies <- fetchReply{request, reply, buffer, err}
	}()
}

// settle hands a reply to the reception. More requests are under way as long as all goes well, and
// one after an error: a slow connection must not be shared by so many that none comes to its end.
func (f *fetching) settle(got fetchReply) {
	f.under--
	err := got.err
	if err != nil {
		f.reception.Lost(got.request)
	} else {
		err = f.reception.Got(got.request, got.reply)
	}
	if err != nil {
		f.width = 1
		f.backoff = min(max(2*f.backoff, firstPullBackoff), maxPullBackoff)
		f.warn(err)
	} else {
		f.width, f.backoff = min(f.width+1, maxFetches), 0
	}
	f.buffers = append(f.buffers, got.buffer[:0])
}

// warn tells, once, that nothing comes for good: else nobody would ever see why.
func (f *fetching) warn(err error) {
	if f.backoff == maxPullBackoff && !f.warned && !errors.Is(err, context.Canceled) {
		f.warned = true
		f.keeper.log.Warn("raft: fetch a snapshot", "last", f.pull.meta.Last.String(),
			"from", string(f.pull.from.ID), "error", err)
	}
}

func (f *fetching) throttle(ctx context.Context, bytes int) error {
	if limit := f.keeper.puller.limit; limit != nil && bytes > 0 {
		return pause(ctx, limit.ReserveN(time.Now(), min(bytes, limit.Burst())).Delay())
	}
	return nil
}

// tell reports how far it is.
func (f *fetching) tell() {
	if bytes := f.reception.Bytes(); bytes != f.told {
		f.told = bytes
		f.keeper.o.Listener.Arrived(f.pull.meta.Last, bytes)
	}
}

func (k *Keeper) close(r snapshot.Reader) {
	if err := r.Close(); err != nil {
		k.log.Warn("raft: close a snapshot", "error", err)
	}
}
