package witness

import (
	"fmt"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// Member is what the witness knows of one member.
type Member struct {
	Index  int
	ID     raft.PeerID
	Life   uint64      // rises with each boot and each crash
	Vol    Shadow      // what it has asked to be written
	Dur    Shadow      // what its disk holds at least
	Status core.Status // as of the last look

	ballot ballots
	proved proof
	snap   raft.Index // of the newest snapshot that its disk holds
	snaps  []raft.LogID

	departed []departed
	holds    uint64     // the life in which a voter that may lead asked it with less of the log
	open     []*Request // of this life, not answered
}

// NewMember returns a member of which nothing is known yet.
func NewMember(index int, id raft.PeerID) *Member {
	return &Member{Index: index, ID: id, ballot: ballots{
		onDisk: map[raft.Term]raft.PeerID{}, told: map[raft.Term]raft.PeerID{},
	}}
}

// History is what really happened, as the checkers saw it. No member can rewrite it.
type History struct {
	Elections int // won
	Writes    int // acknowledged
	Reads     int // served
	Outcomes  [Fates]int
	Now       time.Duration // set by who runs the cluster

	requests   []*Request           // by id - 1
	targets    []raft.Configuration // that were asked for
	members    []*Member
	limits     core.Options
	valueBytes int
	ops        []*Op                     // by serial - 1
	leaders    map[raft.Term]*leadership // looked up, never ranged over
	chains     map[raft.LogID]uint64     // of every entry that was ever appended anywhere
	committed  []commitment              // of index i+1
	floor      []raft.Index              // by key: a read that begins now sees a write here or later
	restores   restores
	reset      *reset // the last one; nil: none
}

// New returns the history of a cluster that was not started yet. Commands have up to so many bytes
// and write so many keys.
func New(members []*Member, limits core.Options, valueBytes, keys int) *History {
	return &History{
		members: members, limits: limits, valueBytes: valueBytes,
		leaders: map[raft.Term]*leadership{}, chains: map[raft.LogID]uint64{},
		restores: restores{known: map[uint64]*State{}},
		floor:    make([]raft.Index, keys),
	}
}

// Broken is what a checker panics with: the invariant with that name does not hold.
type Broken struct {
	Invariant string
	What      string
}

// Error names the invariant and what broke it.
func (b *Broken) Error() string { return b.Invariant + ": " + b.What }

// Check panics with a [*Broken] unless ok.
func (h *History) Check(ok bool, invariant, format string, args ...any) {
	if !ok {
		h.fail(invariant, format, args...)
	}
}

func (h *History) fail(invariant, format string, args ...any) {
	panic(&Broken{invariant, fmt.Sprintf(format, args...)})
}

// leadership is one term's leader and its log.
type leadership struct {
	m      *Member
	life   uint64
	first  raft.Index // of its entries; 0: none yet
	chains []uint64   // of index i+1
}

// chain returns the hash of the leader's log up to i, 0 if it has not come so far.
func (l *leadership) chain(i raft.Index) uint64 {
	if i == 0 || int(i) > len(l.chains) {
		return 0
	}
	return l.chains[i-1]
}

// commitment is an entry that was committed: what it is, and the term of the leader that
// committed it.
type commitment struct {
	slot
	by raft.Term
}

// step is what a member did between two looks.
type step struct {
	m      *Member
	out    *core.Output
	heard  []*raft.Message // that it received
	alone  bool            // it had a single input
	was    core.Situation
	before core.Status
	after  core.Status
	by     *raft.Configuration // in force before it
}

// leads reports whether the member led one and the same term all through the step.
func (s *step) leads() bool {
	return s.was.Role == core.Leader && s.after.Role == core.Leader && s.was.Term == s.after.Term
}

// becomesLeader reports whether the member became leader in the step.
func (s *step) becomesLeader() bool { return s.after.Role == core.Leader && !s.leads() }

// Commit returns the last index that was ever committed.
func (h *History) Commit() raft.Index { return raft.Index(len(h.committed)) }

// Observe runs the checkers on a step of a member: the output that was taken, its status after
// that, what it received since the last look, and whether it had no other input. The checkers
// that keep the history up to date come before those that use it.
func (h *History) Observe(
	m *Member, out *core.Output, after core.Status, heard []*raft.Message, alone bool,
) {
	s := &step{
		m: m, out: out, heard: heard, alone: alone,
		was: m.Status.Situation, before: m.Status, after: after, by: m.Configuration(),
	}
	m.Status = after
	h.leaderAppendOnly(s)
	h.snapshotsMonotonic(s)
	m.Vol.apply(&out.Write, h.committed)
	h.logMatching(s)
	h.electionSafety(s)
	h.effective(s)
	h.configurations(s)
	h.elected(s)
	h.nonMembers(s)
	h.handsOver(s)
	h.leaderCompleteness(s)
	h.commits(s)
	h.followerCommit(s)
	h.oldTermInert(s)
	h.stateOrder(s)
	h.bounds(s)
}

// Sent runs the checkers on a message that leaves the core.
func (h *History) Sent(m *Member, msg *raft.Message) {
	h.votesOnce(m, msg)
	h.acksTrue(m, msg)
	h.batchBounds(m, msg)
}

// Durable notes that a write of a member is durable, and runs the checkers on that.
func (h *History) Durable(m *Member, w *logmanager.Write) {
	m.Dur.apply(w, h.committed)
	h.monotonicTerm(m)
}

// Recovered runs the checkers on what a member's store came back with, given the writes that were
// under way when it went down.
func (h *History) Recovered(m *Member, got Shadow, maybe []logmanager.Write) {
	h.recoveryIsPrefix(m, got, maybe)
	got.reset = m.Dur.reset
	m.Vol, m.Dur = got, got.copyOf()
	h.monotonicTerm(m)
}

// Ended runs the checkers at the end, when the members of the last configuration are up, except
// those that are down for good, and have had the time to agree. Back is what each one's store
// holds, applied and state are those of its state machine.
func (h *History) Ended(group []*Member, back []Shadow, applied []raft.Index, state []uint64) {
	h.noLostWrite(group)
	h.replicasAgree(group, back, applied, state)
	h.quiescent(group)
	h.allAnswered(group)
}
