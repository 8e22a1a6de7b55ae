package sim

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/register"
	"github.com/jraft-go/jraft/internal/sim/swarm"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// behind makes a member need a snapshot: it is cut off, and the leader takes one and compacts.
func (c *Cluster) behind() (leader, late *member) {
	leader = c.elect()
	c.elapse(c.swarm.Election)
	late = c.but(leader)[0]
	c.cutFor(never, []int{late.Index}, c.others(late.Index))
	for range 5 {
		c.write(nil, leader, 0, 20, 8, 1)
		c.elapse(c.swarm.Election / 10)
	}
	leader.keeper.Take()
	c.elapse(c.swarm.Election)
	c.check(leader.Status.First > late.Status.Last.Index+1, "I35 not vacuous", "nothing was compacted")
	return leader, late
}

// mend ends all cuts.
func (c *Cluster) mend() {
	for _, l := range c.links {
		l.cuts = 0
	}
}

// The member that fetches a snapshot loses power after each operation that changes a file: while it
// receives, publishes, resets its log, restores, removes what is old.
func TestScenarioCrashAtEveryStepOfAnInstall(t *testing.T) {
	everyStep(t, func(c *Cluster, n int) *member {
		_, late := c.behind()
		late.disk.FS.StopAfter(n)
		c.mend()
		return late
	})
}

// The same for the member that takes a snapshot, compacts its log and removes segments.
func TestScenarioCrashAtEveryStepOfASave(t *testing.T) {
	everyStep(t, func(c *Cluster, n int) *member {
		l, _ := c.behind()
		for range 5 {
			c.write(nil, l, 0, 100, 8, 1)
			c.elapse(c.swarm.Election / 10)
		}
		l.disk.FS.StopAfter(n)
		l.keeper.Take()
		c.elapse(c.swarm.Election)
		c.mend()
		return l
	})
}

// everyStep plays a scenario with a power loss ever later, until it comes after all is done.
func everyStep(t *testing.T, script func(c *Cluster, n int) *member) {
	const most = 120
	for n := range most {
		crashed := false
		swarm := calm(3)
		swarm.Keys, swarm.SegmentBytes = 4, 2048
		playIn(t, swarm, func(c *Cluster) {
			m := script(c, n)
			life := m.Life
			c.elapse(3 * c.swarm.Election)
			crashed = m.Life != life
			m.disk.FS.StopAfter(1 << 30)
		})
		if !crashed && n > 20 {
			t.Logf("done after %d operations", n)
			return
		}
	}
	t.Fatalf("after %d operations it is still not done", most)
}

// A snapshot is published when the log has brought what it covers, and more, and the state machine
// is behind: nothing is reset, nothing restored, and what is to be applied stays in the log.
func TestScenarioLogOvertakesTheSnapshot(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		l, late := c.behind()
		c.swarm.ApplyTime = c.swarm.Election
		late.keeper.Held = true
		c.mend()
		c.elapse(2 * c.swarm.Heartbeat)
		c.check(!late.keeper.Idle(), "I35 not vacuous", "no pull")
		meta, _ := l.keeper.Files.Newest()
		state, _ := l.keeper.Machine.Snapshot()
		l.crash(true, never)
		other := c.but(l, late)[0] // it has compacted nothing
		c.elect(other)
		ok := c.runWhile(func() bool { return late.Status.Committed <= meta.Last.Index },
			c.now+10*c.swarm.Election)
		c.check(ok && late.Status.Applied < meta.Last.Index, "I35 not vacuous", "the log is not faster")
		w, err := late.keeper.Files.Create(meta.Last, meta.Configuration)
		if err == nil {
			_, _ = w.Write(state.(*register.Pinned).Stream)
			meta, err = w.Commit()
		}
		c.check(err == nil, "I35 not vacuous", "publish: %v", err)
		c.history.Published(late.Member, meta)
		late.input(nil, func(now time.Duration) { late.core.Pulled(now, meta, true) })
		c.check(late.Status.First <= late.Status.Applied+1, "I27 snapshots never go back",
			"the log was compacted up to %d, applied is %d", late.Status.First-1, late.Status.Applied)
		c.swarm.ApplyTime = c.swarm.Heartbeat / 100
		c.elapse(5 * c.swarm.Election)
		late.keeper.Release()
		l.restartAfter(0)
	})
}

// I27: whoever names a snapshot that contradicts what is committed is not believed.
func TestScenarioSnapshotAgainstTheCommittedEntry(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		l := c.elect()
		c.write(nil, l, 0, 20, 8, 1)
		c.elapse(c.swarm.Election)
		f := c.but(l)[0]
		was := f.Status
		conf := raft.Configuration{Voters: was.Configuration.Voters[:1], Index: 1}
		first := raft.LogID{Term: 1, Index: 1}
		for _, last := range []raft.LogID{{Index: 1}, first, was.Last, {Term: 9, Index: 99}} {
			f.receive(transport.Encode(nil, &raft.Message{
				Cluster: "sim", Group: swarm.Group, From: l.ID, To: f.ID, Term: was.Term,
				Body: &raft.InstallSnapshot{Meta: raft.SnapshotMeta{Last: last, Configuration: conf}},
			}))
			c.check(f.keeper.Idle() && f.Status.Last == was.Last &&
				f.Status.Committed == was.Committed &&
				f.Status.Configuration.Index == was.Configuration.Index, "I27 snapshots never go back",
				"m%d believes in a snapshot at %v", f.Index, last)
		}
	})
}

// A damaged newest snapshot is passed over where the log still reaches the older one; where it does
// not the member refuses to start, and says why.
func TestScenarioDamagedSnapshot(t *testing.T) {
	for _, trailing := range []int{0, 1000} {
		swarm := calm(3)
		swarm.Limits.TrailingEntries = trailing
		playIn(t, swarm, func(c *Cluster) {
			l := c.elect()
			for range 3 {
				for range 20 {
					c.write(nil, l, 0, 100, 8, 1)
					c.elapse(c.swarm.Election / 10)
				}
				l.keeper.Take()
				c.elapse(c.swarm.Election)
			}
			newest := l.Status.Snapshot.Last
			l.crash(true, never)
			name := fmt.Sprintf("snap/snap-%020d-%010d/state", newest.Index, newest.Term)
			l.keeper.Flip(name, 3, 3)
			l.restartAfter(0)
			c.elapse(c.swarm.Election)
			if trailing == 0 {
				c.check(l.core == nil && errors.Is(l.cause, raft.ErrCorrupt), "I29 corruption is loud",
					"m%d starts from a damaged snapshot: %v", l.Index, l.cause)
				l.keeper.Repair()
				l.restartAfter(0)
				return
			}
			c.check(l.core != nil && l.Status.Snapshot.Last.Index <= newest.Index &&
				l.Status.Role != core.Learner && c.report.Snapshots.Older == 1, "I28 recovery is a prefix",
				"m%d does not start from the older snapshot", l.Index)
		})
	}
}
