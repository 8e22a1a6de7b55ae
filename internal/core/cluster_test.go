package core

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

const (
	testElection  = 100 * time.Millisecond
	testHeartbeat = 10 * time.Millisecond
)

// cluster runs a few cores by hand: messages wait in flight until the test lets them through,
// writes are durable at once unless a member's disk is held. A message arrives only where its
// sender knows the receiver's address.
type cluster struct {
	t       *testing.T
	now     time.Duration
	members []*member
	flying  []raft.Message
	asked   uint64                     // changes and transfers so far
	lose    func(m *raft.Message) bool // true: the message is lost
}

type member struct {
	*Core
	c       *cluster
	id      raft.PeerID
	addr    string
	base    raft.LogID   // of the log
	stored  []raft.Entry // durable, after base
	snap    raft.SnapshotMeta
	pull    *Pull
	hard    raft.HardState
	hold    bool // writes are not carried out
	stuck   bool // the state machine does not come back
	writes  []logmanager.Write
	applied []raft.Entry
	placed  []Placed
	reads   []ReadReady
	changes []Changed
	moved   []Transferred
	lost    raft.Term
	down    bool
	starts  uint64
	adjust  func(*Options)
}

func newCluster(t *testing.T, ids ...raft.PeerID) *cluster {
	return newClusterOf(t, nil, ids...)
}

func newClusterOf(t *testing.T, adjust func(*Options), ids ...raft.PeerID) *cluster {
	return newClusterWith(t, adjust, raft.Configuration{Voters: peersOf(ids...)})
}

func newClusterWith(t *testing.T, adjust func(*Options), conf raft.Configuration) *cluster {
	c := &cluster{t: t}
	first, _ := raft.MakeEntry(nil, 0, 1, raft.EntryConfiguration, raft.EncodeConfiguration(conf))
	for _, p := range conf.Members() {
		m := c.add(p.ID)
		m.stored, m.adjust = []raft.Entry{first}, adjust
		m.start()
	}
	return c
}

func peersOf(ids ...raft.PeerID) (list []raft.Peer) {
	for _, id := range ids {
		list = append(list, raft.Peer{ID: id, Addr: string(id) + ":1"})
	}
	return list
}

// add starts members with empty stores, and returns the last one.
func (c *cluster) add(ids ...raft.PeerID) (m *member) {
	for _, id := range ids {
		m = &member{c: c, id: id, addr: string(id) + ":1"}
		m.start()
		c.members = append(c.members, m)
	}
	return m
}

// wipe replaces the disk by an empty one.
func (m *member) wipe() {
	m.crash()
	m.base, m.stored, m.hard, m.snap = raft.LogID{}, nil, raft.HardState{}, raft.SnapshotMeta{}
	m.start()
}

func (m *member) restart() {
	m.crash()
	m.start()
}

// breakFrom ends all connections from a member.
func (c *cluster) breakFrom(id raft.PeerID) {
	for _, m := range c.members {
		if m.id != id && !m.down {
			m.Broken(c.now, id)
		}
	}
}

// reaches reports whether the sender of a message knows where its receiver is.
func (c *cluster) reaches(msg *raft.Message) bool {
	from, to := c.member(msg.From), c.member(msg.To)
	addr, known := from.Address(msg.To)
	return known && to != nil && addr == to.addr
}

func (m *member) start() {
	s := logmanager.Stored{HardState: m.hard, Base: m.base, Last: m.base}
	for _, e := range m.stored {
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Term != e.Term {
			s.Runs = append(s.Runs, logmanager.Run{First: e.Index, Term: e.Term})
		}
		if e.Kind == raft.EntryConfiguration {
			s.Configurations = append(s.Configurations, e)
		}
		s.Last = e.ID()
	}
	m.starts++
	o := Options{
		Cluster: "test", Group: "g", ID: m.id,
		ElectionTimeout: testElection, HeartbeatInterval: testHeartbeat,
		Seed: uint64(m.id[0]), Sender: m.starts<<32 | uint64(m.id[0])<<24, MaxCommandBytes: 1 << 20,
		MaxPendingBytes: 1 << 20, MaxApplyBytes: 1 << 20, MaxPendingReads: 100, CacheBytes: 1000,
		Replication: replicator.Limits{}.WithDefaults(),
	}
	if m.adjust != nil {
		m.adjust(&o)
	}
	core, err := New(o, m.c.now, s, m.snap)
	require.NoError(m.c.t, err)
	m.Core, m.down, m.writes, m.applied = core, false, nil, nil
}

// crash loses what is not durable.
func (m *member) crash() { m.down, m.writes = true, nil }

func (m *member) index() raft.Index { return m.base.Index + raft.Index(len(m.stored)) }

// save takes a snapshot of what is applied.
func (m *member) save() {
	last := m.applied[len(m.applied)-1].ID()
	conf := m.tail.ConfigurationAt(last.Index)
	m.snap = raft.SnapshotMeta{Last: last, Configuration: conf.Clone()}
	m.Saved(m.c.now, m.snap)
	m.pump()
}

// pump carries out everything that can be done without time passing and without delivering
// messages.
func (m *member) pump() {
	var o Output
	for !m.down {
		busy := m.Take(&o)
		if !busy {
			return
		}
		if o.Write.Seq != 0 {
			m.writes = append(m.writes, o.Write)
		}
		m.c.flying = append(m.c.flying, o.Messages...)
		m.placed = append(m.placed, o.Placed...)
		m.reads = append(m.reads, o.Reads...)
		m.changes = append(m.changes, o.Changes...)
		m.moved = append(m.moved, o.Transfers...)
		m.lost = max(m.lost, o.Lost)
		if !m.hold {
			m.finishWrites(len(m.writes))
		}
		for _, f := range o.Fetches {
			from, to := f.Lo-1-m.base.Index, f.Hi-m.base.Index
			m.Fetched(m.c.now, f.Peer, slices.Clone(m.stored[from:to]))
		}
		if len(o.Apply) > 0 {
			m.applied = append(m.applied, o.Apply...)
			if !m.stuck {
				m.Applied(m.c.now, o.Apply[len(o.Apply)-1].Index)
			}
		}
		if o.Pull != nil {
			m.pull = o.Pull
		}
		if o.Restore != nil {
			m.applied = m.applied[:0]
			m.Applied(m.c.now, o.Restore.Last.Index)
		}
	}
}

// finishWrites makes the oldest n writes durable.
func (m *member) finishWrites(n int) {
	for _, w := range m.writes[:n] {
		if w.HardState != nil {
			m.hard = *w.HardState
		}
		if w.Reset != (raft.LogID{}) {
			m.base, m.stored = w.Reset, nil
		}
		if w.Truncate != 0 {
			m.stored = m.stored[:w.Truncate-1-m.base.Index]
		}
		for _, e := range w.Entries {
			require.Equal(m.c.t, m.index()+1, e.Index)
			m.stored = append(slices.Clip(m.stored), e)
		}
		if w.Compact > m.base.Index {
			n := w.Compact - m.base.Index
			m.base, m.stored = m.stored[n-1].ID(), m.stored[n:]
		}
		m.Written(m.c.now, w.Seq)
	}
	m.writes = m.writes[n:]
}

func (c *cluster) member(id raft.PeerID) *member {
	for _, m := range c.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// settle delivers messages until there are none.
func (c *cluster) settle() {
	for range 10_000 {
		for _, m := range c.members {
			m.pump()
		}
		if len(c.flying) == 0 {
			return
		}
		batch := c.flying
		c.flying = nil
		for _, msg := range batch {
			to := c.member(msg.To)
			if !c.reaches(&msg) || to.down || (c.lose != nil && c.lose(&msg)) {
				continue
			}
			to.Receive(c.now, msg)
			to.pump()
		}
	}
	c.t.Fatal("messages never cease")
}

// pass lets time go by in steps of a heartbeat interval.
func (c *cluster) pass(d time.Duration) { c.passBy(d, testHeartbeat) }

func (c *cluster) passBy(d, step time.Duration) {
	for end := c.now + d; c.now < end; {
		c.now += step
		for _, m := range c.members {
			if !m.down {
				m.Tick(c.now)
			}
		}
		c.settle()
	}
}

// elect makes a member leader: it is the only one whose election timer runs.
func (c *cluster) elect(id raft.PeerID) *member {
	m := c.member(id)
	for range 100 {
		if m.role == Leader {
			return m
		}
		c.now += testElection
		m.Tick(max(c.now, m.electionAt))
		c.now = max(c.now, m.now)
		c.settle()
	}
	c.t.Fatalf("%s is not elected: %+v", id, m.Status())
	return nil
}

func (m *member) propose(data ...string) {
	for i, d := range data {
		id := uint64(len(m.placed)+i) + 1000*uint64(m.id[0])
		m.Propose(m.c.now, []Proposal{{ID: id, Data: []byte(d)}})
	}
	m.pump()
}

// fill proposes n commands at once.
func (m *member) fill(n int) {
	list := make([]Proposal, n)
	for i := range list {
		list[i] = Proposal{ID: uint64(i), Data: []byte("some data")}
	}
	m.Propose(m.c.now, list)
	m.pump()
}

// commands lists what a member has applied.
func (m *member) commands() (list []string) {
	for _, e := range m.applied {
		if e.Kind == raft.EntryCommand {
			list = append(list, string(e.Data))
		}
	}
	return list
}
