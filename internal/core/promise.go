package core

import (
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// promise is a message that says something about what is durable: it may leave once write seq is. A
// vote, a request for one and an answer to entries are promises (§5.1, Figure 2 "persistent
// state").
type promise struct {
	seq uint64
	msg raft.Message
}

// durableInTerm returns how far the log is durable as this term's leader may count on: nothing is
// before the term itself is durable, because after a crash this member could be back in an earlier
// term and let that one's leader truncate the log.
func (c *Core) durableInTerm() raft.Index {
	if c.termSeq > c.tail.WrittenSeq() {
		return 0
	}
	return c.tail.Durable()
}

// promise sends the message as soon as everything that the log and hard state say now is durable.
func (c *Core) promise(to raft.PeerID, body raft.Body) {
	c.sign(body)
	seq := c.tail.Seq()
	if seq <= c.tail.WrittenSeq() {
		c.send(to, body)
		return
	}
	n := len(c.held)
	if n > 0 {
		invariant.Check(c.held[n-1].seq <= seq, "promises are held in the order of their writes",
			c.held[n-1].seq, seq)
		if c.held[n-1].seq == seq && replaces(&c.held[n-1].msg, to, body) {
			n--
		}
	}
	c.held = append(c.held[:n], promise{seq, raft.Message{
		Cluster: c.o.Cluster, Group: c.o.Group, From: c.o.ID, To: to, Term: c.term(), Body: body,
	}})
}

// replaces reports whether the new message says all that the old one says: of two acceptances that
// rest on the same write the one with the higher index does.
func replaces(old *raft.Message, to raft.PeerID, body raft.Body) bool {
	was, ok := old.Body.(*raft.AppendEntriesReply)
	now, ok2 := body.(*raft.AppendEntriesReply)
	return ok && ok2 && old.To == to && !was.Reject && !now.Reject && was.Match <= now.Match
}

// keepPromises sends what rests on writes that are durable now.
func (c *Core) keepPromises() {
	written := c.tail.WrittenSeq()
	done := 0
	for done < len(c.held) && c.held[done].seq <= written {
		p := &c.held[done]
		invariant.Check(p.msg.Term == c.term(), "a promise is kept in the term in which it was made",
			uint64(p.msg.Term), uint64(c.term()))
		if a, ok := p.msg.Body.(*raft.AppendEntriesReply); ok && !a.Reject {
			invariant.Check(a.Match <= c.tail.Durable(), "an acknowledged entry is durable",
				uint64(a.Match), uint64(c.tail.Durable()))
		}
		if v, ok := p.msg.Body.(*raft.RequestVoteReply); ok {
			invariant.Check(!v.Granted || c.tail.HardState().Vote == p.msg.To,
				"a vote that leaves is the one on disk", uint64(p.msg.Term))
		}
		if _, ok := p.msg.Body.(*raft.RequestVote); ok {
			// The voters could not answer before now: time for their answers starts here.
			c.awaitElection()
		}
		c.out.Messages = append(c.out.Messages, p.msg)
		done++
	}
	rest := copy(c.held, c.held[done:])
	clear(c.held[rest:])
	c.held = c.held[:rest]
}

// forsake drops promises that must not or need not be kept any more. In a new term all must go: the
// log may be truncated now below what was promised, before the message leaves.
func (c *Core) forsake(all bool) {
	rest := c.held[:0]
	for _, p := range c.held {
		if _, ask := p.msg.Body.(*raft.RequestVote); !all && !ask {
			rest = append(rest, p)
		}
	}
	clear(c.held[len(rest):])
	c.held = rest
	c.selfVote = 0
}
