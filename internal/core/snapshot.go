package core

import (
	"time"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// Saved tells that a snapshot of this member's own state is durable. The log may be compacted up to
// it, less what slow followers are likely to need (§7).
func (c *Core) Saved(now time.Duration, meta raft.SnapshotMeta) {
	c.advance(now)
	invariant.Check(meta.Last.Index <= c.applied, "a snapshot covers what is applied",
		uint64(meta.Last.Index), uint64(c.applied))
	if meta.Last.Index >= c.snapshot.Last.Index { // the same once more: the first was damaged
		c.snapshot = meta
	}
	c.compact()
}

// compact gives up entries that the newest snapshot covers, except the trailing ones and those that
// a follower needs which was named a snapshot: else it would need the next one when it has fetched
// this. A follower that gains nothing for long must not fill the leader's disk.
func (c *Core) compact() {
	// The newest snapshot may be one that was fetched and that the log has overtaken: then the state
	// machine gets these entries from the log.
	to := min(c.snapshot.Last.Index, c.tail.Durable(), c.applied)
	tail := to - min(to, raft.Index(c.o.TrailingEntries))
	if c.o.TrailingBytes > 0 {
		tail = max(tail, c.tail.Trailing(to, c.o.TrailingBytes))
	}
	to = tail
	for _, p := range c.peers {
		p.CatchingUp = p.CatchingUp && p.Needs() < to
		if p.CatchingUp && !p.Stuck(c.now, 10*c.o.ElectionTimeout) {
			to = min(to, p.Needs())
		}
	}
	if to >= c.tail.First() {
		invariant.Check(to <= c.applied, "only applied entries are compacted",
			uint64(to), uint64(c.applied))
		invariant.Check(to <= c.snapshot.Last.Index, "only what a snapshot covers is compacted",
			uint64(to), uint64(c.snapshot.Last.Index))
		c.tail.Compact(to)
	}
}

// install names the newest snapshot to a follower that needs entries which are gone.
func (c *Core) install(p *replicator.Progress) {
	invariant.Check(c.role == Leader, "only a leader names snapshots", uint64(c.role))
	invariant.Check(c.snapshot.Last.Index+1 >= c.tail.First(), "a snapshot covers what is compacted",
		uint64(c.snapshot.Last.Index), uint64(c.tail.First()))
	invariant.Check(c.role == Leader && p.Next <= c.snapshot.Last.Index,
		"a follower is sent a snapshot that helps", uint64(p.Next), uint64(c.snapshot.Last.Index))
	p.Install(c.now, c.snapshot)
	c.send(p.ID, &raft.InstallSnapshot{Meta: c.snapshot})
}

// onInstallSnapshot begins to fetch the snapshot that the leader names, or says how far it is.
func (c *Core) onInstallSnapshot(from raft.PeerID, b *raft.InstallSnapshot) {
	m := &b.Meta
	if m.Last.Index == 0 || m.Last.Term > c.term() || m.Configuration.Validate() != nil {
		return
	}
	c.heard(from)
	if b.Meta.Last.Index <= c.box.Commit() {
		c.answerInstalled(from, b.Meta.Last)
		return
	}
	addr, known := c.Address(from)
	if !known { // a member that is new to the group finds it in nothing but the snapshot
		p, _ := m.Configuration.Peer(from)
		addr = p.Addr
	}
	if c.pull.From != from || c.pull.Addr != addr || c.pull.Meta.Last != m.Last {
		c.pull, c.pulled = Pull{From: from, Addr: addr, Meta: *m}, 0
		pull := c.pull
		c.out.Pull = &pull
	}
	c.send(from, &raft.InstallSnapshotReply{Last: b.Meta.Last, Bytes: c.pulled})
}

// answerInstalled tells the leader that this member has all that the snapshot covers. What is
// committed here agrees with the log of every leader (§5.4), and what is durable of it is promised.
func (c *Core) answerInstalled(to raft.PeerID, last raft.LogID) {
	match := c.box.Commit()
	invariant.Check(match >= last.Index, "what a snapshot covers is committed",
		uint64(match), uint64(last.Index))
	reply := &raft.InstallSnapshotReply{Last: last, Done: true, Match: match}
	if match <= c.durableInTerm() {
		c.send(to, reply)
	} else {
		c.promise(to, reply)
	}
}

// Arrived tells how many bytes of the snapshot being pulled have come so far.
func (c *Core) Arrived(now time.Duration, last raft.LogID, bytes int64) {
	c.advance(now)
	if c.pull.Meta.Last == last {
		c.pulled = bytes
	}
}

// Pulled ends a [Pull]: the snapshot is durable and published, complete and verified. With ok false
// it can't be had: the leader is asked to name another.
//
// Invariant: the snapshot is published before the log is reset to it, so a crash at any moment
// leaves a member that starts: a log that does not reach the newest snapshot is reset then (see
// logmanager.NewTail). That is why what the snapshot covers may be acknowledged at once.
func (c *Core) Pulled(now time.Duration, meta raft.SnapshotMeta, ok bool) {
	c.advance(now)
	from := c.pull.From
	if c.pull.Meta.Last == meta.Last {
		c.pull, c.pulled = Pull{}, 0
	}
	if !ok {
		if from != "" && from == c.leader {
			c.send(from, &raft.InstallSnapshotReply{Last: meta.Last, Failed: true})
		}
		return
	}
	if meta.Last.Index > c.snapshot.Last.Index {
		c.snapshot = meta
	}
	if meta.Last.Index <= c.box.Commit() {
		c.compact()
		return // the log was faster
	}
	if term, ok := c.tail.TermAt(meta.Last.Index); !ok || term != meta.Last.Term {
		invariant.Check(c.role != Leader, "a leader has everything that is committed (§5.4)",
			uint64(meta.Last.Index), uint64(c.tail.Last().Index))
		c.tail.Reset(meta)
	}
	c.box.Learn(meta.Last.Index)
	invariant.Check(c.handed < meta.Last.Index, "a snapshot that is installed is news",
		uint64(c.handed), uint64(meta.Last.Index))
	c.verified = max(c.verified, meta.Last.Index)
	c.handed = meta.Last.Index
	c.applying = append(c.applying, chunk{meta.Last.Index, 0})
	restore := meta
	c.out.Restore = &restore
	if (c.role == PreCandidate || c.role == Candidate) && !c.electable() {
		c.forsake(false) // the configuration that came with it bars this member
		c.situate(Follower, "", nil)
	}
	if c.leader != "" && c.leader != c.o.ID {
		c.answerInstalled(c.leader, meta.Last)
	}
}

// onInstallSnapshotReply follows a follower that fetches a snapshot.
func (c *Core) onInstallSnapshotReply(from raft.PeerID, b *raft.InstallSnapshotReply) {
	p := c.peer(from)
	if c.role != Leader || p == nil {
		return
	}
	p.Hear(c.now)
	invariant.Check(p.Match <= c.tail.Last().Index, "a follower holds no more than the leader",
		uint64(p.Match), uint64(c.tail.Last().Index))
	switch {
	case b.Done && b.Match <= c.tail.Last().Index:
		if p.Accepted(c.now, b.Match) {
			c.countCommit()
		}
		c.compact()
	case b.Failed && p.State == replicator.Snapshot && p.Installing.Last == b.Last:
		c.install(p)
	default:
		p.Arrived(c.now, b.Last, b.Bytes)
	}
}

// stopPull ends a pull that is not needed any more.
func (c *Core) stopPull() {
	if c.pull.From != "" {
		c.pull, c.pulled = Pull{}, 0
		c.out.Pull = &Pull{}
	}
}
