package petition

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

var request = Request{
	ID: 7, Op: OpChange, IfIndex: 9, Patience: time.Second,
	Edits: []raft.Edit{
		{Kind: raft.EditReplace, Peers: []raft.Peer{{ID: "a", Addr: "a:1", Priority: -1}},
			Learners: []raft.Peer{{ID: "b", Addr: "b:1"}}},
		{Kind: raft.EditRemove, Peers: []raft.Peer{{ID: "c"}}},
	},
}

func TestRequestTravels(t *testing.T) {
	for _, r := range []Request{request, {ID: 1, Op: OpTransfer, To: "x"}} {
		b, err := EncodeRequest(&r)
		require.NoError(t, err)
		require.True(t, IsRequest(b))
		require.False(t, IsReply(b))
		got, err := DecodeRequest(b)
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	b, err := EncodeRequest(&Request{Op: 9})
	require.NoError(t, err)
	_, err = DecodeRequest(b)
	require.ErrorIs(t, err, raft.ErrCorrupt)
}

func TestReplyTravels(t *testing.T) {
	conf := raft.Configuration{Index: 5, Voters: []raft.Peer{{ID: "a", Addr: "a:1"}}, Origin: 3}
	for _, r := range []Reply{
		{Configuration: conf, Known: true}, {To: "b"}, {Pending: true}, {},
	} {
		b, err := EncodeReply(&r)
		require.NoError(t, err)
		require.True(t, IsReply(b))
		got, err := DecodeReply(b)
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	for _, sentinel := range sentinels {
		failed := Reply{Unknown: true, Err: fmt.Errorf("%w: %w: text", sentinel, raft.ErrBusy)}
		b, err := EncodeReply(&failed)
		require.NoError(t, err)
		got, err := DecodeReply(b)
		require.NoError(t, err)
		require.ErrorIs(t, got.Err, sentinel)
		require.ErrorIs(t, got.Err, raft.ErrBusy)
		require.Equal(t, failed.Err.Error(), got.Err.Error())
		require.True(t, got.Unknown)
	}
}

// TestDamageIsNoticed flips a bit or cuts.
func TestDamageIsNoticed(t *testing.T) {
	good, err := EncodeRequest(&request)
	require.NoError(t, err)
	reply, err := EncodeReply(&Reply{To: "b"})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		for _, b := range [][]byte{good, reply} {
			b = append([]byte(nil), b...)
			if rapid.Bool().Draw(t, "cut") {
				b = b[:rapid.IntRange(0, len(b)-1).Draw(t, "at")]
			} else {
				b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
			_, err := DecodeRequest(b)
			_, err2 := DecodeReply(b)
			if err == nil || err2 == nil {
				t.Fatal("damage was not noticed")
			}
		}
	})
}

// board is a loop that keeps petitions until the test decides.
type board struct {
	begun     chan *Petition
	withdrawn chan *Petition
	refuse    error
}

func (b *board) Begin(p *Petition) error {
	if b.refuse == nil {
		b.begun <- p
	}
	return b.refuse
}
func (b *board) Withdraw(p *Petition, cause error) { b.withdrawn <- p; p.Decide(Reply{Err: cause}) }

func newBoard() *board {
	return &board{begun: make(chan *Petition, 100), withdrawn: make(chan *Petition, 100)}
}

func serve(t *testing.T, d *Desk, r Request) Reply {
	t.Helper()
	b, err := EncodeRequest(&r)
	require.NoError(t, err)
	b, err = d.Serve(context.Background(), b)
	require.NoError(t, err)
	reply, err := DecodeReply(b)
	require.NoError(t, err)
	return reply
}

func TestDeskKnowsARequestAgain(t *testing.T) {
	loop := newBoard()
	d := NewDesk(loop)
	first := make(chan Reply, 1)
	go func() { first <- d.Ask(context.Background(), request) }()
	p := <-loop.begun
	p.Decide(Reply{To: "x"})
	p.Decide(Reply{To: "y"})
	require.Equal(t, Reply{To: "x"}, <-first, "the first decision counts")
	require.Equal(t, Reply{To: "x", Known: true}, serve(t, d, request))
	require.Empty(t, loop.begun)

	// What could not be decided is asked for afresh.
	other := request
	other.ID++
	go func() { first <- d.Ask(context.Background(), other) }()
	(<-loop.begun).Decide(Reply{Err: raft.ErrTransferring})
	require.ErrorIs(t, (<-first).Err, raft.ErrTransferring)
	go func() { first <- d.Ask(context.Background(), other) }()
	(<-loop.begun).Decide(Reply{})
	require.False(t, (<-first).Known)

	for i := range maxDecided {
		other.ID = uint64(100 + i)
		go func() { first <- d.Ask(context.Background(), other) }()
		(<-loop.begun).Decide(Reply{})
		<-first
	}
	require.Len(t, d.known, maxDecided, "the oldest are forgotten")
}

func TestDeskIsBounded(t *testing.T) {
	loop := newBoard()
	d := NewDesk(loop)
	for i := range maxOpen {
		_, _, err := d.take(Request{ID: uint64(100 + i), Op: OpTransfer})
		require.NoError(t, err)
	}
	require.ErrorIs(t, d.Ask(context.Background(), request).Err, raft.ErrBusy)
	require.ErrorIs(t, serve(t, d, request).Err, raft.ErrBusy)
	d.waiting = maxWaiting
	require.True(t, serve(t, d, Request{ID: 100, Op: OpTransfer}).Pending, "answered at once")
	loop.refuse = raft.ErrStopped
	require.ErrorIs(t, NewDesk(loop).Ask(context.Background(), request).Err, raft.ErrStopped)
	_, err := d.Serve(context.Background(), []byte("nonsense"))
	require.ErrorIs(t, err, raft.ErrCorrupt)
}

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loop := newBoard()
		d := NewDesk(loop)
		d.waiting = maxWaiting
		r := request
		r.Patience = time.Millisecond
		require.True(t, serve(t, d, r).Pending)
		require.Equal(t, <-loop.begun, <-loop.withdrawn)
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		r.ID++
		require.ErrorIs(t, d.Ask(ended, r).Err, context.Canceled)
	})
}

// fetcher answers fetches as the test says.
type fetcher struct {
	transport.Transport
	answer func(to raft.PeerID, r Request) (Reply, error)
}

func (f *fetcher) Fetch(
	_ context.Context, _ string, c transport.Call, request []byte,
) ([]byte, error) {
	r, err := DecodeRequest(request)
	if err != nil {
		return nil, err
	}
	reply, err := f.answer(c.To, r)
	if err != nil {
		return nil, err
	}
	return EncodeReply(&reply)
}

// script asks leaders one after the other; each answers as its step says.
type step struct {
	leader raft.PeerID
	reply  Reply
	err    error
}

func ask(t *testing.T, r Request, steps ...step) Reply {
	t.Helper()
	at := 0
	f := &fetcher{answer: func(to raft.PeerID, got Request) (Reply, error) {
		require.Equal(t, steps[at].leader, to)
		at++
		return steps[at-1].reply, steps[at-1].err
	}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := Asker{
		Self: transport.Member{Group: "g", ID: "self"}, Transport: f, Life: context.Background(),
		Pause: time.Microsecond, Ended: func() error { return nil },
		Leader: func() (raft.Peer, <-chan struct{}) {
			if at == len(steps) {
				cancel()
				return raft.Peer{}, nil
			}
			return raft.Peer{ID: steps[at].leader}, nil
		},
	}
	return a.Do(ctx, r)
}

func TestAskerFollowsTheLeader(t *testing.T) {
	unreachable := fmt.Errorf("x: %w", transport.ErrUnreachable)
	stale := Reply{Err: raft.ErrConfigurationStale}
	known := Reply{Err: raft.ErrConfigurationStale, Known: true}
	done := Reply{To: "b"}
	change, transfer := Request{Op: OpChange}, Request{Op: OpTransfer, To: "b"}
	lost, pending := step{"a", Reply{}, unreachable}, step{"a", Reply{Pending: true}, nil}
	nobody := step{"a", Reply{}, transport.ErrNoMember}
	deposed := step{"a", Reply{Err: raft.ErrLeadershipLost, Unknown: true}, nil}
	isStale := raft.ErrConfigurationStale
	fails := func(err error) step { return step{"a", Reply{Err: err}, nil} }
	for name, c := range map[string]struct {
		r       Request
		steps   []step
		to      raft.PeerID
		is      error
		unknown bool
	}{
		"at once":  {r: change, steps: []step{{"a", done, nil}}, to: "b"},
		"not lost": {r: change, steps: []step{lost, {"a", done, nil}}, to: "b"},
		"pending":  {r: change, steps: []step{pending, {"a", known, nil}}, is: isStale},
		"definite": {r: change, steps: []step{{"a", stale, nil}}, is: isStale},
		"not the same": {
			r: change, steps: []step{pending, {"a", stale, nil}}, is: isStale, unknown: true,
		},
		"another": {
			r: change, steps: []step{lost, {"b", stale, nil}}, is: isStale, unknown: true,
		},
		"no member": {r: change, steps: []step{nobody, {"b", stale, nil}}, is: isStale},
		"leader lost": {
			r: change, steps: []step{deposed, {"b", stale, nil}}, is: isStale, unknown: true,
		},
		"stopped there": {r: change, steps: []step{fails(raft.ErrStopped), {"b", done, nil}}, to: "b"},
		"transferring": {
			r: change, steps: []step{fails(raft.ErrTransferring), {"b", done, nil}}, to: "b",
		},
		"to another": {
			r: transfer, steps: []step{fails(raft.ErrTransferring)}, is: raft.ErrTransferring,
		},
		"ctx ends":      {r: change, steps: []step{fails(raft.ErrNotLeader)}, is: context.Canceled},
		"ctx ends late": {r: change, steps: []step{lost}, is: context.Canceled, unknown: true},
		"too large": {
			r: change, steps: []step{{"a", Reply{}, raft.ErrTooLarge}}, is: raft.ErrTooLarge,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, c.r, c.steps...)
			require.Equal(t, c.to, got.To)
			require.Equal(t, c.unknown, got.Unknown)
			require.True(t, c.is == nil && got.Err == nil || c.is != nil && errors.Is(got.Err, c.is),
				"%v", got.Err)
		})
	}
}

// TestTransferWhoseReplyIsLost is done if the wanted one leads.
func TestTransferWhoseReplyIsLost(t *testing.T) {
	for _, to := range []raft.PeerID{"", "b"} {
		leads := raft.PeerID("a")
		a := Asker{
			Transport: &fetcher{answer: func(raft.PeerID, Request) (Reply, error) {
				leads = "b"
				return Reply{}, transport.ErrUnreachable
			}},
			Life: context.Background(), Pause: time.Microsecond, Ended: func() error { return nil },
			Leader: func() (raft.Peer, <-chan struct{}) { return raft.Peer{ID: leads}, nil },
		}
		got := a.Do(context.Background(), Request{Op: OpTransfer, To: to})
		require.Equal(t, Reply{To: "b"}, got)
	}
}
