package node_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
)

// reigns notes when members begin and end to lead.
type reigns struct {
	mu    sync.Mutex
	ended time.Time       // when the last leader ended
	gaps  []time.Duration // until the next began
}

// herald tells it, by what members log.
type herald struct {
	slog.Handler
	r     *reigns
	cause bool // only who has led has a reason to lead no more
}

func (herald) Enabled(context.Context, slog.Level) bool { return true }

func (h herald) WithAttrs(attrs []slog.Attr) slog.Handler {
	isCause := func(a slog.Attr) bool { return a.Key == "cause" }
	h.cause = h.cause || slices.ContainsFunc(attrs, isCause)
	return h
}

func (h herald) Handle(_ context.Context, rec slog.Record) error {
	if rec.Message != "raft: role" {
		return nil
	}
	now, role, r := time.Now(), "", h.r
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "role" {
			role = a.Value.String()
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if role == "leader" && !r.ended.IsZero() {
		r.gaps = append(r.gaps, now.Sub(r.ended))
		r.ended = time.Time{}
	}
	if h.cause {
		r.ended = now
	}
	return nil
}

// TestGapAtHandOver measures how long nobody leads when leadership is handed over: about the time
// of a vote, which is a round trip and a sync.
func TestGapAtHandOver(t *testing.T) {
	r := &reigns{}
	c, _ := sockets(t, 3, func(o *node.Options) { o.Logger = slog.New(herald{r: r}) })
	c.write(c.leader(), 0, 10)
	r.mu.Lock()
	r.gaps = nil
	r.mu.Unlock()
	for range 20 {
		_, err := c.leader().TransferLeadership(within(t, 10*time.Second), "")
		require.NoError(t, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.gaps)
	require.GreaterOrEqual(t, len(r.gaps), 10)
	median := r.gaps[len(r.gaps)/2]
	t.Logf("nobody led for %v (median), %v at most", median, r.gaps[len(r.gaps)-1])
	require.Less(t, median, 100*time.Millisecond, "no election timeout passes")
}
