package core

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// transfer asks for a transfer and returns its number.
func (m *member) transferTo(to raft.PeerID) uint64 {
	m.c.asked++
	m.Transfer(m.c.now, m.c.asked, to)
	m.pump()
	return m.c.asked
}

func (m *member) handed(id uint64) (r Transferred, done bool) {
	for _, tr := range m.moved {
		if tr.ID == id {
			require.False(m.c.t, done, "transfer %d was answered twice", id)
			r, done = tr, true
		}
	}
	return r, done
}

// hand transfers leadership and returns the answer.
func (m *member) hand(to raft.PeerID) Transferred {
	id := m.transferTo(to)
	m.c.settle()
	r, done := m.handed(id)
	require.True(m.c.t, done, "no answer: %+v", m.Status())
	return r
}

func only[B raft.Body](m *raft.Message) bool { _, ok := m.Body.(B); return ok }

func TestTransferToAPeer(t *testing.T) {
	c := newCluster(t, "a", "b", "c", "d", "e")
	m := c.elect("a")
	m.propose("x")
	for n, to := range []raft.PeerID{"b", "e", "c", "d", "a"} {
		start := c.now
		r := m.hand(to)
		require.Equal(t, Transferred{ID: r.ID, To: to}, r)
		m = c.member(to)
		require.Equal(t, Leader, m.role)
		require.Equal(t, start, c.now, "within some round trips, though all hear the leader (B020)")
		require.Equal(t, raft.Term(n+2), m.term())
		m.propose("y")
		c.settle()
	}
	require.Len(t, m.commands(), 6)
}

func TestTransferToTheBest(t *testing.T) {
	c := newCluster(t, "a", "b", "c", "d", "e")
	a := c.elect("a")
	c.member("b").crash()
	c.settle()
	c.lose = func(m *raft.Message) bool { return m.To == "c" && only[*raft.AppendEntries](m) }
	a.propose("x")
	c.pass(5 * testHeartbeat)
	r := a.hand("")
	require.NoError(t, r.Err)
	require.Equal(t, raft.PeerID("d"), r.To, "b is down, c behind")
}

func TestTransferIsRefusedClearly(t *testing.T) {
	conf := raft.Configuration{Voters: peersOf("a", "b", "n"), Learners: peersOf("l")}
	conf.Voters[2].Priority = raft.NeverLeader
	c := newClusterWith(t, nil, conf)
	require.ErrorIs(t, c.member("a").hand("b").Err, raft.ErrNoLeader)
	a := c.elect("a")
	c.settle()
	require.ErrorIs(t, c.member("b").hand("a").Err, raft.ErrNotLeader)
	for _, to := range []raft.PeerID{"l", "x", "n"} {
		require.ErrorIs(t, a.hand(to).Err, raft.ErrUnfit, to)
	}
	require.Equal(t, Transferred{ID: a.hand("a").ID, To: "a"}, a.moved[len(a.moved)-1])
	c.member("b").crash()
	c.pass(5 * testHeartbeat)
	id := a.transferTo("")
	_, done := a.handed(id)
	require.False(t, done, "somebody may answer yet")
	require.LessOrEqual(t, a.NextDeadline(), c.now+testElection)
	c.pass(testElection)
	r, _ := a.handed(id)
	require.ErrorIs(t, r.Err, raft.ErrUnfit, "nobody else may lead, and lives")
	require.False(t, r.Unknown)
	require.Empty(t, a.Status().Transferring)
	require.Equal(t, Leader, a.role)
}

// silent is a leader that was just elected, of which nobody has answered anything yet.
func silent(t *testing.T) (*cluster, *member) {
	c := newCluster(t, "a", "b", "c")
	c.lose = func(m *raft.Message) bool {
		return only[*raft.HeartbeatReply](m) || only[*raft.AppendEntriesReply](m)
	}
	return c, c.elect("a")
}

func TestTransferWaitsForTheFirstAnswer(t *testing.T) {
	c, a := silent(t)
	ids := []uint64{a.transferTo(""), a.transferTo("")}
	c.settle()
	a.propose("x")
	require.NoError(t, a.placed[0].Err, "nobody is handed to yet")
	add := a.change(edit(raft.EditAddLearner, "l"))
	refused, _ := a.outcome(add)
	require.ErrorIs(t, refused.Err, raft.ErrTransferring)
	silent := c.lose
	c.lose = func(m *raft.Message) bool { return m.From == "c" && silent(m) }
	c.pass(5 * testHeartbeat)
	for _, id := range ids {
		r, done := a.handed(id)
		require.True(t, done)
		require.Equal(t, Transferred{ID: id, To: "b"}, r)
	}
	require.Equal(t, []string{"x"}, c.member("b").commands())
}

// TestLateTargetHasItsTime: who is chosen only after a while has an election timeout from then.
func TestLateTargetHasItsTime(t *testing.T) {
	c, a := silent(t)
	a.transferTo("")
	c.settle()
	until, silent := a.transfer.until, c.lose
	c.pass(testHeartbeat)
	require.Empty(t, a.transfer.to)
	c.lose = func(m *raft.Message) bool {
		_, asked := m.Body.(*raft.TimeoutNow)
		return asked || m.From == "c" && silent(m)
	}
	c.pass(2 * testHeartbeat)
	require.Equal(t, raft.PeerID("b"), a.transfer.to)
	require.GreaterOrEqual(t, a.transfer.until, until+testHeartbeat)
}

func TestTransferThatNobodyAnswersEnds(t *testing.T) {
	c, a := silent(t)
	first := a.transferTo("")
	named := a.transferTo("b") // whoever wants the best is content with that
	c.pass(testElection)
	for _, id := range []uint64{first, named} {
		r, done := a.handed(id)
		require.True(t, done)
		require.ErrorIs(t, r.Err, raft.ErrCatchUp)
	}

	c, a = silent(t)
	c.pass(testHeartbeat)
	id := a.transferTo("")
	c.pass(testElection)
	require.NotEqual(t, Leader, a.role, "without a quorum")
	_, done := a.handed(id)
	require.False(t, done)
	c.lose = nil
	c.elect("c")
	r, _ := a.handed(id)
	require.Equal(t, Transferred{ID: id, To: "c"}, r, "whoever leads is another")

	c, a = silent(t)
	id = a.transferTo("")
	c.pass(2 * testHeartbeat)
	a.follow(a.term()+1, "", nil)
	c.settle()
	c.lose = nil
	c.breakFrom("a")
	a.electionAt = c.now
	a.Tick(c.now)
	c.settle()
	require.Equal(t, Leader, a.role)
	r, _ = a.handed(id)
	require.ErrorIs(t, r.Err, raft.ErrUnfit)
	require.ErrorContains(t, r.Err, "a was elected instead of another")
}

func TestTransferIsRefusedAtOnceWhereNobodyMayLead(t *testing.T) {
	conf := raft.Configuration{Voters: peersOf("a", "n"), Learners: peersOf("l")}
	conf.Voters[1].Priority = raft.NeverLeader
	c := newClusterWith(t, nil, conf)
	require.ErrorIs(t, c.elect("a").hand("").Err, raft.ErrUnfit)
}

// TestTransferEndsAChangeThatOnlyWaits: nothing was appended for it, so it may be asked for again.
// It does not go on while leadership is handed over.
func TestTransferEndsAChangeThatOnlyWaits(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	c.lose = only[*raft.TimeoutNow]
	add := a.change(edit(raft.EditAdd, "d"))
	handing := a.transferTo("b")
	c.add("d")
	c.pass(5 * testHeartbeat)
	require.Len(t, a.configuration().Voters, 3, "d has caught up, and nothing is appended")
	require.False(t, a.configuration().Joint())
	c.lose = nil
	c.pass(5 * testHeartbeat)
	r, done := a.handed(handing)
	require.True(t, done)
	require.NoError(t, r.Err)
	ch, done := a.outcome(add)
	require.True(t, done)
	require.ErrorIs(t, ch.Err, raft.ErrLeadershipLost)
	require.False(t, ch.Unknown)
	c.member("b").must(edit(raft.EditAdd, "d"))
}

func TestTransferWaitsForAChange(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.lose = func(m *raft.Message) bool { return carries(m, true, 0) }
	a.change(edit(raft.EditRemove, "c"))
	c.settle()
	require.True(t, a.configuration().Joint())
	require.ErrorIs(t, a.hand("b").Err, raft.ErrChangeInProgress)
	a.crash()
	a.start()
	c.now += testElection
	a = c.elect("a") // now another leader's change, joint as well
	require.True(t, a.configuration().Joint())
	require.ErrorIs(t, a.hand("b").Err, raft.ErrChangeInProgress)
}

func TestTransferToALaggingPeer(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	c.lose = func(m *raft.Message) bool { return m.To == "b" && only[*raft.AppendEntries](m) }
	for range 100 {
		a.propose("x")
	}
	c.settle()
	id := a.transferTo("b")
	c.settle()
	_, done := a.handed(id)
	require.False(t, done)
	require.Equal(t, raft.PeerID("b"), a.Status().Transferring)
	c.lose = nil
	c.pass(5 * testHeartbeat)
	r, _ := a.handed(id)
	require.NoError(t, r.Err)
	require.Equal(t, Leader, c.member("b").role)
	c.settled(voters("a", "b", "c"))
	require.Len(t, c.member("b").commands(), 100)
}

func TestTransferWaitsUntilAllIsCommitted(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	a.hold = true // b has it, and nobody else
	c.lose = func(m *raft.Message) bool { return m.To == "c" }
	a.propose("x")
	id := a.transferTo("b")
	c.pass(testHeartbeat)
	require.Equal(t, Leader, a.role)
	require.Empty(t, a.commands())
	a.hold = false
	a.finishWrites(len(a.writes))
	c.settle()
	require.Equal(t, []string{"x"}, a.commands())
	r, _ := a.handed(id)
	require.NoError(t, r.Err)
}

func TestTransferToTheDeadEndsAndCommandsGoOn(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	c.member("b").crash()
	f := c.member("c")
	id := a.transferTo("b")
	a.propose("refused")
	f.propose("refused too")
	c.pass(testElection / 2)
	require.Equal(t, Placed{ID: a.placed[0].ID, Err: raft.ErrTransferring}, a.placed[0])
	require.Equal(t, Placed{ID: f.placed[0].ID, Err: raft.ErrTransferring}, f.placed[0])
	require.ErrorIs(t, a.fails(edit(raft.EditAdd, "d")), raft.ErrTransferring)
	require.LessOrEqual(t, a.NextDeadline(), a.transfer.until)
	c.pass(testElection / 2)
	r, done := a.handed(id)
	require.True(t, done)
	require.ErrorIs(t, r.Err, raft.ErrCatchUp)
	require.ErrorContains(t, r.Err, "this member leads on")
	require.False(t, r.Unknown)
	require.Equal(t, Leader, a.role)
	a.propose("taken")
	c.settle()
	require.Equal(t, []string{"taken"}, f.commands())
	require.NoError(t, a.hand("c").Err)
}

func TestTransferTwice(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	c.lose = only[*raft.TimeoutNow]
	first, second, best := a.transferTo("c"), a.transferTo("c"), a.transferTo("")
	require.ErrorIs(t, a.hand("b").Err, raft.ErrTransferring)
	c.lose = nil
	c.pass(2 * testHeartbeat) // it is asked again
	for _, id := range []uint64{first, second, best} {
		r, done := a.handed(id)
		require.True(t, done)
		require.Equal(t, Transferred{ID: id, To: "c"}, r)
	}
}

func TestTransferThatAnotherWins(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	c.lose = func(m *raft.Message) bool { return m.To == "b" && only[*raft.TimeoutNow](m) }
	id := a.transferTo("b")
	c.member("c").Receive(c.now, raft.Message{
		Cluster: "test", Group: "g", From: "a", To: "c", Term: 1, Body: &raft.TimeoutNow{},
	})
	c.settle()
	require.Equal(t, Leader, c.member("c").role)
	r, _ := a.handed(id)
	require.ErrorIs(t, r.Err, raft.ErrUnfit)
	require.Equal(t, raft.PeerID("c"), r.To)
}

func TestTransferWithoutANewLeaderIsUnknown(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	id := a.transferTo("b")
	c.lose = func(m *raft.Message) bool { return only[*raft.RequestVoteReply](m) && m.To == "b" }
	c.settle()
	require.NotEqual(t, Leader, a.role, "it gave way to b")
	c.lose = func(*raft.Message) bool { return true }
	require.LessOrEqual(t, a.NextDeadline(), c.now+2*testElection)
	c.pass(2 * testElection)
	r, done := a.handed(id)
	require.True(t, done)
	require.True(t, r.Unknown)
	require.ErrorIs(t, r.Err, raft.ErrNoLeader)
}

func TestLateTimeoutNowDeposesNobody(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	var late raft.Message
	c.lose = func(m *raft.Message) bool {
		if only[*raft.TimeoutNow](m) {
			late = *m
		}
		return false
	}
	require.NoError(t, a.hand("b").Err)
	c.lose = nil
	b := c.member("b")
	require.NoError(t, b.hand("c").Err)
	require.Equal(t, raft.Term(3), b.term())
	for _, m := range c.members { // B110: a follower, the leader, and who is not meant
		late.To = m.id
		m.Receive(c.now, late)
		m.pump()
	}
	late.Term, late.From, late.To = 3, "a", "b" // not of the leader
	b.Receive(c.now, late)
	c.settle()
	require.Equal(t, Leader, c.member("c").role)
	for _, m := range c.members {
		require.Equal(t, raft.Term(3), m.term())
	}
}

func TestRepeatedTimeoutNowCampaignsOnce(t *testing.T) {
	c := newCluster(t, "a", "b", "c")
	a := c.elect("a")
	c.settle()
	a.transferTo("b")
	c.flying = append(c.flying, c.flying...)
	c.settle()
	b := c.member("b")
	require.Equal(t, Leader, b.role)
	require.Equal(t, raft.Term(2), b.term())
}

func TestLearnersIgnoreTimeoutNow(t *testing.T) {
	conf := raft.Configuration{Voters: peersOf("a", "n"), Learners: peersOf("l")}
	conf.Voters[1].Priority = raft.NeverLeader
	c := newClusterWith(t, nil, conf)
	c.elect("a")
	c.settle()
	for _, id := range []raft.PeerID{"l", "n"} {
		m := c.member(id)
		m.Receive(c.now, raft.Message{
			Cluster: "test", Group: "g", From: "a", To: id, Term: 1, Body: &raft.TimeoutNow{},
		})
		c.settle()
		require.Equal(t, raft.Term(1), m.term())
		require.Equal(t, raft.PeerID("a"), m.leader)
	}
}

func TestTransferToAPeerThatHasASnapshot(t *testing.T) {
	c, a := compacted(t)
	f := c.member("c")
	f.snap = f.pull.Meta
	f.Pulled(c.now, f.snap, true)
	c.settle()
	require.NoError(t, a.hand("c").Err)
	f.propose("x")
	c.settle()
	require.Equal(t, []string{"x"}, f.commands())
}
