package keeper

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

const (
	// minBytesPerSecond lets a piece of 1 MiB pass in half a minute. More would be too long: a source
	// forgets after a minute who fetches a snapshot, and removes it.
	minBytesPerSecond = 32 << 10
	maxServing        = 8 // requests answered at once
	// maxThrottled is how long a reply may be held back; what would take longer is refused, for the
	// asking side to come again, instead of waiting until that gives up.
	maxThrottled = 5 * time.Second
)

// server answers other members' requests for pieces of snapshots.
type server struct {
	limit   *rate.Limiter // nil: none
	serving atomic.Int64
	replies sync.Pool // of *[]byte
}

// newLimiter allows any piece at once, and the next when it has paid for this one.
func newLimiter(p snapshot.Policy) *rate.Limiter {
	if p.BytesPerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(p.BytesPerSecond), snapshot.MaxReplyBytes)
}

func newServer(p snapshot.Policy) server { return server{limit: newLimiter(p)} }

// Serve answers a request of another member, as transport.Server says.
func (k *Keeper) Serve(ctx context.Context, request []byte) ([]byte, error) {
	s := &k.server
	defer s.serving.Add(-1)
	if s.serving.Add(1) > maxServing {
		return nil, fmt.Errorf("keeper: %w: %d requests are being served", raft.ErrBusy, maxServing)
	}
	if s.spent() { // before the disk is read
		return nil, errThrottled
	}
	into, ok := s.replies.Get().(*[]byte)
	if !ok {
		into = new([]byte)
	}
	reply, err := k.o.Store.Serve(k.o.Now(), request, *into)
	if err == nil {
		err = s.throttle(ctx, len(reply))
	}
	if err != nil {
		s.replies.Put(into)
		return nil, err
	}
	k.replaceDamaged()
	return reply, nil
}

// Release takes back the memory of a reply.
func (k *Keeper) Release(reply []byte) { k.server.replies.Put(&reply) }

var errThrottled = fmt.Errorf("keeper: %w: the limit of bytes per second is reached", raft.ErrBusy)

// spent reports whether a full piece would be refused now.
func (s *server) spent() bool {
	if s.limit == nil {
		return false
	}
	missing := snapshot.MaxReplyBytes - s.limit.Tokens()
	return missing > float64(s.limit.Limit())*maxThrottled.Seconds()
}

func (s *server) throttle(ctx context.Context, bytes int) error {
	if s.limit == nil {
		return nil
	}
	r := s.limit.ReserveN(time.Now(), bytes)
	wait := r.Delay()
	if wait > maxThrottled {
		r.Cancel()
		return errThrottled
	}
	return pause(ctx, wait)
}

// pause waits, or returns the error of a ctx that ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// replaceDamaged has another snapshot taken when the one that followers are told of turned out to
// be damaged: they could never catch up.
func (k *Keeper) replaceDamaged() {
	newest, _ := k.o.Store.Newest()
	if newest.Last.Index < k.saver.newest() {
		k.saver.replace()
	}
}
