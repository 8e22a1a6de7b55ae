package core

import (
	"bytes"
	"slices"
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// forwards carry commands from a follower to its leader. One batch is under way at a time and is
// repeated until it is answered; the next is what came meanwhile. So the leader only has to
// remember the last batch of each sender to take none twice, and batches grow with the load.
type forwards struct {
	queue    []Proposal // not sent yet; the data is ours
	sent     *raft.Propose
	sentIDs  []uint64 // of its commands
	seq      uint64   // of the last batch sent
	bytes    int64    // of sent
	repeatAt time.Duration

	seen []taken // while leading: the last batch of each sender in this term
}

// taken is the last batch that a leader took from one incarnation of a member.
type taken struct {
	from   raft.PeerID
	sender uint64
	reply  *raft.ProposeReply
}

// maxSenders bounds the incarnations of members that one leader keeps apart in its term.
const maxSenders = 1024

// enqueue holds a command for the leader, or tells why it can't be.
func (c *Core) enqueue(p *Proposal) error {
	switch {
	case c.leader == "":
		return raft.ErrNoLeader
	case p.NoForward:
		return raft.ErrNotLeader
	}
	if err := c.admit(len(p.Data), p.ExpectTerm); err != nil {
		return err
	}
	kept := *p
	kept.Data = bytes.Clone(p.Data)
	c.forwards.queue = append(c.forwards.queue, kept)
	c.pendingBytes += int64(raft.FrameHead + len(p.Data))
	return nil
}

// forward sends the next batch, if none is under way.
func (c *Core) forward() {
	f := &c.forwards
	if c.leader == "" || f.sent != nil || len(f.queue) == 0 {
		return
	}
	invariant.Check(c.role != Leader, "a leader forwards nothing", uint64(c.role))
	n, size := 0, 0
	for n < len(f.queue) {
		more := raft.FrameHead + len(f.queue[n].Data)
		if n > 0 && size+more > c.o.Replication.BatchBytes {
			break
		}
		size += more
		n++
	}
	invariant.Check(f.bytes == 0, "one batch is forwarded at a time", uint64(f.bytes))
	f.seq++
	f.sent = &raft.Propose{Sender: c.o.Sender, Seq: f.seq, Commands: make([]raft.Command, n)}
	f.sentIDs = f.sentIDs[:0]
	for i := range n {
		p := &f.queue[i]
		f.sent.Commands[i] = raft.Command{Data: p.Data, ExpectTerm: p.ExpectTerm, Restore: p.Restore}
		f.sentIDs = append(f.sentIDs, f.queue[i].ID)
	}
	f.queue = slices.Delete(f.queue, 0, n)
	f.bytes = int64(size)
	f.repeatAt = c.now + 2*c.o.HeartbeatInterval
	c.send(c.leader, f.sent)
}

// repeatForwards sends again what has not been answered for long.
func (c *Core) repeatForwards() {
	again := c.now + 2*c.o.HeartbeatInterval
	if f := &c.forwards; f.sent != nil && c.now >= f.repeatAt {
		f.repeatAt = again
		c.send(c.leader, f.sent)
	}
	if r := &c.reads; r.asked != nil && c.now >= r.repeatAt {
		r.repeatAt = again
		c.send(c.leader, r.asked)
	}
}

// onPropose takes a batch that a follower forwarded, once.
func (c *Core) onPropose(from raft.PeerID, b *raft.Propose) {
	if _, member := c.configuration().Peer(from); c.role != Leader || !member || len(b.Commands) == 0 {
		return // not refused: a member that led this term before may have taken it then
	}
	seen := c.forwards.seen
	at := slices.IndexFunc(seen, func(t taken) bool { return t.from == from && t.sender == b.Sender })
	switch {
	case at >= 0 && b.Seq == seen[at].reply.Seq:
		c.send(from, seen[at].reply)
		return
	case at >= 0 && b.Seq < seen[at].reply.Seq:
		return
	case at < 0 && len(seen) >= maxSenders:
		c.send(from, refuseAll(b))
		return
	}
	reply := c.take(b)
	if at >= 0 {
		seen[at].reply = reply
	} else {
		c.forwards.seen = append(seen, taken{from, b.Sender, reply})
	}
	c.send(from, reply)
}

// refuseAll answers a batch of which nothing is taken.
func refuseAll(b *raft.Propose) *raft.ProposeReply {
	n := len(b.Commands)
	return &raft.ProposeReply{
		Sender: b.Sender, Seq: b.Seq,
		At: make([]raft.LogID, n), Refused: slices.Repeat([]raft.Refusal{raft.RefusedBusy}, n),
	}
}

// take appends a forwarded batch and returns the answer.
func (c *Core) take(b *raft.Propose) *raft.ProposeReply {
	reply := &raft.ProposeReply{
		Sender: b.Sender, Seq: b.Seq,
		At: make([]raft.LogID, len(b.Commands)), Refused: make([]raft.Refusal, len(b.Commands)),
	}
	next := raft.LogID{Term: c.term(), Index: c.tail.Last().Index + 1}
	run := run{data: make([][]byte, 0, len(b.Commands))}
	for i := range b.Commands {
		cmd := &b.Commands[i]
		if err := c.admit(len(cmd.Data), cmd.ExpectTerm); err != nil {
			reply.Refused[i] = raft.RefusalOf(err)
			continue
		}
		reply.At[i] = next
		next.Index++
		c.pendingBytes += int64(raft.FrameHead + len(cmd.Data))
		c.gather(&run, cmd.Data, cmd.Restore)
	}
	c.place(&run)
	return reply
}

// onProposeReply learns where the forwarded batch stands.
func (c *Core) onProposeReply(from raft.PeerID, b *raft.ProposeReply) {
	f := &c.forwards
	if f.sent == nil || from != c.leader || b.Sender != c.o.Sender || b.Seq != f.sent.Seq ||
		len(b.At) != len(f.sentIDs) || len(b.Refused) != len(f.sentIDs) {
		return
	}
	for i, id := range f.sentIDs {
		placed := Placed{ID: id, At: b.At[i], Err: b.Refused[i].Err()}
		invariant.Check((placed.At == raft.LogID{}) == (placed.Err != nil), "placed or refused", id)
		c.out.Placed = append(c.out.Placed, placed)
	}
	c.pendingBytes -= f.bytes
	f.sent, f.bytes = nil, 0
	invariant.Check(c.pendingBytes >= 0 && c.role != Leader, "what was forwarded is settled once",
		uint64(c.pendingBytes))
}

// failForwards ends all that was asked of a leader which is not the leader any more, or is not
// heard.
func (c *Core) failForwards() {
	f := &c.forwards
	if f.sent != nil {
		for _, id := range f.sentIDs {
			c.out.Placed = append(c.out.Placed, Placed{ID: id, Err: raft.ErrLeadershipLost, Unknown: true})
		}
		c.pendingBytes -= f.bytes
		f.sent, f.bytes = nil, 0
	}
	for i := range f.queue {
		c.out.Placed = append(c.out.Placed, Placed{ID: f.queue[i].ID, Err: raft.ErrNoLeader})
		c.pendingBytes -= int64(raft.FrameHead + len(f.queue[i].Data))
	}
	clear(f.queue)
	f.queue = f.queue[:0]
	invariant.Check(c.pendingBytes == sum(c.pending), "every byte that waited is accounted for",
		uint64(c.pendingBytes))
	c.failFollowerReads()
}
