package sim

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// restore is a backup on its way through the log, as production's keeper sends it: some pieces
// under way, those after one that got lost sent once more, the last one alone.
type restore struct {
	c       *Cluster
	m       *member
	life    uint64 // of the member: when it ends so does this
	id      uint64
	pieces  []raft.RestoreChunk
	next    int // to be sent
	done    int
	under   int // way
	lost    bool
	over    bool
	lastAt  time.Duration // when the last piece was sent first
	ackedAt time.Duration // 0: not
}

// piece is one proposal of a restore.
type piece struct {
	r      *restore
	n      int
	at     raft.LogID
	result error
}

const (
	restoreWindow = 3
	mostPieces    = 60
)

// restoreOld takes a backup and has it restored after a while, by whoever is there then.
func (c *Cluster) restoreOld(e *episode) {
	r := c.backup(c.someone(e), e)
	if r == nil {
		return
	}
	c.after(e.span, func() {
		m := c.members[swarm.Scale(e.sides[4], len(c.members))]
		if m.core == nil || !c.firing {
			return
		}
		r.begin(m)
		if patience := time.Duration(e.sides[5] * float64(30*c.swarm.Election)); e.sides[6] < 0.3 {
			c.after(patience, func() { r.end(e.sides[7] < 0.7) })
		}
	})
}

// backup makes a restore of a member's newest snapshot; nil: there is none, or it is too large.
func (c *Cluster) backup(m *member, e *episode) *restore {
	if m.core == nil {
		return nil
	}
	newest, ok := m.keeper.Files.Newest()
	if !ok {
		return nil
	}
	var backup bytes.Buffer
	if err := m.keeper.Files.Export(&backup, newest.Last); err != nil {
		return nil // damaged
	}
	r := &restore{c: c, id: witness.Mix(c.Seed ^ uint64(c.now) | 1)}
	bad := c.fire(swarm.BadBackup, 0, e.sides[0] < c.swarm.Rate[swarm.BadBackup])
	if r.cut(backup.Bytes(), bad, e); len(r.pieces) > mostPieces {
		return nil
	}
	state := c.history.StateAt(newest.Last.Index)
	c.history.Backup(r.id, &state)
	if bad {
		c.history.Backup(r.id, nil)
	}
	return r
}

// begin sends the backup from a member that is up.
func (r *restore) begin(m *member) {
	r.m, r.life = m, m.Life
	r.c.restores = append(r.c.restores, r)
	r.c.report.Snapshots.Backups++
	m.note("restores", r.id, uint64(len(r.pieces)))
	r.send()
}

// formats is the end of what tells the formats of a backup: one that is not known fails a member.
const formats = 24

// cut makes pieces of a backup; of a bad one a byte is another, before or after it was summed up.
func (r *restore) cut(backup []byte, bad bool, e *episode) {
	at := formats + swarm.Scale(e.sides[1], len(backup)-formats)
	if bad && e.sides[2] < 0.7 {
		backup[at] ^= 1 << swarm.Scale(e.sides[3], 8)
	}
	bytes, sum := uint64(len(backup)), raft.Checksum(backup)
	if bad && e.sides[2] >= 0.7 {
		backup[at] ^= 1 << swarm.Scale(e.sides[3], 8)
	}
	for data := range slices.Chunk(backup, r.c.swarm.Limits.MaxCommandBytes-raft.RestoreHead) {
		r.pieces = append(r.pieces, raft.RestoreChunk{ID: r.id, Number: uint32(len(r.pieces)),
			Data: data})
	}
	r.pieces = append(r.pieces, raft.RestoreChunk{ID: r.id, Number: uint32(len(r.pieces)), Last: true,
		Bytes: bytes, Sum: sum})
}

// send proposes what may be under way.
func (r *restore) send() {
	if r.m.Life != r.life || !r.c.firing {
		r.over = true
	}
	last := len(r.pieces) - 1
	for !r.over && !r.lost &&
		(r.next < last && r.under < restoreWindow || r.next == last && r.done == last) {
		if r.next == last && r.lastAt == 0 {
			r.lastAt = r.c.now
		}
		r.under++
		r.next++
		r.m.propose(&r.pieces[r.next-1], &piece{r: r, n: r.next - 1})
	}
}

// propose proposes a piece of a backup.
func (m *member) propose(chunk *raft.RestoreChunk, p *piece) {
	o := m.c.newOp(nil, m, 0, true)
	o.Piece, o.piece = true, p
	ps := []core.Proposal{{ID: o.Serial, Data: chunk.Encode(), Restore: true}}
	m.note("propose piece", o.Serial, chunk.ID, uint64(chunk.Number))
	m.call(func(now time.Duration) { m.core.Propose(now, ps) })
}

func (p *piece) applied(at raft.LogID, value any) {
	p.at = at
	p.result, _ = value.(error)
}

// settled goes on after a piece has its outcome.
func (p *piece) settled(f witness.Fate) {
	r := p.r
	if r == nil {
		return // it gave a restore up
	}
	r.under--
	switch {
	case f != witness.Acked:
		r.lost = true
	case p.n == len(r.pieces)-1 && !r.lost && !errors.Is(p.result, fsm.ErrRestoreEnded):
		r.c.history.PieceAcked(r.id, p.at.Index, p.result != nil)
		r.over = true
		if p.result == nil {
			r.ackedAt = r.c.now
			r.c.report.Snapshots.Restored++
		}
	case p.result != nil && !r.lost:
		r.over = true
	case p.n == r.done && !r.lost:
		r.done++
	}
	switch {
	case r.over || r.m.Life != r.life:
	case r.lost && r.under == 0:
		r.m.after(r.c.swarm.Election/4, func() {
			r.lost, r.next = false, r.done
			r.send()
		})
	case !r.lost:
		r.m.after(0, r.send)
	}
}

// end gives a restore up, and may tell the others.
func (r *restore) end(tell bool) {
	if !r.over && r.m.Life == r.life && tell && r.c.firing {
		r.m.abandon(r.id)
	}
	r.over = true
}

func (m *member) abandon(id uint64) {
	m.c.report.Snapshots.Abandoned++
	m.propose(&raft.RestoreChunk{ID: id, Abandon: true}, &piece{})
}

// waiting is a restore that keeps a member from taking snapshots, as it was last seen to go on.
type waiting struct {
	fsm.Restoring
	since time.Duration
}

// postponed reports whether a restore is the reason for not taking a snapshot. One that has rested
// for long is given up.
func (m *member) postponed(err error) bool {
	var r *fsm.Restoring
	if !errors.As(err, &r) {
		return false
	}
	m.c.report.Snapshots.Postponed++
	if m.waits.Restoring != *r {
		m.waits = waiting{*r, m.c.now}
	} else if m.c.now-m.waits.since > 10*m.c.swarm.Election {
		m.waits.since = m.c.now
		m.abandon(r.ID)
	}
	return true
}

// settleRestores has every restore given up that is left when the cluster has healed.
func (c *Cluster) settleRestores(deadline time.Duration) {
	for _, m := range c.group() {
		for {
			_, err := m.keeper.Applier.Pin()
			var r *fsm.Restoring
			if !errors.As(err, &r) {
				break
			}
			c.check(c.now < deadline, "I33 convergence", "not within %v of healing: no restore left%s",
				deadline, c.sketch())
			if l := c.leader(); l != nil {
				l.abandon(r.ID)
			}
			c.runUntil(min(deadline, c.now+c.swarm.Election/4))
		}
	}
}
