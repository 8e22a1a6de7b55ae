package witness

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// nobody is the configuration in force where there is none.
var nobody = &raft.Configuration{}

// inForce returns the configuration that the log up to i gives: the newest one there, committed or
// not (§6). It is shared.
func (s *Shadow) inForce(i raft.Index) *raft.Configuration {
	if i == 0 || int(i) > len(s.log) {
		return nobody
	}
	return s.log[i-1].force
}

// Configuration returns the one in force, by what the member has asked to be written.
func (m *Member) Configuration() *raft.Configuration { return m.Vol.inForce(m.Vol.Last()) }

// OnDisk returns the one that is in force if the member is restarted now.
func (m *Member) OnDisk() *raft.Configuration { return m.Dur.inForce(m.Dur.Last()) }

// Quorum reports whether a majority of the voters and, while joint, one of the old voters has: the
// definition (§6), counted here once more and in another way than the code under test does it.
func Quorum(c *raft.Configuration, has func(raft.PeerID) bool) bool {
	return majority(c.Voters, has) && (len(c.Outgoing) == 0 || majority(c.Outgoing, has))
}

func majority(list []raft.Peer, has func(raft.PeerID) bool) bool {
	n := 0
	for i := range list {
		if has(list[i].ID) {
			n++
		}
	}
	return 2*n > len(list)
}

// Overlap reports whether every quorum of a shares a member with every quorum of b: of each way to
// split all members in two at most one side decides.
func Overlap(a, b *raft.Configuration) bool {
	var all []raft.PeerID
	for _, p := range append(a.Members(), b.Members()...) {
		if !slices.Contains(all, p.ID) {
			all = append(all, p.ID)
		}
	}
	for set := range uint(1) << len(all) {
		in := func(id raft.PeerID) bool { return set>>slices.Index(all, id)&1 == 1 }
		if Quorum(a, in) && Quorum(b, func(id raft.PeerID) bool { return !in(id) }) {
			return false
		}
	}
	return true
}

// settled is what a configuration becomes when it is not joint any more.
func settled(c *raft.Configuration) *raft.Configuration {
	if !c.Joint() {
		return c
	}
	return &raft.Configuration{Index: c.Index, Voters: c.Voters, Learners: c.Learners}
}
