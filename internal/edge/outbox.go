package edge

import (
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Outbox sorts the messages of one turn by receiver, so that each address is sent to once.
type Outbox struct{ slots []slot }

type slot struct {
	to   raft.PeerID
	msgs []raft.Message
}

// maxSlots is how many receivers are remembered; a group has far fewer members.
const maxSlots = 256

// Send hands the messages to the transport. What is to go to an unknown address is dropped.
func (b *Outbox) Send(msgs []raft.Message, c *core.Core, t transport.Transport) {
	for i := range msgs {
		s := b.slot(msgs[i].To)
		s.msgs = append(s.msgs, msgs[i])
	}
	for i := range b.slots {
		s := &b.slots[i]
		if len(s.msgs) == 0 {
			continue
		}
		if addr, ok := c.Address(s.to); ok {
			t.Send(addr, s.msgs)
		}
		clear(s.msgs)
		s.msgs = s.msgs[:0]
	}
	if len(b.slots) > maxSlots {
		b.slots = nil
	}
}

func (b *Outbox) slot(to raft.PeerID) *slot {
	for i := range b.slots {
		if b.slots[i].to == to {
			return &b.slots[i]
		}
	}
	b.slots = append(b.slots, slot{to: to})
	return &b.slots[len(b.slots)-1]
}
