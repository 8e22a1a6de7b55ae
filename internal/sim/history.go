package sim

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// history is what really happened, as the checkers saw it. No member can rewrite it.
type history struct {
	c         *Cluster
	leaders   map[raft.Term]*leadership // looked up, never ranged over
	chains    map[raft.LogID]uint64     // of every entry that was ever appended anywhere
	committed []commitment              // of index i+1
	floor     []raft.Index              // by key: a read that begins now sees a write here or later
}

// leadership is one term's leader and its log.
type leadership struct {
	m      *member
	life   uint64
	chains []uint64 // of index i+1
}

// chain returns the hash of the leader's log up to i, 0 if it has not come so far.
func (l *leadership) chain(i raft.Index) uint64 {
	if i == 0 || int(i) > len(l.chains) {
		return 0
	}
	return l.chains[i-1]
}

// commitment is an entry that was committed: what it is, and the term of the leader that committed it.
type commitment struct {
	slot
	by raft.Term
}

// step is what a member did between two looks.
type step struct {
	m      *member
	out    *core.Output
	heard  []*raft.Message // that it received
	alone  bool            // it had a single input
	was    core.Situation
	before core.Status
	after  core.Status
}

// leads reports whether the member led one and the same term all through the step.
func (s *step) leads() bool {
	return s.was.Role == core.Leader && s.after.Role == core.Leader && s.was.Term == s.after.Term
}

// becomesLeader reports whether the member became leader in the step.
func (s *step) becomesLeader() bool { return s.after.Role == core.Leader && !s.leads() }

func (h *history) init(c *Cluster) {
	h.c = c
	h.leaders = map[raft.Term]*leadership{}
	h.chains = map[raft.LogID]uint64{}
	h.floor = make([]raft.Index, c.swarm.Keys)
}

// commit returns the last index that was ever committed.
func (h *history) commit() raft.Index { return raft.Index(len(h.committed)) }

// observe runs the checkers on a step. Those that keep the history up to date come before those that use it.
func (h *history) observe(s *step) {
	h.leaderAppendOnly(s)
	s.m.vol.apply(&s.out.Write)
	h.logMatching(s)
	h.electionSafety(s)
	h.leaderCompleteness(s)
	h.commits(s)
	h.followerCommit(s)
	h.oldTermInert(s)
	h.stateOrder(s)
	h.bounds(s)
}

// sent runs the checkers on a message that leaves the core.
func (h *history) sent(m *member, msg *raft.Message) {
	h.votesOnce(m, msg)
	h.acksTrue(m, msg)
	h.batchBounds(m, msg)
}

// durable runs the checkers after a write has become durable.
func (h *history) durable(m *member) { h.monotonicTerm(m) }

// recovered runs the checkers on what a store came back with.
func (h *history) recovered(m *member, got shadow, maybe []logmanager.Write) {
	h.recoveryIsPrefix(m, got, maybe)
	m.dur = got
	h.monotonicTerm(m)
}

// applied runs the checkers on entries that are about to be applied.
func (h *history) applied(m *member, batch []raft.Entry) { h.appliedOnce(m, batch) }
