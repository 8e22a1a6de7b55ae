package raft

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// NeverLeader as a [Peer].Priority: the peer votes and replicates, but never campaigns nor is
// handed leadership. There is one exception: where its log is the longest, and its vote is needed,
// it leads for the moment that it takes to bring another voter up to date.
const NeverLeader = -1

const maxAddrBytes = 256

// maxMembers bounds a configuration: all of it is one entry, which has to fit in one message, and
// is gone through for each.
const maxMembers = 1000

// Peer is one member as the configuration knows it.
type Peer struct {
	ID       PeerID
	Addr     string // host:port, IPv6 in brackets
	Priority int    // 0: no preference; >0: the highest electable leads; NeverLeader
}

// Configuration is the membership of a group (§6): who votes, who only learns and, while a joint
// change is under way, who voted before. Corresponds to
// com.alipay.sofa.jraft.conf.ConfigurationEntry.
type Configuration struct {
	Index    Index  // the entry that created it
	Voters   []Peer // a majority of these decides
	Learners []Peer // receive the log, never count
	// Outgoing are the old voters, while a joint change is under way: a majority of these must
	// agree too.
	Outgoing []Peer
	// Origin is a checksum of the group's first configuration, which every later one repeats: members
	// that were started with different lists are of different groups. 0: not known.
	Origin uint32
}

// Joint reports whether decisions need a majority of the old and of the new voters (§6).
func (c *Configuration) Joint() bool { return len(c.Outgoing) > 0 }

// IsVoter reports whether the peer votes in the new or, while joint, in the old configuration.
func (c *Configuration) IsVoter(id PeerID) bool {
	return hasPeer(c.Voters, id) || hasPeer(c.Outgoing, id)
}

// IsLearner reports whether the peer is a learner.
func (c *Configuration) IsLearner(id PeerID) bool { return hasPeer(c.Learners, id) }

// Peer returns the member with that id, whatever its part.
func (c *Configuration) Peer(id PeerID) (Peer, bool) {
	for _, list := range [...][]Peer{c.Voters, c.Learners, c.Outgoing} {
		for _, p := range list {
			if p.ID == id {
				return p, true
			}
		}
	}
	return Peer{}, false
}

// Members returns every peer once: voters, then learners, then those that are only outgoing.
func (c *Configuration) Members() []Peer {
	all := make([]Peer, 0, len(c.Voters)+len(c.Learners)+len(c.Outgoing))
	for _, list := range [...][]Peer{c.Voters, c.Learners, c.Outgoing} {
		for _, p := range list {
			if !hasPeer(all, p.ID) {
				all = append(all, p)
			}
		}
	}
	return all
}

// Clone returns a deep copy.
func (c *Configuration) Clone() Configuration {
	return Configuration{
		c.Index, slices.Clone(c.Voters), slices.Clone(c.Learners), slices.Clone(c.Outgoing), c.Origin,
	}
}

// String lists the members, for logs.
func (c *Configuration) String() string {
	s := "voters " + names(c.Voters)
	if len(c.Learners) > 0 {
		s += " learners " + names(c.Learners)
	}
	if c.Joint() {
		s += " outgoing " + names(c.Outgoing)
	}
	return s
}

// Validate tells every problem at once: bad or repeated ids, bad addresses, priorities below
// [NeverLeader], a peer that both votes and learns, no voter at all, no voter that may lead. More
// than 1,000 members are too many to look at.
func (c *Configuration) Validate() error {
	if n := len(c.Voters) + len(c.Learners); n > maxMembers || len(c.Outgoing) > maxMembers {
		return fmt.Errorf("raft: configuration has %d members and %d outgoing voters, at most %d may be",
			n, len(c.Outgoing), maxMembers)
	}
	var errs []error
	errs = append(errs, validPeers("voter", c.Voters)...)
	errs = append(errs, validPeers("learner", c.Learners)...)
	errs = append(errs, validPeers("outgoing voter", c.Outgoing)...)
	if len(c.Voters) == 0 {
		errs = append(errs, errors.New("raft: configuration has no voter"))
	}
	lead := false
	for _, p := range c.Voters {
		lead = lead || p.Priority != NeverLeader
		if hasPeer(c.Learners, p.ID) {
			errs = append(errs, fmt.Errorf("raft: peer %s is both voter and learner", p.ID))
		}
	}
	if !lead && len(c.Voters) > 0 {
		errs = append(errs, errors.New("raft: every voter has priority NeverLeader"))
	}
	return errors.Join(errs...)
}

func validPeers(what string, list []Peer) (errs []error) {
	for i, p := range list {
		if err := p.ID.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s %d: %w", what, i, err))
		}
		if hasPeer(list[:i], p.ID) {
			errs = append(errs, fmt.Errorf("raft: %s %s is listed twice", what, p.ID))
		}
		host, port, err := net.SplitHostPort(p.Addr)
		if err != nil || host == "" || port == "" || len(p.Addr) > maxAddrBytes {
			errs = append(errs, fmt.Errorf("raft: %s %s has address %q, need host:port in %d bytes",
				what, p.ID, p.Addr, maxAddrBytes))
		}
		if p.Priority < NeverLeader {
			errs = append(errs, fmt.Errorf("raft: %s %s has priority %d, need -1 or more",
				what, p.ID, p.Priority))
		}
	}
	return errs
}

func hasPeer(list []Peer, id PeerID) bool {
	for i := range list {
		if list[i].ID == id {
			return true
		}
	}
	return false
}

func names(list []Peer) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, p := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(p.ID))
	}
	b.WriteByte(']')
	return b.String()
}
