package core

import (
	"slices"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Members that were started with different lists of first peers have different entries at index 1
// of term 0: they are of different groups, and log matching (§5.3) does not hold between them. So
// whatever asks a member to vote or to follow says which first configuration it descends from, and
// is not heard by one that descends from another.

// maxStrangers bounds those that are remembered.
const maxStrangers = 16

// sign marks a message with the origin of this member's group.
func (c *Core) sign(body raft.Body) {
	switch b := body.(type) {
	case *raft.AppendEntries:
		b.Origin = c.configuration().Origin
	case *raft.Heartbeat:
		b.Origin = c.configuration().Origin
	case *raft.RequestVote:
		b.Origin = c.configuration().Origin
	}
}

// foreign reports whether a message comes from another group of the same name, and remembers whose
// it was.
func (c *Core) foreign(m *raft.Message) bool {
	origin := uint32(0)
	switch b := m.Body.(type) {
	case *raft.AppendEntries:
		origin = b.Origin
	case *raft.Heartbeat:
		origin = b.Origin
	case *raft.RequestVote:
		origin = b.Origin
	case *raft.InstallSnapshot:
		origin = b.Meta.Configuration.Origin
	}
	own := c.configuration().Origin
	if origin == 0 || own == 0 || origin == own {
		return false
	}
	invariant.Check(m.From != c.o.ID, "a member is not foreign to itself", uint64(own))
	if len(c.strangers) < maxStrangers && !slices.Contains(c.strangers, m.From) {
		c.strangers = append(c.strangers, m.From)
	}
	return true
}
