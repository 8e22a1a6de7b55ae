package core

import (
	"slices"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// contact is where a peer said that it is reached.
type contact struct {
	peer raft.PeerID
	addr string
	// knows is the configuration in force here when a peer said so whose log is at least as new: it
	// knows better than that configuration, but not than a later one. 0: it may know less.
	knows raft.Index
}

// maxContacts bounds the peers that are remembered.
const maxContacts = 16

// Address returns where a peer is reached: as the configuration in force has it, unless the peer
// knows better. Those that it does not name are to be answered, too: who joins, who has left, and a
// leader that leads until its own removal is committed.
func (c *Core) Address(id raft.PeerID) (string, bool) {
	conf := c.configuration()
	at := slices.IndexFunc(c.contacts, func(k contact) bool { return k.peer == id })
	if at >= 0 && c.contacts[at].knows != 0 && c.contacts[at].knows >= conf.Index {
		return c.contacts[at].addr, true
	}
	if p, ok := conf.Peer(id); ok {
		return p.Addr, true
	}
	if c.change != nil {
		for i := range c.change.joiners {
			if p := c.change.joiners[i].peer; p.ID == id {
				return p.Addr, true
			}
		}
	}
	for i := range c.leavers {
		if p := c.leavers[i].peer; p.ID == id {
			return p.Addr, true
		}
	}
	if at >= 0 {
		return c.contacts[at].addr, true
	}
	for was := conf; was.Index > 0; was = c.tail.ConfigurationAt(was.Index - 1) {
		if p, ok := was.Peer(id); ok {
			return p.Addr, true
		}
	}
	return "", false
}

// meetCandidate remembers where a candidate is reached. One whose log is behind may know an address
// of itself that is out of date.
func (c *Core) meetCandidate(id raft.PeerID, b *raft.RequestVote) {
	c.meet(id, b.Addr, !b.Last.Less(c.tail.Last()))
}

// meet remembers where the sender of a message is reached, the last ones met.
func (c *Core) meet(id raft.PeerID, addr string, current bool) {
	if addr == "" {
		return
	}
	k := contact{peer: id, addr: addr}
	if current {
		k.knows = c.configuration().Index
	}
	c.contacts = slices.DeleteFunc(c.contacts, func(old contact) bool { return old.peer == id })
	if len(c.contacts) == maxContacts {
		c.contacts = slices.Delete(c.contacts, 0, 1)
	}
	c.contacts = append(c.contacts, k)
	invariant.Check(len(c.contacts) <= maxContacts, "few strangers are remembered",
		uint64(len(c.contacts)))
}
