package sim

import (
	"time"

	"github.com/jraft-go/jraft/internal/sim/swarm"
)

// lane is a part of a link that does not wait for the others.
type lane int

// The lanes, as the real transport has them: a heartbeat never waits behind entries, nor either
// behind pieces of a snapshot.
const (
	control lane = iota
	bulk
	fetches
	lanes
)

// link carries messages from one member to another. Within a lane it keeps the order, unless that
// fault is on.
type link struct {
	c        *Cluster
	from, to int
	draw     *swarm.Stream
	cuts     int // how many reasons there are not to deliver
	free     [lanes]time.Duration
	busy     [lanes]time.Duration // until when a link of limited speed sends what it was given
}

func newLink(c *Cluster, from, to int) *link {
	return &link{c: c, from: from, to: to, draw: swarm.NewStream(c.Seed, 1000+uint64(from*16+to))}
}

// send draws a message's fate. The number of draws is the same for every message of a kind.
func (l *link) send(data []byte, in lane, deliver func(data []byte)) {
	w, id := &l.c.swarm, l.from*16+l.to
	drop := l.c.fire(swarm.Drop, id, l.draw.Chance(w.Rate[swarm.Drop]))
	twice := l.c.fire(swarm.Duplicate, id, l.draw.Chance(w.Rate[swarm.Duplicate]))
	late := l.c.fire(swarm.Delay, id, l.draw.Chance(w.Rate[swarm.Delay]))
	overtake := l.c.fire(swarm.Reorder, id, l.draw.Chance(max(0.05, w.Rate[swarm.Reorder])))
	wait := swarm.Exponential(l.draw.Unit(), l.c.swarm.LinkDelay)
	extra := time.Duration(l.draw.Unit() * float64(w.Span[swarm.Delay]))
	again := time.Duration(l.draw.Unit() * float64(w.Span[swarm.Duplicate]))
	if in == fetches {
		data = l.garble(data)
	}
	if drop || l.isCut() {
		return
	}
	sent, room := l.pace(len(data), in)
	if !room {
		l.c.report.Overflows++
		return
	}
	at := sent + min(wait, 8*l.c.swarm.LinkDelay)
	if late {
		at += extra
	}
	if !late && !overtake {
		at = max(at, l.free[in])
		l.free[in] = at
	}
	arrive := func() {
		if l.c.members[l.to].core != nil && !(l.c.swarm.CutInFlight && l.isCut()) {
			deliver(data)
		}
	}
	l.c.after(at-l.c.now, arrive)
	if twice {
		l.c.after(at-l.c.now+again, arrive)
	}
}

// pace returns when a link of limited speed has sent so many bytes, or false if too many wait
// before them. Control messages, which are few, don't wait for entries, but entries for them.
// Fetches are not slowed: what limits them is their members' own.
func (l *link) pace(bytes int, in lane) (sent time.Duration, room bool) {
	w := &l.c.swarm
	if w.LinkBytesPerSecond == 0 || in == fetches {
		return l.c.now, true
	}
	from := max(l.busy[in], l.c.now)
	if from-l.c.now > w.OnLink(w.LinkQueueBytes) {
		return 0, false
	}
	took := w.OnLink(bytes)
	if l.busy[in] = from + took; in == control {
		l.busy[bulk] = max(l.busy[bulk], l.c.now) + took
	}
	return l.busy[in], true
}

// garble may damage a byte of a piece of a snapshot.
func (l *link) garble(data []byte) []byte {
	w := &l.c.swarm
	hit := l.c.fire(swarm.Corrupt, l.from*16+l.to, l.draw.Chance(w.Rate[swarm.Corrupt]))
	at, bits := l.draw.Pick(len(data)), byte(1+l.draw.Pick(255))
	if hit {
		data = append([]byte(nil), data...)
		data[at] ^= bits
	}
	return data
}

// deliver hands a message to the receiver.
func (l *link) deliver(data []byte) {
	m := l.c.members[l.to]
	copies := 1
	if l.c.filter != nil {
		copies = l.c.filter(l.from, l.to, data)
	}
	for range copies {
		m.after(0, func() { m.receive(data) })
	}
}

// cut stops the links from the members in a to those in b, until the returned function is called.
func (c *Cluster) cut(a, b []int) (mend func()) {
	var stopped []*link
	for _, i := range a {
		for _, j := range b {
			if i != j {
				l := c.links[i*len(c.members)+j]
				l.cuts++
				stopped = append(stopped, l)
			}
		}
	}
	return func() {
		for _, l := range stopped {
			l.cuts--
		}
	}
}

// isCut reports whether the link delivers nothing now.
func (l *link) isCut() bool { return l.cuts > 0 && l.c.firing }

// carry brings a request to another member, and its reply back.
func (c *Cluster) carry(from, to *member, request []byte, got func(reply []byte)) {
	if to == nil {
		return
	}
	n := len(c.members)
	there, back := c.links[from.Index*n+to.Index], c.links[to.Index*n+from.Index]
	life := from.Life
	there.send(request, fetches, func(request []byte) {
		to.after(0, func() {
			to.keeper.Serve(request, func(reply []byte) {
				back.send(reply, fetches, func(reply []byte) {
					if from.Life == life {
						from.after(0, func() { got(reply) })
					}
				})
			})
		})
	})
}
