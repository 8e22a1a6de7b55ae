package sim

import (
	"strings"

	"github.com/jraft-go/jraft/raft"
)

// at returns the machine that listens at an address, nil if none does. Once the cluster heals, what
// is sent to a former address of a machine reaches it.
func (c *Cluster) at(addr string) *member {
	for _, m := range c.members {
		if m.addr == addr || m.former == addr {
			return m
		}
	}
	if id, _, _ := strings.Cut(addr, ":"); !c.firing {
		return c.member(raft.PeerID(id))
	}
	return nil
}

// reach returns the machine at the address that the member knows for a peer. What is sent where
// nobody listens, or to a peer whose address is not known, is lost.
func (m *member) reach(id raft.PeerID) *member {
	if addr, ok := m.core.Address(id); ok {
		if to := m.c.at(addr); to != nil {
			return to
		}
	}
	m.c.report.Membership.Unreachable++
	return nil
}

// machines are all of them as peers, each where it is.
func (c *Cluster) machines() (list []raft.Peer) {
	for _, m := range c.members {
		list = append(list, raft.Peer{ID: m.ID, Addr: m.addr})
	}
	return list
}

// moves takes the machine to another address: its process ends, and begins again there. Whoever
// stays may forward what comes to the old one.
func (m *member) moves(addr string, forwards bool) {
	if m.addr == addr || m.gone {
		return
	}
	m.former = ""
	if forwards {
		m.former = m.addr
	}
	m.addr = addr
	m.c.report.Membership.Moves++
	m.note("moves")
	m.crash(false, m.c.swarm.Election/4)
}
