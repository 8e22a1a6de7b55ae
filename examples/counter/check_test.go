package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/examples/counter/service"
	"github.com/jraft-go/jraft/raft"
)

// goodRun is a run in which two clients made three increments, one after the other, and three
// members agree.
func goodRun() ([]history, []answer) {
	at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	clients := []history{
		{"c1", []ack{{1, 1, 1, at(0), at(2)}, {2, 1, 3, at(4), at(6)}}},
		{"c2", []ack{{1, 1, 2, at(1), at(5)}}},
	}
	c := service.NewCounter()
	apply(c, "c1", 1)
	apply(c, "c2", 1)
	apply(c, "c2", 1) // a retry
	apply(c, "c1", 2)
	var members []answer
	for i := range 3 {
		r, _ := c.Read()
		members = append(members, answer{fmt.Sprintf("n%d", i+1), r})
	}
	return clients, members
}

func apply(c *service.Counter, client string, seq uint64) {
	data, _ := json.Marshal(service.Command{Client: client, Seq: seq, Delta: 1})
	c.Apply(raft.Entry{Kind: raft.EntryCommand, Data: data})
}

func TestCheckAcceptsAGoodRun(t *testing.T) {
	require.Empty(t, check(goodRun()))
}

func TestCheckRejects(t *testing.T) {
	for _, tc := range []struct {
		name, reason string
		spoil        func(c []history, m []answer)
	}{
		{"lost increment, one member", "n2 lost acked increments: its total is 2, acked were 3",
			func(_ []history, m []answer) { m[1].Total-- }},
		{"lost increment of a client", "n3 lost acked increments: client c1 was told 2, it holds 1",
			func(_ []history, m []answer) { m[2].Clients = map[string]uint64{"c1": 1, "c2": 1} }},
		{"lost increment, everywhere", "n1 lost acked increments",
			func(c []history, _ []answer) {
				c[1].Acks = append(c[1].Acks, ack{2, 1, 4, time.Second, 2 * time.Second})
			}},
		{"double apply", "n1 applied increments twice: its total is 4, acked were 3",
			func(_ []history, m []answer) { m[0].Total++ }},
		{"double apply, seen by a client", "an answer said 4 where the increments add up to 3",
			func(c []history, _ []answer) { c[0].Acks[1].Total = 4 }},
		{"two answers alike", "an answer said 1 where the increments add up to 2",
			func(c []history, _ []answer) { c[1].Acks[0].Total = 1 }},
		{"increment never asked for", "n1 holds increments never asked for: client c2 sent 1, it holds 2",
			func(_ []history, m []answer) { m[0].Clients = map[string]uint64{"c1": 2, "c2": 2} }},
		{"unknown client", "n1 holds increments of x, which is no client",
			func(_ []history, m []answer) { m[0].Clients = map[string]uint64{"c1": 2, "c2": 1, "x": 1} }},
		{"gap", "n2 saw 1 increments whose predecessor was missing",
			func(_ []history, m []answer) { m[1].Gaps = 1 }},
		{"diverged hash", "n3 has diverged: its state hash is deadbeef",
			func(_ []history, m []answer) { m[2].Hash = "deadbeef" }},
		{"order against time", "not linearizable",
			func(c []history, _ []answer) { c[1].Acks[0].Started = 7 * time.Millisecond }},
		{"sequence skipped by a client", "client c1: ack 2 is of seq 3",
			func(c []history, _ []answer) { c[0].Acks[1].Seq = 3 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clients, members := goodRun()
			tc.spoil(clients, members)
			wrong := check(clients, members)
			require.NotEmpty(t, wrong)
			require.Contains(t, fmt.Sprint(wrong), tc.reason)
		})
	}
}

func TestCheckRejectsAnEmptyRun(t *testing.T) {
	require.Contains(t, check(nil, nil), "no increment was acknowledged at all")
	require.Contains(t, check(nil, nil), "no member answered")
}
