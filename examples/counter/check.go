package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/jraft-go/jraft/examples/counter/service"
)

// ack is one increment as its client saw it.
type ack struct {
	Seq     uint64
	Delta   int64
	Total   int64         // the counter after it, as the answer said
	Started time.Duration // when it was first sent, since the start of the load
	Ended   time.Duration // when it was acknowledged
}

// history is everything that one client was promised.
type history struct {
	Client string
	Acks   []ack
}

// answer is what one member says at the end, by a linearizable read.
type answer struct {
	Member string
	service.Reading
}

// reasons say why a run is not a PASS.
type reasons []string

func (r *reasons) addf(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// check compares what the clients were promised with what the members hold, and returns every
// contradiction; none means PASS. It knows nothing of Raft: it believes only the clients' own
// notes.
func check(clients []history, members []answer) (wrong reasons) {
	want := service.State{Sessions: map[string]service.Session{}}
	var all []ack
	for _, h := range clients {
		for i, a := range h.Acks {
			if a.Seq != uint64(i)+1 {
				wrong.addf("client %s: ack %d is of seq %d", h.Client, i+1, a.Seq)
			}
			want.Total += a.Delta
			want.Sessions[h.Client] = service.Session{Seq: a.Seq, Total: a.Total}
		}
		all = append(all, h.Acks...)
	}
	if len(all) == 0 {
		wrong.addf("no increment was acknowledged at all")
	}
	if len(members) == 0 {
		wrong.addf("no member answered")
	}
	for _, m := range members {
		wrong = append(wrong, checkMember(&want, m)...)
	}
	return append(wrong, checkOrder(all)...)
}

// checkMember compares one member's state with the one that the acknowledgements add up to.
func checkMember(want *service.State, m answer) (wrong reasons) {
	for id, s := range want.Sessions {
		switch got := m.Clients[id]; {
		case got < s.Seq:
			wrong.addf("%s lost acked increments: client %s was told %d, it holds %d",
				m.Member, id, s.Seq, got)
		case got > s.Seq:
			wrong.addf("%s holds increments never asked for: client %s sent %d, it holds %d",
				m.Member, id, s.Seq, got)
		}
	}
	for id := range m.Clients {
		if _, known := want.Sessions[id]; !known {
			wrong.addf("%s holds increments of %s, which is no client", m.Member, id)
		}
	}
	switch {
	case m.Total < want.Total:
		wrong.addf("%s lost acked increments: its total is %d, acked were %d",
			m.Member, m.Total, want.Total)
	case m.Total > want.Total:
		wrong.addf("%s applied increments twice: its total is %d, acked were %d",
			m.Member, m.Total, want.Total)
	}
	if m.Gaps > 0 {
		wrong.addf("%s saw %d increments whose predecessor was missing", m.Member, m.Gaps)
	}
	if hash := want.Hash(); m.Hash != hash {
		wrong.addf("%s has diverged: its state hash is %s, it should be %s",
			m.Member, m.Hash, hash)
	}
	slices.Sort(wrong)
	return wrong
}

// checkOrder checks the answers against each other: the increments, in the order of their
// totals, must add up step by step (none lost, none applied twice, at any moment of the run and
// not only at its end), and that order must agree with time: an increment sent after another
// was acknowledged comes after it. For a counter, the two together are linearizability.
func checkOrder(acks []ack) (wrong reasons) {
	slices.SortFunc(acks, func(a, b ack) int { return cmp.Compare(a.Total, b.Total) })
	var total int64
	for _, a := range acks {
		total += a.Delta
		if a.Total != total {
			wrong.addf("an answer said %d where the increments add up to %d", a.Total, total)
			break
		}
	}
	for i := len(acks) - 1; i > 0; i-- {
		// Invariant: acks[i].Ended is the earliest end among the acks from i on.
		if acks[i-1].Started > acks[i].Ended {
			wrong.addf("not linearizable: the increment to %d was sent after a later one"+
				" was acknowledged", acks[i-1].Total)
			break
		}
		acks[i-1].Ended = min(acks[i-1].Ended, acks[i].Ended)
	}
	return wrong
}
