package sim

import (
	"errors"
	"testing"

	"github.com/jraft-go/jraft/fsm"
)

// older gives the leader a state that is newer than the snapshot of which it makes a backup.
func (c *Cluster) older() (leader *member, r *restore) {
	leader = c.elect()
	for _, more := range []bool{true, false} {
		for range 3 {
			c.write(nil, leader, 0, 20, 8, 1)
			c.elapse(c.swarm.Election / 10)
		}
		if more {
			leader.keeper.Take()
			c.elapse(c.swarm.Election)
		}
	}
	return leader, c.backup(leader, &episode{})
}

// A member loses power after each operation that changes a file while a backup is restored: while
// its log gets the pieces, while they are staged, and while what was staged is removed.
func TestScenarioCrashAtEveryStepOfARestore(t *testing.T) {
	for _, leads := range []bool{true, false} {
		everyStep(t, func(c *Cluster, n int) *member {
			c.swarm.Limits.MaxCommandBytes = 80
			leader, r := c.older()
			m := leader
			if !leads {
				m = c.but(leader)[0]
			}
			m.disk.FS.StopAfter(n)
			r.begin(leader)
			return m
		})
	}
}

// The member that restores a backup is gone in the midst of it, for good, and the group goes on
// without a change of leader: snapshots wait, until whoever wants one gives the restore up.
func TestScenarioOrphanedRestore(t *testing.T) {
	play(t, 3, func(c *Cluster) {
		c.swarm.Limits.MaxCommandBytes = 80
		leader, r := c.older()
		was := c.history.StateAt(c.history.Commit())
		m := c.but(leader)[0]
		r.begin(m)
		ok := c.runWhile(func() bool { return r.done < 2 }, c.now+c.swarm.Election)
		c.check(ok && !r.over, "I35 not vacuous", "the restore does not begin")
		m.crash(false, never)
		c.elapse(c.swarm.Election)
		_, err := leader.keeper.Applier.Pin()
		var restoring *fsm.Restoring
		c.check(errors.As(err, &restoring), "I35 not vacuous", "no restore is left: %v", err)
		for range 15 {
			leader.keeper.Take()
			c.elapse(c.swarm.Election)
		}
		c.check(c.report.Snapshots.Abandoned == 1, "I36 restored whole", "it was not given up")
		newest, _ := leader.keeper.Files.Newest()
		c.check(newest.Last.Index >= restoring.First, "I36 restored whole", "no snapshot is taken")
		c.check(leader.keeper.Machine.Hash == was.Hash, "I36 restored whole", "the state has changed")
		m.restartAfter(0)
	})
}
