package replicator_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// world is a leader with one follower, and a channel between the two that loses, repeats and
// reorders. Logs are lists of terms; a follower's disk finishes writes when the test says so.
type world struct {
	p      *replicator.Progress
	now    time.Duration
	log    []raft.Term // the leader's; entry i is log[i-1]
	commit raft.Index

	to   []any // under way to the follower
	from []any // under way to the leader

	has      []raft.Term // the follower's log
	durable  raft.Index
	verified raft.Index
	learned  raft.Index    // its commit index
	promised []acceptReply // not durable yet
	match    raft.Index    // what the leader's view was after the last step
}

type (
	appendMessage struct {
		prev    raft.Index
		term    raft.Term
		entries []raft.Term
		commit  raft.Index
	}
	heartbeat   struct{ commit raft.Index }
	beatReply   struct{ received, match raft.Index }
	acceptReply struct{ match raft.Index }
	rejectReply struct {
		prev raft.Index
		hint raft.LogID
	}
)

const leaderTerm = 9

// entryBytes makes some entries larger than a batch, and few than the window.
func entryBytes(i raft.Index) int { return []int{10, 25, 7, 130, 40}[i%5] }

func termAt(log []raft.Term, i raft.Index) raft.Term {
	if i == 0 {
		return 0
	}
	return log[i-1]
}

// newestWithin is the last entry at or below i of at most that term.
func newestWithin(log []raft.Term, i raft.Index, term raft.Term) raft.LogID {
	for i = min(i, raft.Index(len(log))); i > 0 && log[i-1] > term; i-- {
	}
	return raft.LogID{Term: termAt(log, i), Index: i}
}

func (w *world) last() raft.Index { return raft.Index(len(w.log)) }

// agreed is how far the two logs are the same.
func (w *world) agreed() (i raft.Index) {
	for int(i) < min(len(w.has), len(w.log)) && w.has[i] == w.log[i] {
		i++
	}
	return i
}

// pump sends what may be sent, as the core does.
func (w *world) pump(t *rapid.T, fetch bool) {
	p := w.p
	for p.MaySend() {
		if p.Light() || (p.Next > w.last() && p.State == replicator.Probe) {
			w.send(nil)
			continue
		}
		if p.Next > w.last() {
			break
		}
		if fetch {
			p.Fetching = true
			break
		}
		n, bytes := 0, 0
		for i := p.Next; i <= w.last(); i++ {
			bytes += entryBytes(i)
			if n > 0 && bytes > p.BatchBytes() {
				break
			}
			n++
		}
		w.send(w.log[p.Next-1 : int(p.Next)-1+n])
		messages, _ := p.Inflight()
		require.LessOrEqual(t, messages, limits().WindowMessages)
	}
	_, under := p.Inflight()
	messages, _ := p.Inflight()
	if commit, ok := p.TellCommit(w.commit); ok {
		require.Equal(t, replicator.Replicate, p.State)
		require.Zero(t, messages)
		require.Zero(t, under)
		require.LessOrEqual(t, commit, w.commit)
		require.LessOrEqual(t, commit, p.Match)
		w.to = append(w.to, heartbeat{commit})
	}
}

func (w *world) send(entries []raft.Term) {
	p := w.p
	bytes := 0
	for i := range entries {
		bytes += entryBytes(p.Next + raft.Index(i))
	}
	prev := p.Next - 1
	w.to = append(w.to, appendMessage{prev, termAt(w.log, prev), slices.Clone(entries), w.commit})
	p.Sent(w.now, len(entries), bytes, w.commit)
}

// follower takes a message.
func (w *world) follower(m any) {
	switch m := m.(type) {
	case heartbeat:
		w.learned = max(w.learned, min(m.commit, w.verified))
	case beatRequest:
		w.from = append(w.from, beatReply{w.verified, min(w.verified, w.durable)})
	case appendMessage:
		if int(m.prev) > len(w.has) || termAt(w.has, m.prev) != m.term {
			w.from = append(w.from, rejectReply{m.prev, newestWithin(w.has, m.prev-1, m.term)})
			return
		}
		for n, term := range m.entries {
			i := int(m.prev) + n
			if i < len(w.has) && w.has[i] == term {
				continue
			}
			if i < len(w.has) {
				w.has = slices.Clone(w.has[:i])
				w.durable = min(w.durable, raft.Index(i))
			}
			w.has = append(w.has, term)
		}
		proven := m.prev + raft.Index(len(m.entries))
		w.verified = max(w.verified, proven)
		w.learned = max(w.learned, min(m.commit, proven))
		w.promised = append(w.promised, acceptReply{proven})
	}
	w.keepPromises()
}

type beatRequest struct{}

func (w *world) keepPromises() {
	w.promised = slices.DeleteFunc(w.promised, func(a acceptReply) bool {
		if a.match <= w.durable {
			w.from = append(w.from, a)
		}
		return a.match <= w.durable
	})
}

func (w *world) sync(i raft.Index) {
	w.durable = max(w.durable, i)
	w.keepPromises()
}

// leader takes an answer, as the core does.
func (w *world) leader(m any) {
	switch m := m.(type) {
	case acceptReply:
		w.p.Accepted(w.now, m.match)
	case rejectReply:
		if w.p.Rejects(m.prev) && m.hint.Index < m.prev {
			w.p.Retreat(newestWithin(w.log, m.hint.Index, m.hint.Term).Index + 1)
		}
	case beatReply:
		if m.match > w.p.Match {
			w.p.Accepted(w.now, m.match)
		}
		w.p.Beat(w.now, m.received)
	}
}

func newWorld(t *rapid.T) *world {
	w := &world{}
	// Terms of the leader's log are odd, those of what only the follower has even: so the logs
	// agree at an index only if they do at all below (§5.3, Log Matching).
	for _, term := range rapid.SliceOfN(rapid.IntRange(0, 2), 0, 12).Draw(t, "log") {
		w.log = append(w.log, raft.Term(2*term+1))
	}
	slices.Sort(w.log)
	common := rapid.IntRange(0, len(w.log)).Draw(t, "common")
	w.has = slices.Clone(w.log[:common])
	var own []raft.Term
	for _, term := range rapid.SliceOfN(rapid.IntRange(1, 4), 0, 6).Draw(t, "own") {
		own = append(own, max(raft.Term(2*term), termAt(w.has, raft.Index(common))+1))
	}
	slices.Sort(own)
	w.has = append(w.has, own...)
	w.durable = raft.Index(len(w.has))
	w.p = replicator.New("f", w.last(), limits(), patience, 0)
	w.log = append(w.log, leaderTerm)
	return w
}

// pick takes a message out of the channel, or leaves it there to come once more.
func pick(t *rapid.T, channel *[]any) any {
	if len(*channel) == 0 {
		return nil
	}
	i := rapid.IntRange(0, len(*channel)-1).Draw(t, "which")
	m := (*channel)[i]
	if rapid.IntRange(0, 3).Draw(t, "repeat") > 0 {
		*channel = slices.Delete(*channel, i, i+1)
	}
	return m
}

func (w *world) check(t *rapid.T) {
	p := w.p
	// A late rejection can look like that of a follower which has lost its disk.
	require.True(t, p.Match >= w.match || p.Match == 0, "match falls to nothing or not at all")
	w.match = p.Match
	require.Less(t, p.Match, p.Next)
	require.LessOrEqual(t, p.Next, w.last()+1)
	require.LessOrEqual(t, p.Match, min(w.agreed(), w.durable), "match is true")
	require.LessOrEqual(t, w.learned, w.agreed(), "the follower commits what the leader has")
	messages, bytes := p.Inflight()
	require.LessOrEqual(t, messages, limits().WindowMessages)
	require.LessOrEqual(t, bytes, limits().WindowBytes+130, "beyond by one entry at most")
	require.GreaterOrEqual(t, bytes, 0)
	require.Equal(t, messages == 0, bytes == 0)
	if p.State == replicator.Probe {
		require.Zero(t, messages)
	}
}

// TestAlwaysConverges lets everything go wrong for a while, and then nothing: after that the
// follower soon has the whole log and the commit index, whatever happened before.
func TestAlwaysConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.pump(t, false)
		t.Repeat(map[string]func(*rapid.T){
			"propose": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "entries") {
					w.log = append(w.log, leaderTerm)
				}
				w.pump(t, rapid.IntRange(0, 5).Draw(t, "fetch") == 0)
			},
			"commit": func(t *rapid.T) {
				w.commit = max(w.commit, raft.Index(rapid.IntRange(0, len(w.log)).Draw(t, "commit")))
				w.pump(t, false)
			},
			"fetched": func(t *rapid.T) {
				w.p.Fetching = false
				w.pump(t, false)
			},
			"heartbeat": func(t *rapid.T) {
				w.now += patience / 2
				w.to = append(w.to, heartbeat{min(w.commit, w.p.Match)}, beatRequest{})
			},
			"deliver":  func(t *rapid.T) { w.follower(pick(t, &w.to)) },
			"deliver2": func(t *rapid.T) { w.follower(pick(t, &w.to)) },
			"answer": func(t *rapid.T) {
				w.leader(pick(t, &w.from))
				w.pump(t, false)
			},
			"lose": func(t *rapid.T) {
				channel := &w.to
				if rapid.Bool().Draw(t, "answer") {
					channel = &w.from
				}
				*channel = slices.Delete(*channel, 0, rapid.IntRange(0, len(*channel)).Draw(t, "n"))
			},
			"sync": func(t *rapid.T) {
				w.sync(raft.Index(rapid.IntRange(0, len(w.has)).Draw(t, "durable")))
			},
			"restart": func(t *rapid.T) {
				w.has = slices.Clone(w.has[:w.durable])
				w.verified, w.promised, w.learned = 0, nil, 0
			},
			"": w.check,
		})
		w.heal(t)
	})
}

// heal delivers everything, in order, until the follower has all.
func (w *world) heal(t *rapid.T) {
	w.p.Fetching = false
	for range 40 {
		w.pump(t, false)
		w.now += patience
		w.to = append(w.to, heartbeat{min(w.commit, w.p.Match)}, beatRequest{})
		for len(w.to)+len(w.from) > 0 {
			if len(w.to) > 0 {
				m := w.to[0]
				w.to = w.to[1:]
				w.follower(m)
				w.sync(raft.Index(len(w.has)))
			} else {
				m := w.from[0]
				w.from = w.from[1:]
				w.leader(m)
				w.pump(t, false)
			}
			w.check(t)
		}
		messages, _ := w.p.Inflight()
		if w.p.Match == w.last() && w.learned == w.commit && messages == 0 {
			require.Equal(t, w.log, w.has)
			require.Equal(t, replicator.Replicate, w.p.State)
			return
		}
	}
	require.Fail(t, "no convergence", "match %d of %d, follower's commit %d of %d, %+v",
		w.p.Match, w.last(), w.learned, w.commit, w.p)
}
