package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// memNames is a directory: the durable names, the names of now, and the changes between them in
// order.
type memNames struct {
	durable, now map[string]*memNode
	pending      []nameChange
}

// nameChange gives a node a name (to), takes one away (from), or both at once.
type nameChange struct {
	from, to string
	node     *memNode
}

func applyName(names *map[string]*memNode, c nameChange) {
	if *names == nil {
		*names = map[string]*memNode{}
	}
	if c.from != "" {
		delete(*names, c.from)
	}
	if c.to != "" {
		(*names)[c.to] = c.node
	}
}

func (d *memNames) step(c nameChange) {
	applyName(&d.now, c)
	d.pending = append(d.pending, c)
}

func (d *memNames) add(name string, n *memNode) { d.step(nameChange{to: name, node: n}) }

func (d *memNames) remove(name string) { d.step(nameChange{from: name}) }

func (d *memNames) rename(from, to string, n *memNode) {
	d.step(nameChange{from: from, to: to, node: n})
}

func (d *memNames) sync() {
	for _, c := range d.pending {
		applyName(&d.durable, c)
	}
	d.pending = d.pending[:0]
}

// crash leaves a prefix of the un-synced changes, as a journalling file system does.
func (d *memNames) crash(keep Keep, rng *rand.Rand) {
	left := 0
	switch {
	case keep == KeepAll:
		left = len(d.pending)
	case keep == KeepSome && len(d.pending) > 0:
		left = rng.IntN(len(d.pending) + 1)
	}
	for _, c := range d.pending[:left] {
		applyName(&d.durable, c)
	}
	d.pending = nil
	d.now = maps.Clone(d.durable)
}

// crash goes through the tree in the order of the names, so that equal sources give equal outcomes.
func (n *memNode) crash(keep Keep, rng *rand.Rand) {
	if n.names == nil {
		n.memContent.crash(keep, rng)
		return
	}
	n.names.crash(keep, rng)
	for _, name := range slices.Sorted(maps.Keys(n.names.now)) {
		n.names.now[name].crash(keep, rng)
	}
}
