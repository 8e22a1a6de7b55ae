package node

import (
	"slices"

	"github.com/jraft-go/jraft/raft"
)

// unplacedList holds the waiters whose commands the core has, and has not placed yet. Their ids are
// consecutive, so that one is found by subtraction.
type unplacedList struct {
	list []*waiter // nil: was removed
	base uint64    // the id of list[0]
	head int       // list[:head] are nil
	left int       // not nil
}

// compactAt is how long the used-up front of a list may get before what follows is moved down.
const compactAt = 1024

func (u *unplacedList) len() int { return u.left }

func (u *unplacedList) add(w *waiter) (id uint64) {
	u.list = append(u.list, w)
	u.left++
	return u.base + uint64(len(u.list)-1)
}

func (u *unplacedList) remove(id uint64) *waiter {
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

// drain removes and returns all that are left.
func (u *unplacedList) drain() []*waiter {
	all := slices.DeleteFunc(u.list, func(w *waiter) bool { return w == nil })
	*u = unplacedList{}
	return all
}

// placedList holds the waiters whose commands have a place in the log and are not committed, in the
// order of their indexes. New ones come at the end, but for the rare answer from a leader of an
// earlier term that comes late.
type placedList struct {
	list []*waiter
	head int // list[:head] are nil
}

func (p *placedList) add(w *waiter) {
	i := len(p.list)
	for i > p.head && p.list[i-1].at.Index > w.at.Index {
		i--
	}
	p.list = slices.Insert(p.list, i, w)
}

// next removes and returns a waiter at or below index i, nil if there is none left.
func (p *placedList) next(i raft.Index) *waiter {
	if p.head == len(p.list) || p.list[p.head].at.Index > i {
		return nil
	}
	w := p.list[p.head]
	p.list[p.head] = nil
	p.head++
	if p.head == len(p.list) || p.head >= compactAt && p.head > len(p.list)/2 {
		rest := copy(p.list, p.list[p.head:])
		clear(p.list[rest:])
		p.list, p.head = p.list[:rest], 0
	}
	return w
}

// lose removes and returns those placed in a term up to the given one and above index i.
func (p *placedList) lose(term raft.Term, i raft.Index) (lost []*waiter) {
	rest := make([]*waiter, 0, len(p.list)-p.head)
	for _, w := range p.list[p.head:] {
		if w.at.Term <= term && w.at.Index > i {
			lost = append(lost, w)
		} else {
			rest = append(rest, w)
		}
	}
	p.list, p.head = rest, 0
	return lost
}

// drain removes and returns all.
func (p *placedList) drain() []*waiter {
	all := p.list[p.head:]
	*p = placedList{}
	return all
}

// readGroups holds the reads that wait for the core, grouped by the turn in which they came: one
// question to the core serves a whole group. Groups have consecutive ids.
type readGroups struct {
	groups [][]*readCall // nil: was removed
	base   uint64        // the id of groups[0]
	spare  [][]*readCall // emptied slices
}

// add copies the group.
func (g *readGroups) add(group []*readCall) (id uint64) {
	var own []*readCall
	if n := len(g.spare); n > 0 {
		own, g.spare = g.spare[n-1], g.spare[:n-1]
	}
	g.groups = append(g.groups, append(own, group...))
	return g.base + uint64(len(g.groups)-1)
}

func (g *readGroups) remove(id uint64) []*readCall {
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

// reuse takes back a group that was removed.
func (g *readGroups) reuse(group []*readCall) {
	clear(group)
	if len(g.spare) < 16 {
		g.spare = append(g.spare, group[:0])
	}
}

func (g *readGroups) drain() (all []*readCall) {
	for _, group := range g.groups {
		all = append(all, group...)
	}
	*g = readGroups{}
	return all
}
