// Package replicator knows what one follower needs next: where its log agrees with the leader's,
// what is under way to it, and when to wait. It corresponds to
// com.alipay.sofa.jraft.core.Replicator, without its I/O: the core asks it what may be sent, and
// tells it what was sent and what came back.
//
// The types have no locks: each is owned by one goroutine.
package replicator

import (
	"time"

	"github.com/jraft-go/jraft/raft"
)

// State is how entries are sent to a follower.
type State uint8

// The states.
const (
	// Probe: where the logs agree is not known; one message at a time finds out.
	Probe State = iota
	// Replicate: messages are pipelined, each on the assumption that those before it arrive.
	Replicate
	// Snapshot: the entries that the follower needs are gone; it is fetching a snapshot.
	Snapshot
)

// String returns the state in lower case.
func (s State) String() string { return [...]string{"probe", "replicate", "snapshot"}[s] }

// Progress is what the leader knows of one follower in its own term.
//
// Invariant: Match < Next. Everything up to Match is durable on the follower; everything from Next
// on was not sent yet, or is to be sent again.
type Progress struct {
	ID    raft.PeerID
	State State
	Match raft.Index
	Next  raft.Index
	Heard time.Duration // when the last answer came

	Answered bool // an answer has come
	LostLog  bool // it lacks what it had acknowledged: its disk was replaced, or emptied

	limits   Limits
	window   []sent // unanswered messages, oldest first
	bytes    int    // of entries in them
	room     int    // how many bytes may be under way now: less than WindowBytes after a loss
	steady   int    // up to here room grows fast: half of what was under way at the last loss
	probing  bool   // in Probe: a message is under way
	light    bool   // the next message is to ask only: entries may be on their way
	Fetching bool   // the log is being read from disk for this follower

	Installing raft.SnapshotMeta // in Snapshot: what the follower is fetching
	Installed  int64             // bytes of it that have arrived
	CatchingUp bool              // since it was named a snapshot: it needs the log after it next
	gainedAt   time.Duration     // when more of the log, or of a snapshot, was last known to be there

	received raft.Index    // the last index that has reached the follower, durable there or not
	movedAt  time.Duration // when it last rose, was asked for, or began to be waited for
	patience time.Duration // how long after that the follower is asked what has arrived
	told     raft.Index    // the commit index it was last told
}

type sent struct {
	last  raft.Index
	bytes int
}

// New returns the progress of a follower of which nothing is known yet: the leader's last entry is
// the first guess. What does not arrive within patience is asked for.
func New(
	id raft.PeerID, last raft.Index, limits Limits, patience, now time.Duration,
) *Progress {
	return &Progress{
		ID: id, Next: last + 1, Heard: now,
		limits: limits, room: limits.WindowBytes, steady: limits.WindowBytes,
		patience: patience,
	}
}

// Hear notes that the follower has answered something.
func (p *Progress) Hear(now time.Duration) { p.Heard, p.Answered = now, true }

// MaySend reports whether one more message may be sent now.
func (p *Progress) MaySend() bool {
	if p.Fetching || p.State == Snapshot {
		return false
	}
	if p.State == Probe {
		return !p.probing
	}
	return p.light || len(p.window) < p.limits.WindowMessages && p.bytes < p.room
}

// Light reports whether the next message is to carry no entries, whatever is under way.
func (p *Progress) Light() bool { return p.light }

// BatchBytes is how many bytes of entries the next message may carry; a single entry may exceed it.
func (p *Progress) BatchBytes() int { return min(p.limits.BatchBytes, p.room-p.bytes) }

// Sent notes that a message with n entries from Next on, of that many bytes, and this commit index
// was sent.
func (p *Progress) Sent(now time.Duration, n, bytes int, commit raft.Index) {
	p.told = max(p.told, min(commit, p.Next+raft.Index(n)-1))
	p.light = false
	if n == 0 || len(p.window) == 0 {
		p.movedAt = now
	}
	if p.State == Probe {
		p.probing = true
		return
	}
	if n == 0 {
		return
	}
	p.Next += raft.Index(n)
	p.window = append(p.window, sent{p.Next - 1, bytes})
	p.bytes += bytes
}

// Accepted notes that the follower's durable log agrees up to match, and reports whether that is
// news.
func (p *Progress) Accepted(now time.Duration, match raft.Index) bool {
	news := match > p.Match
	if news {
		p.Match, p.movedAt, p.gainedAt = match, now, now
		p.received = max(p.received, match)
	}
	p.Next = max(p.Next, p.Match+1)
	if p.State == Probe && match+1 >= p.Next {
		p.begin(Replicate, p.Match+1)
		return news
	}
	if p.State == Snapshot && match >= p.Installing.Last.Index {
		p.begin(Probe, p.Match+1)
		return news
	}
	done := 0
	for done < len(p.window) && p.window[done].last <= match {
		p.answered(p.window[done].bytes)
		done++
	}
	p.window = append(p.window[:0], p.window[done:]...)
	return news
}

// answered takes a message of so many bytes off the window: there is room for more, soon for half
// of what was too much last time, and from there on for one batch more each time that all of it
// has been answered, as in TCP (RFC 5681, 3.1).
func (p *Progress) answered(bytes int) {
	p.bytes -= bytes
	if p.room < p.steady {
		p.room = min(2*p.room, p.steady)
	} else {
		p.room += max(1, p.limits.BatchBytes*bytes/max(p.room, 1))
	}
	p.room = min(p.room, p.limits.WindowBytes)
}

// Install names the snapshot that the follower is to fetch.
func (p *Progress) Install(now time.Duration, s raft.SnapshotMeta) {
	p.begin(Snapshot, max(p.Match+1, p.Next))
	p.gainedAt = now
	p.Installing, p.Installed, p.CatchingUp = s, 0, true
}

// Needs returns the last index that the log may lose without the follower needing a snapshot again.
func (p *Progress) Needs() raft.Index { return max(p.Match, p.Installing.Last.Index) }

// Arrived notes how far the follower is with a snapshot; what it says of another one is old.
func (p *Progress) Arrived(now time.Duration, last raft.LogID, bytes int64) {
	if p.State == Snapshot && last == p.Installing.Last {
		if bytes > p.Installed {
			p.gainedAt = now
		}
		p.Installed = bytes
	}
}

// Stuck reports whether the follower has gained nothing for d, although it may well answer: its
// disk may be full, or the way on which snapshots are fetched be closed.
func (p *Progress) Stuck(now, d time.Duration) bool { return now-p.gainedAt >= d }

// Rejects reports whether a rejection of a message that followed entry prev tells anything new; an
// answer to something older does not. A follower that does not even have what it had acknowledged
// has lost its disk, and begins anew.
func (p *Progress) Rejects(prev raft.Index) bool {
	if prev == p.Match && prev > 0 && p.State == Probe && prev == p.Next-1 {
		p.Match, p.received, p.LostLog = 0, 0, true
		return true
	}
	if prev <= p.Match {
		return false
	}
	return p.State == Replicate || (p.State == Probe && prev == p.Next-1)
}

// Retreat goes back to probing from next on, which is raised to above Match if need be.
// While messages are pipelined that means that one of them was lost.
func (p *Progress) Retreat(next raft.Index) {
	if p.State == Replicate {
		p.shrink()
	}
	p.begin(Probe, max(next, p.Match+1))
}

// shrink makes room after a loss: the link has been given more than it carries.
func (p *Progress) shrink() {
	p.steady = max(p.bytes/2, p.limits.BatchBytes)
	p.room = min(p.room, p.limits.BatchBytes)
}

// Beat notes the answer to a heartbeat that said what has reached the follower. Heartbeats overtake
// entries, so a gap proves nothing, however long it stands: the link may be slow. When nothing has
// arrived for as long as patience, the follower is asked whether it has all that was sent, by a
// message that carries nothing and keeps its place behind the entries. It comes when they have
// arrived or are lost, and then is accepted or rejected; so what is merely on its way is never
// repeated, and what was late before does not matter (a tail loss probe, RFC 8985, 7). What has
// arrived and is not answered waits for the follower's disk. A follower that restarted shows a gap,
// too: it must be probed before it may believe the commit index again.
func (p *Progress) Beat(now time.Duration, received raft.Index) {
	if p.State == Snapshot {
		return
	}
	if p.State == Probe {
		if p.probing && now-p.movedAt >= p.patience {
			p.probing, p.light = false, true
		}
		return
	}
	if received > p.received {
		p.movedAt = now
	}
	p.received = received
	if received >= p.Next-1 || now-p.movedAt < p.patience {
		return
	}
	if len(p.window) == 0 {
		p.begin(Probe, p.Next)
	}
	p.light = true
}

// TellCommit reports whether the follower should be told the commit index by a message of its own:
// it has the entries, nothing is under way that will tell it. It returns what to tell, and notes
// that it is told.
func (p *Progress) TellCommit(commit raft.Index) (raft.Index, bool) {
	upto := min(commit, p.Match)
	if p.State != Replicate || len(p.window) > 0 || upto <= p.told {
		return 0, false
	}
	p.told = upto
	return upto, true
}

// Inflight returns the number of unanswered messages and the bytes of entries in them.
func (p *Progress) Inflight() (messages, bytes int) { return len(p.window), p.bytes }

func (p *Progress) begin(s State, next raft.Index) {
	p.State, p.Next = s, next
	p.window, p.bytes = p.window[:0], 0
	p.probing, p.light = false, false
	p.Installing, p.Installed = raft.SnapshotMeta{}, 0
	if s == Probe {
		p.told = 0
	}
}
