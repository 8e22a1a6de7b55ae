// Package transporttest checks that a [transport.Transport] keeps the contract that members rely
// on. An implementation's own tests call [Run].
package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// patience bounds how long a check waits for what must happen.
const patience = 10 * time.Second

// Run runs every check. open returns a new transport that reaches, and is reached by, all others
// that it returned for the same t.
func Run(t *testing.T, open func(t *testing.T) transport.Transport) {
	for name, check := range map[string]func(*testing.T, func(*testing.T) transport.Transport){
		"every kind arrives":         everyKindArrives,
		"groups share a transport":   groupsShare,
		"strays are not delivered":   straysAreRefused,
		"registering":                registering,
		"unregistered is not called": unregistered,
		"closing":                    closing,
		"fetching":                   fetching,
		"nothing is fetched":         emptyFetch,
		"fetches are refused":        refusedFetches,
		"fetches are bounded":        boundedFetches,
		"fetches end":                endedFetches,
		"replies are released":       releasedReplies,
	} {
		t.Run(name, func(t *testing.T) { check(t, open) })
	}
}

// Inbox is a handler that keeps what it receives.
type Inbox struct {
	mu   sync.Mutex
	msgs []raft.Message
}

// Receive is [transport.Handler]'s.
func (in *Inbox) Receive(msgs []raft.Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.msgs = append(in.msgs, msgs...)
}

// Messages returns a copy of what has been received so far.
func (in *Inbox) Messages() []raft.Message {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.msgs)
}

// Bodies returns one body of each kind, for messages of term 7.
func Bodies() []raft.Body {
	first, _ := raft.MakeEntry(nil, 6, 42, raft.EntryCommand, []byte("set x 1"))
	second, _ := raft.MakeEntry(nil, 7, 43, raft.EntryNoop, nil)
	prev := raft.LogID{Term: 6, Index: 41}
	return []raft.Body{
		&raft.RequestVote{Pre: true, Last: prev},
		&raft.RequestVoteReply{Granted: true, Asked: 7},
		&raft.AppendEntries{Prev: prev, Commit: 40},
		&raft.AppendEntries{Prev: prev, Commit: 40, Entries: []raft.Entry{first, second}},
		&raft.AppendEntriesReply{Reject: true, Match: 3, Prev: 41, Hint: prev},
		&raft.Heartbeat{Round: 5, Commit: 40},
		&raft.HeartbeatReply{Round: 5, Received: 41, Match: 40},
		&raft.ReadIndex{ID: 9},
		&raft.ReadIndexReply{ID: 9, Index: 40},
		&raft.Propose{Sender: 11, Seq: 12, Commands: []raft.Command{{Data: []byte("set y 2"),
			ExpectTerm: 7}}},
		&raft.ProposeReply{Sender: 11, Seq: 12, At: []raft.LogID{{Term: 7, Index: 44}},
			Refused: []raft.Refusal{raft.RefusedNot}},
		&raft.InstallSnapshot{Meta: raft.SnapshotMeta{Last: prev, Bytes: 1 << 30, Files: 2,
			Configuration: raft.Configuration{Index: 9, Voters: []raft.Peer{{ID: "A", Addr: "a:1"}}}}},
		&raft.InstallSnapshotReply{Last: prev, Bytes: 1 << 20, Done: true, Match: 41},
	}
}

// Message returns a message in term 7 of member A to member B of group g in cluster "c".
func Message(g raft.GroupID, body raft.Body) raft.Message {
	return raft.Message{Cluster: "c", Group: g, From: "A", To: "B", Term: 7, Body: body}
}

func member(g raft.GroupID, id raft.PeerID) transport.Member {
	return transport.Member{Cluster: "c", Group: g, ID: id}
}

// pair returns two transports of cluster c, and the inbox of member B of group g on the second.
func pair(t *testing.T, open func(*testing.T) transport.Transport) (a, b transport.Transport,
	in *Inbox) {
	a, b, in = open(t), open(t), &Inbox{}
	must(t, a.Register(member("g", "A"), &Inbox{}))
	must(t, b.Register(member("g", "B"), in))
	t.Cleanup(func() { must(t, a.Close()); must(t, b.Close()) })
	return a, b, in
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Until repeats f, now and then, until it is true.
func Until(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("in %v it did not happen that %s", patience, what)
		}
	}
}

// text is what a message says, whatever memory holds it.
func text(m raft.Message) string {
	s := fmt.Sprintf("%s %s %s %s %d %T ", m.Cluster, m.Group, m.From, m.To, m.Term, m.Body)
	if a, ok := m.Body.(*raft.AppendEntries); ok {
		s += fmt.Sprint(a.Prev, a.Commit)
		for _, e := range a.Entries {
			s += fmt.Sprintf(" %v %d %q", e.ID(), e.Kind, e.Data)
		}
		return s
	}
	return s + fmt.Sprintf("%+v", m.Body)
}

func everyKindArrives(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b, in := pair(t, open)
	var sent []string
	var msgs []raft.Message
	for _, body := range Bodies() {
		msgs = append(msgs, Message("g", body))
		sent = append(sent, text(msgs[len(msgs)-1]))
	}
	a.Send(b.Addr(), msgs)
	clear(msgs) // the slice is the caller's again
	Until(t, "all messages arrive", func() bool { return len(in.Messages()) >= len(sent) })
	var got []string
	for _, m := range in.Messages() {
		got = append(got, text(m))
	}
	slices.Sort(sent)
	slices.Sort(got)
	if !slices.Equal(sent, got) {
		t.Fatalf("sent\n%q\nreceived\n%q", sent, got)
	}
}

func groupsShare(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b, in := pair(t, open)
	other := &Inbox{}
	must(t, b.Register(member("h", "B"), other))
	a.Send(b.Addr(), []raft.Message{
		Message("g", &raft.ReadIndex{ID: 1}), Message("h", &raft.ReadIndex{ID: 2}), Message("g",
			&raft.ReadIndex{ID: 3}),
	})
	Until(t, "the messages of both groups arrive", func() bool {
		return len(in.Messages()) == 2 && len(other.Messages()) == 1
	})
	if got := other.Messages()[0]; got.Group != "h" {
		t.Fatalf("group h received %s", text(got))
	}
}

func straysAreRefused(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b, in := pair(t, open)
	var msgs []raft.Message
	for _, change := range []func(m *raft.Message){
		func(m *raft.Message) { m.Cluster = "another" },
		func(m *raft.Message) { m.Group = "another" },
		func(m *raft.Message) { m.To = "another" },
		func(m *raft.Message) { m.Term = 1 << 63 },
		func(m *raft.Message) { m.Body = nil },
		func(m *raft.Message) {},
	} {
		m := Message("g", &raft.ReadIndex{ID: 1})
		change(&m)
		msgs = append(msgs, m)
	}
	a.Send(b.Addr(), msgs)
	Until(t, "the last message arrives", func() bool { return len(in.Messages()) > 0 })
	if got := in.Messages(); len(got) != 1 || text(got[0]) != text(msgs[len(msgs)-1]) {
		t.Fatalf("received %d messages, the first %s", len(got), text(got[0]))
	}
}

func registering(t *testing.T, open func(*testing.T) transport.Transport) {
	a, _, _ := pair(t, open)
	if err := a.Register(member("g", "C"), &Inbox{}); err == nil {
		t.Fatal("a group was registered twice")
	}
	other := transport.Member{Cluster: "another", Group: "h", ID: "A"}
	if err := a.Register(other, &Inbox{}); !errors.Is(err, raft.ErrWrongCluster) {
		t.Fatalf("a member of another cluster was registered: %v", err)
	}
	a.Unregister("unknown")
	a.Unregister("g")
	must(t, a.Register(member("g", "C"), &Inbox{}))
	must(t, a.Close())
	if err := a.Register(member("h", "A"), &Inbox{}); !errors.Is(err, raft.ErrStopped) {
		t.Fatalf("registered on a closed transport: %v", err)
	}
}

func unregistered(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b, in := pair(t, open)
	other := &Inbox{}
	must(t, b.Register(member("h", "B"), other))
	a.Send(b.Addr(), []raft.Message{Message("g", &raft.ReadIndex{ID: 1})})
	Until(t, "a message arrives", func() bool { return len(in.Messages()) == 1 })
	b.Unregister("g")
	a.Send(b.Addr(), []raft.Message{Message("g", &raft.ReadIndex{ID: 2}), Message("h",
		&raft.ReadIndex{ID: 3})})
	Until(t, "the other group's message arrives", func() bool { return len(other.Messages()) == 1 })
	if got := in.Messages(); len(got) != 1 {
		t.Fatalf("a handler was called after Unregister, with %s", text(got[1]))
	}
}

func closing(t *testing.T, open func(*testing.T) transport.Transport) {
	a, b, in := pair(t, open)
	a.Send("nobody.invalid:1", []raft.Message{Message("g", &raft.ReadIndex{ID: 1})})
	a.Send(b.Addr(), []raft.Message{Message("g", &raft.ReadIndex{ID: 1})})
	Until(t, "a message arrives", func() bool { return len(in.Messages()) == 1 })
	start := time.Now()
	must(t, a.Close())
	must(t, a.Close())
	a.Send(b.Addr(), []raft.Message{Message("g", &raft.ReadIndex{ID: 2})})
	must(t, b.Close())
	if took := time.Since(start); took > patience/2 {
		t.Fatalf("closing took %v", took)
	}
	if got := in.Messages(); len(got) != 1 {
		t.Fatalf("a handler was called after Close, with %s", text(got[1]))
	}
}
