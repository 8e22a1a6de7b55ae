package transport

import (
	"context"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Network is a network in memory, with faults, for tests. It carries messages encoded, so that what
// arrives went through the same codec as on a real network. Chance is drawn from one stream per
// link, all derived from one seed; timing is that of real goroutines and timers (inside a
// testing/synctest bubble, of the bubble's clock). All methods may be called from several
// goroutines.
type Network struct {
	seed  uint64
	stats struct{ sent, delivered, dropped, refused atomic.Uint64 }

	mu        sync.Mutex
	endpoints map[string]*endpoint
	faults    map[route]Link
	chance    map[stream]*rand.Rand
	side      map[string]int // 1 and up; an address that is not in it is on side 0
}

// route is one direction between two addresses.
type route struct{ from, to string }

// stream is what one stream of chance is for: the messages of a route or, apart from them, its
// fetches.
type stream struct {
	route
	fetches bool
}

// Link says how one direction between two addresses misbehaves. The zero value is a perfect link:
// messages arrive at once and in order. Drop, Duplicate and Reorder are probabilities from 0 to 1,
// drawn for each message. Requests and replies of fetches are lost and late like messages.
type Link struct {
	Drop      float64
	Duplicate float64
	Reorder   float64 // held back, so that messages sent later overtake it
	DelayMin  time.Duration
	DelayMax  time.Duration // a delay is uniform between the two; the order is kept
	Cut       bool          // nothing arrives, what is under way included
}

// NetworkStats counts messages: Sent were handed to Send. Delivered reached a handler; Dropped did
// not, by chance, cut, partition, full queue or absent receiver. Refused did not decode or were not
// meant for the receiver.
type NetworkStats struct{ Sent, Delivered, Dropped, Refused uint64 }

// NewNetwork returns a network without faults.
func NewNetwork(seed uint64) *Network {
	return &Network{
		seed:      seed,
		endpoints: make(map[string]*endpoint),
		faults:    make(map[route]Link),
		chance:    make(map[stream]*rand.Rand),
	}
}

// Transport returns the transport of the process at addr, which may be any text. While it is open
// the same one is returned again; after its Close a new one, like a process that was started anew.
func (n *Network) Transport(addr string) Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e, ok := n.endpoints[addr]; ok {
		return e
	}
	e := &endpoint{net: n, addr: addr, links: make(map[string]*link)}
	e.life, e.kill = context.WithCancel(context.Background())
	n.endpoints[addr] = e
	return e
}

// Partition splits the network: addresses on different sides can't reach each other. Addresses that
// are not named form one more side together, so that Partition of one side isolates it. It replaces
// an earlier partition.
func (n *Network) Partition(sides ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = make(map[string]int)
	for i, addrs := range sides {
		for _, a := range addrs {
			n.side[a] = i + 1
		}
	}
}

// Heal undoes Partition. Faults of links stay; undo them with SetLink and the zero [Link].
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = nil
}

// SetLink sets the faults of one direction, from the next message on.
func (n *Network) SetLink(from, to string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[route{from, to}] = l
}

// Break ends the connection over which messages go from one address to another, as when a process
// dies or a connection is reset: what is under way is lost, and the members at to are told, if they
// watch for it ([BreakWatcher]), unless the link is cut. The next message opens a new connection.
func (n *Network) Break(from, to string) {
	n.mu.Lock()
	e := n.endpoints[from]
	n.mu.Unlock()
	if e == nil {
		return
	}
	e.linksMu.Lock()
	l := e.links[to]
	e.linksMu.Unlock()
	if l != nil {
		l.snap()
	}
}

// Stats returns the counts so far.
func (n *Network) Stats() NetworkStats {
	s := &n.stats
	return NetworkStats{s.sent.Load(), s.delivered.Load(), s.dropped.Load(), s.refused.Load()}
}

// open reports whether messages pass at the moment, and to whom.
func (n *Network) open(r route) (*endpoint, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.endpoints[r.to]
	return e, e != nil && n.side[r.from] == n.side[r.to] && !n.faults[r].Cut
}

// fate is what happens to one copy of a message.
type fate struct {
	delay   time.Duration
	inOrder bool
}

// fates draws what happens to the next message of a route: the fate of each copy, of which there
// may be none. It takes the same number of draws for every message, so that one option does not
// shift the chance of another.
func (n *Network) fates(s stream) []fate {
	n.mu.Lock()
	defer n.mu.Unlock()
	rng := n.chance[s]
	if rng == nil {
		name := s.from + "\x00" + s.to
		if s.fetches {
			name += "\x00fetches"
		}
		h := fnv.New64a()
		_, _ = io.WriteString(h, name) // a hash never fails
		rng = rand.New(rand.NewPCG(n.seed, h.Sum64()))
		n.chance[s] = rng
	}
	l := n.faults[s.route]
	drop, twice, late := rng.Float64() < l.Drop, rng.Float64() < l.Duplicate, rng.Float64() < l.Reorder
	spread := float64(max(0, l.DelayMax-l.DelayMin))
	delay := l.DelayMin + time.Duration(spread*rng.Float64())
	hold := time.Duration(float64(max(l.DelayMax, time.Millisecond)) * 2 * rng.Float64())
	again := l.DelayMin + time.Duration(spread*rng.Float64())
	if drop {
		return nil
	}
	out := []fate{{delay, true}}
	if late {
		out[0] = fate{delay + hold, false}
	}
	if twice {
		out = append(out, fate{again + hold, false})
	}
	return out
}
