package sim

import (
	"time"
)

// compacted is the part of I31 that is about disks: once every member has a snapshot of all, its
// log takes no more space than the entries that it has left, and a few segments. Only where
// segments are so small, and values so large, that it does not take long to fill some.
func (c *Cluster) compacted() {
	w := &c.swarm
	if !w.Snapshots || w.SegmentBytes > 8<<10 || w.ValueBytes < 100 {
		return
	}
	size := min(w.ValueBytes, w.Limits.MaxCommandBytes)
	for written := 0; written < 10*w.SegmentBytes; written += 8 * size {
		c.insist("a write is acknowledged", c.now+c.bound(), func() *op {
			if l := c.leader(); l != nil {
				return c.write(nil, l, 0, size, 8, 1)
			}
			return nil
		})
	}
	deadline := c.now + c.bound()
	c.await("all members agree and owe nothing", c.agreed, deadline)
	for _, m := range c.group() {
		m.keeper.Take()
	}
	c.runUntil(c.now + time.Millisecond)
	c.await("all members have a snapshot", c.agreed, deadline)
	for _, m := range c.group() {
		left := c.history.Bytes(m.Member)
		most := 2*left + 5*2*w.SegmentBytes
		bytes := m.disk.Bytes()
		c.check(bytes <= most, "I31 bounds",
			"m%d: the log takes %d bytes for entries of %d, allowed are %d", m.Index, bytes, left, most)
		c.report.Snapshots.Measured++
	}
}
