// Package core is the protocol of one member of one group, as a pure machine: inputs say what
// happened, one output says what must be done. It has no clock, no goroutine, no randomness of its
// own and does no I/O, so that the simulator runs exactly what production runs.
//
// # Contract
//
// Inputs may be given in any number before the output is taken. The parts of an [Output] may be
// carried out in any order and at once: whatever depends on a write is kept inside until
// [Core.Written] passes it. A Core is owned by one goroutine. Time is a monotonic duration that the
// owner supplies; it must never go back.
//
// A broken invariant is a panic with an *invariant.Violation; the owner recovers it and fails this
// member alone.
package core

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jraft-go/jraft/ballotbox"
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// Options are the settings of one member. All durations and limits must be positive.
type Options struct {
	Cluster string
	Group   raft.GroupID
	ID      raft.PeerID

	ElectionTimeout   time.Duration // a follower campaigns after [1, 2) of these without a leader
	HeartbeatInterval time.Duration

	Seed   uint64 // of the election jitter
	Sender uint64 // drawn anew at each start: marks what this incarnation forwards to the leader

	Replication replicator.Limits

	MaxCommandBytes int   // of one command
	MaxPendingBytes int64 // of commands appended or to be forwarded, not yet durable and applied
	MaxApplyBytes   int   // of entries handed out for applying and not yet reported as applied
	MaxPendingReads int
	CacheBytes      int   // of entries kept in memory although they are durable and applied
	TrailingEntries int   // kept in the log although a snapshot covers them
	TrailingBytes   int64 // at most of these; 0: no bound
}

// Core is the protocol state of one member.
type Core struct {
	o    Options
	now  time.Duration
	rand *rand.Rand

	role   Role
	leader raft.PeerID
	tail   *logmanager.Tail // the log, the term and the vote
	box    ballotbox.Box    // the commit index
	ballot ballotbox.Ballot // of the candidacy under way

	electionAt time.Duration // when to campaign, unless a leader is heard before
	heardAt    time.Duration // when the leader was last heard
	// verified is the last index at which this follower's log is known to be that of the leader of
	// the term. Invariant: what a leader says about its commit index is believed only up to here
	// (§5.3).
	verified raft.Index
	// told is the highest commit index that a leader named, and that leader's term.
	told raft.LogID

	peers       []*replicator.Progress // while leading: every other member
	heartbeatAt time.Duration
	checkAt     time.Duration // when to look for quorum and disk; reads don't move it
	ledSince    time.Duration
	roseAt      time.Duration // when the commit index rose last
	untold      bool          // idle followers have not been told yet
	rounds      ballotbox.Rounds
	round       uint64 // the last heartbeat round sent

	termSeq  uint64    // the write that makes the term durable
	held     []promise // messages that rest on a write, in the order of their writes
	selfVote uint64    // the write that makes the own vote durable; 0: no candidacy waits for it
	writes   []writing // writes taken and not yet durable, oldest first

	handed   raft.Index // the last index handed out for applying
	applied  raft.Index
	applying []chunk // handed out and not yet applied, oldest first
	applyNow int     // bytes of entries in them

	pending      []chunk // commands appended here as leader, not yet durable and applied, oldest first
	pendingBytes int64   // of these, and of commands waiting to be forwarded

	snapshot raft.SnapshotMeta // the newest own one; zero: none
	pull     Pull              // under way; zero: none
	pulled   int64             // bytes of it that have arrived

	reads    reads
	forwards forwards
	fetching []raft.PeerID // fetches not yet answered

	change    *change // of the membership, while leading
	leavers   []leaver
	transfer  transfer
	handovers []handedOver
	yieldAt   time.Duration // no yielding to a higher priority before then
	missed    int           // elections left to voters of higher priority since a leader was heard
	suspect   suspicion
	split     bool          // a rival was met since a leader was heard
	heldUpAt  time.Duration // since when a member that may lead is refused, for this one has more
	removed   bool          // a voter said so, and no leader was heard since
	contacts  []contact
	strangers []raft.PeerID // members of another group of the same name, see foreign

	out  Output
	seen Situation // as of the last Take
}

type writing struct {
	seq uint64
	at  time.Duration
}

// chunk is a run of entries up to last.
type chunk struct {
	last  raft.Index
	bytes int
}

// New returns a member that was just started with what its store holds.
// The snapshot is the newest that is durable and valid (zero: there is none), and the state machine
// was restored from it.
func New(
	o Options, now time.Duration, s logmanager.Stored, snapshot raft.SnapshotMeta,
) (*Core, error) {
	tail, err := logmanager.NewTail(s, snapshot, o.CacheBytes)
	if err != nil {
		return nil, err
	}
	if o.ElectionTimeout <= 0 || o.HeartbeatInterval <= 0 || o.HeartbeatInterval >= o.ElectionTimeout {
		return nil, fmt.Errorf("core: heartbeat interval %v and election timeout %v do not fit",
			o.HeartbeatInterval, o.ElectionTimeout)
	}
	o.Replication = o.Replication.WithDefaults()
	c := &Core{
		o: o, now: now, tail: tail, rand: rand.New(rand.NewPCG(o.Seed, o.Sender)),
		handed: snapshot.Last.Index, applied: snapshot.Last.Index, verified: snapshot.Last.Index,
		snapshot: snapshot,
	}
	c.box.Learn(snapshot.Last.Index)
	c.reads.next = o.Sender
	c.awaitElection()
	if c.alone() {
		c.electionAt = now // nobody else could lead: there is nothing to wait for
	}
	c.seen = c.situation()
	return c, nil
}

func (c *Core) term() raft.Term { return c.tail.HardState().Term }

func (c *Core) advance(now time.Duration) {
	invariant.Check(now >= c.now, "time never goes back", uint64(now), uint64(c.now))
	c.now = now
}

// configuration is the one in force: the newest in the log, committed or not (§6).
func (c *Core) configuration() *raft.Configuration { return c.tail.Configuration() }

func (c *Core) votes() bool { return c.configuration().IsVoter(c.o.ID) }

// alone reports whether this member is the only voter.
func (c *Core) alone() bool {
	conf := c.configuration()
	return len(conf.Voters) == 1 && !conf.Joint() && conf.IsVoter(c.o.ID)
}

func (c *Core) situation() Situation {
	s := Situation{Role: c.role, Term: c.term(), Leader: c.leader}
	if s.Role == Follower && !c.votes() {
		s.Role = Learner
	}
	return s
}

// Tick tells the time. It must be called when [Core.NextDeadline] is reached, and may be called at
// any time.
func (c *Core) Tick(now time.Duration) {
	c.advance(now)
	if c.role == Leader {
		c.tickLeader()
	} else if c.now >= c.electionAt {
		c.electionDue()
	}
	if c.suspect.askAt != 0 && c.now >= c.suspect.askAt {
		c.checkLeader()
	}
	c.repeatForwards()
	c.settleHandovers()
}

// NextDeadline returns when Tick is needed next.
func (c *Core) NextDeadline() time.Duration {
	at := c.electionAt
	if c.role == Leader {
		at = min(c.heartbeatAt, c.checkAt)
		if c.untold {
			at = min(at, c.roseAt+tellAfter)
		}
		if c.transfer.until != 0 {
			at = min(at, c.transfer.until)
		}
	}
	if c.suspect.askAt != 0 {
		at = min(at, c.suspect.askAt)
	}
	if len(c.handovers) > 0 {
		at = min(at, c.handovers[0].until)
	}
	if c.forwards.sent != nil {
		at = min(at, c.forwards.repeatAt)
	}
	if c.reads.asked != nil {
		at = min(at, c.reads.repeatAt)
	}
	return at
}

// Written tells that every write up to number seq is durable.
func (c *Core) Written(now time.Duration, seq uint64) {
	c.advance(now)
	done := 0
	for done < len(c.writes) && c.writes[done].seq <= seq {
		done++
	}
	invariant.Check(done > 0 && c.writes[done-1].seq == seq,
		"a finished write was taken and not finished before", seq, uint64(len(c.writes)))
	c.writes = append(c.writes[:0], c.writes[done:]...)
	before := c.tail.Durable()
	c.tail.Written(seq)
	invariant.Check(before <= c.tail.Durable(), "a finished write makes nothing less durable",
		uint64(before), uint64(c.tail.Durable()))
	c.keepPromises()
	if c.selfVote != 0 && c.selfVote <= c.tail.WrittenSeq() {
		c.selfVote = 0
		invariant.Check(c.role == Candidate, "only a candidate waits for its own vote", uint64(c.role))
		c.recordVote(c.o.ID, true)
	}
	if c.role == Leader {
		c.countCommit()
	}
	c.settlePending()
}

// Applied tells that the state machine has applied every entry up to i.
func (c *Core) Applied(now time.Duration, i raft.Index) {
	c.advance(now)
	invariant.Check(i >= c.applied, "the applied index never falls", uint64(i), uint64(c.applied))
	invariant.Check(i <= c.handed, "only entries that were handed out are applied",
		uint64(i), uint64(c.handed))
	c.applied = i
	done := 0
	for done < len(c.applying) && c.applying[done].last <= i {
		c.applyNow -= c.applying[done].bytes
		done++
	}
	c.applying = append(c.applying[:0], c.applying[done:]...)
	invariant.Check(len(c.applying) > 0 || (c.applyNow == 0 && c.applied == c.handed),
		"nothing is under way once all is applied", uint64(c.applyNow), uint64(c.handed))
	c.settlePending()
}

// stalled reports whether the oldest write under way has been for at least d.
func (c *Core) stalled(d time.Duration) bool {
	return len(c.writes) > 0 && c.now-c.writes[0].at >= d
}
