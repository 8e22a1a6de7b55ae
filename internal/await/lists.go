package await

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// Unplaced holds the waiters whose commands the core has, and has not placed yet. Their ids are
// consecutive, so that one is found by subtraction.
type Unplaced[W any] struct {
	list []*W   // nil: was removed
	base uint64 // the id of list[0]
	head int    // list[:head] are nil
	left int    // not nil
}

// compactAt is how long the used-up front of a list may get before what follows is moved down.
const compactAt = 1024

// Len returns how many there are.
func (u *Unplaced[W]) Len() int { return u.left }

// Add takes in a waiter.
func (u *Unplaced[W]) Add(w *W) (id uint64) {
	u.list = append(u.list, w)
	u.left++
	return u.base + uint64(len(u.list)-1)
}

// Remove takes out the one with that id, which must be in.
func (u *Unplaced[W]) Remove(id uint64) *W {
	w := u.list[id-u.base]
	u.list[id-u.base] = nil
	u.left--
	for u.head < len(u.list) && u.list[u.head] == nil {
		u.head++
	}
	if u.head == len(u.list) || u.head >= compactAt && u.head > len(u.list)/2 {
		rest := copy(u.list, u.list[u.head:])
		clear(u.list[rest:])
		u.list, u.base, u.head = u.list[:rest], u.base+uint64(u.head), 0
	}
	return w
}

// Drain removes and returns all that are left.
func (u *Unplaced[W]) Drain() []*W {
	all := slices.DeleteFunc(u.list, func(w *W) bool { return w == nil })
	*u = Unplaced[W]{}
	return all
}

// Placed holds the waiters whose commands have a place in the log and are not committed, in the
// order of their indexes. New ones come at the end, but for the rare answer from a leader of an
// earlier term that comes late.
type Placed[W any] struct {
	list []place[W]
	head int // list[:head] are empty
}

type place[W any] struct {
	at  raft.LogID
	who *W
}

// Add takes in a waiter whose command stands at the given place.
func (p *Placed[W]) Add(at raft.LogID, w *W) {
	i := len(p.list)
	for i > p.head && p.list[i-1].at.Index > at.Index {
		i--
	}
	p.list = slices.Insert(p.list, i, place[W]{at, w})
}

// Next removes and returns a waiter at or below index i, nil if there is none left.
func (p *Placed[W]) Next(i raft.Index) *W {
	if p.head == len(p.list) || p.list[p.head].at.Index > i {
		return nil
	}
	w := p.list[p.head].who
	p.list[p.head] = place[W]{}
	p.head++
	if p.head == len(p.list) || p.head >= compactAt && p.head > len(p.list)/2 {
		rest := copy(p.list, p.list[p.head:])
		clear(p.list[rest:])
		p.list, p.head = p.list[:rest], 0
	}
	return w
}

// Lose removes and returns those placed in a term up to the given one and above index i.
func (p *Placed[W]) Lose(term raft.Term, i raft.Index) (lost []*W) {
	rest := make([]place[W], 0, len(p.list)-p.head)
	for _, w := range p.list[p.head:] {
		if w.at.Term <= term && w.at.Index > i {
			lost = append(lost, w.who)
		} else {
			rest = append(rest, w)
		}
	}
	p.list, p.head = rest, 0
	return lost
}

// Drain removes and returns all.
func (p *Placed[W]) Drain() (all []*W) {
	for _, w := range p.list[p.head:] {
		all = append(all, w.who)
	}
	*p = Placed[W]{}
	return all
}

// Reads holds the reads that wait for the core, grouped by the turn in which they came: one
// question to the core serves a whole group. Groups have consecutive ids.
type Reads struct {
	groups [][]*Read // nil: was removed
	base   uint64    // the id of groups[0]
	spare  [][]*Read // emptied slices
}

// Add takes in a copy of the group.
func (g *Reads) Add(group []*Read) (id uint64) {
	var own []*Read
	if n := len(g.spare); n > 0 {
		own, g.spare = g.spare[n-1], g.spare[:n-1]
	}
	g.groups = append(g.groups, append(own, group...))
	return g.base + uint64(len(g.groups)-1)
}

// Remove takes out the group with that id, which must be in.
func (g *Reads) Remove(id uint64) []*Read {
	group := g.groups[id-g.base]
	g.groups[id-g.base] = nil
	gone := 0
	for gone < len(g.groups) && g.groups[gone] == nil {
		gone++
	}
	rest := copy(g.groups, g.groups[gone:])
	clear(g.groups[rest:])
	g.groups, g.base = g.groups[:rest], g.base+uint64(gone)
	return group
}

// Reuse takes back a group that was removed.
func (g *Reads) Reuse(group []*Read) {
	clear(group)
	if len(g.spare) < 16 {
		g.spare = append(g.spare, group[:0])
	}
}

// Drain removes and returns all.
func (g *Reads) Drain() (all []*Read) {
	for _, group := range g.groups {
		all = append(all, group...)
	}
	*g = Reads{}
	return all
}
