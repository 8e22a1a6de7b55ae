package node_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// submitted counts what became of one command.
type submitted struct {
	command string
	calls   atomic.Int64
	err     error
}

// checkExactlyOnce compares what proposers were told with what was applied (I21).
func checkExactlyOnce(t *testing.T, all []*submitted, applied map[string]int) {
	t.Helper()
	for _, s := range all {
		require.Equal(t, int64(1), s.calls.Load(), "done is called exactly once")
		count := applied[s.command]
		switch o := raft.OutcomeOf(s.err); o {
		case raft.Committed:
			require.Equal(t, 1, count, "%q: %v", s.command, s.err)
		case raft.NotAppended:
			require.Equal(t, 0, count, "%q: %v", s.command, s.err)
		default:
			require.LessOrEqual(t, count, 1, "%q: %v", s.command, s.err)
		}
	}
}

// storm submits on every member that runs until stop is closed, and returns what it submitted once
// everything is completed.
func (c *cluster) storm(stop <-chan struct{}) (result func() []*submitted) {
	var mu sync.Mutex
	var all []*submitted
	var callers, pending sync.WaitGroup
	for id, n := range c.nodes {
		callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s := &submitted{command: fmt.Sprintf("%s-%d", id, i)}
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
				pending.Add(1)
				n.Submit([]byte(s.command), func(_ node.Result, err error) {
					s.err = err
					if s.calls.Add(1) == 1 {
						pending.Done()
					}
				})
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	return func() []*submitted {
		callers.Wait()
		pending.Wait()
		return all
	}
}

// inStorm waits until a leader has had a hundred commands of a storm applied, and returns it.
func (c *cluster) inStorm() *node.Node {
	c.t.Helper()
	lead := c.leader()
	from := lead.Status().Applied
	c.eventually(func() bool { return lead.Status().Applied >= from+100 })
	return c.leader()
}

func TestEveryCommandCompletesOnceWhenLeadersStop(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	stop := make(chan struct{})
	result := c.storm(stop)
	for range 2 {
		id := c.inStorm().Status().ID
		c.stop(id)
		c.leader()
		c.start(id)
	}
	c.leader()
	close(stop)
	all := result()
	c.converge()
	checkExactlyOnce(t, all, c.machine["n1"].counts())
}

func TestEveryCommandCompletesOnceWhenLeadersAreCutOff(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	stop := make(chan struct{})
	result := c.storm(stop)
	for range 2 {
		old := c.inStorm()
		c.net.Partition([]string{old.Status().Leader.Addr})
		c.eventually(func() bool { return old.Status().Role != node.Leader })
		require.NotEqual(t, old, c.leader())
		c.net.Heal()
	}
	c.leader()
	close(stop)
	all := result()
	require.NotEmpty(t, c.converge())
	checkExactlyOnce(t, all, c.machine["n1"].counts())
}

// TestForwardedOverLossyLinks makes answers to forwarded commands come late, often after the
// command was applied by the member that forwarded it.
func TestForwardedOverLossyLinks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, calm)
	lead, f := c.leader(), c.follower()
	from, to := string(lead.Status().ID)+":1", string(f.Status().ID)+":1"
	c.net.SetLink(from, to, transport.Link{
		Drop: 0.2, Duplicate: 0.2, Reorder: 0.3, DelayMax: time.Millisecond,
	})
	var callers sync.WaitGroup
	for i := range 10 {
		callers.Go(func() {
			for j := range 5 {
				cmd := fmt.Sprintf("%d-%d", i, j)
				r, err := f.Apply(within(t, 20*time.Second), []byte(cmd))
				if err != nil { // leadership may pass under such losses
					continue
				}
				require.Equal(t, cmd, c.machine[f.Status().ID].all()[r.Value.(int)-1])
			}
		})
	}
	callers.Wait()
	c.net.SetLink(from, to, transport.Link{})
	c.converge()
	for cmd, count := range c.machine["n1"].counts() {
		require.Equal(t, 1, count, cmd)
	}
}

// register is a state machine that holds one number.
type register struct {
	fsm.StateMachine
	value atomic.Uint64
}

func (r *register) Apply(e raft.Entry) any {
	v := binary.BigEndian.Uint64(e.Data)
	r.value.Store(v)
	return v
}

const forever = math.MaxInt64

type registerInput struct {
	write bool
	value uint64
}

var registerModel = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		in := input.(registerInput)
		if in.write {
			return true, in.value
		}
		return output.(uint64) == state.(uint64), state
	},
	Equal: func(a, b any) bool { return a == b },
}

func TestRegisterIsLinearizable(t *testing.T) {
	machines := map[raft.PeerID]*register{}
	c := newCluster(t, 3, func(o *node.Options) {
		machines[o.ID] = &register{}
		o.StateMachine = machines[o.ID]
	})
	c.leader()
	begun := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for id := range 5 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(id)))
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				p := c.peers[rng.IntN(3)].ID
				in := registerInput{write: rng.IntN(2) == 0, value: uint64(id*1_000_000 + i + 1)}
				op := porcupine.Operation{ClientId: id, Input: in, Call: time.Since(begun).Nanoseconds()}
				ctx, cancel := context.WithTimeout(context.Background(), 2*electionTimeout)
				var err error
				if in.write {
					_, err = c.nodes[p].Apply(ctx, number(int(in.value)))
				} else {
					op.Output, err = node.Query(ctx, c.nodes[p], func() (uint64, error) {
						return machines[p].value.Load(), nil
					})
				}
				cancel()
				op.Return = time.Since(begun).Nanoseconds()
				if err != nil {
					if !in.write || raft.OutcomeOf(err) == raft.NotAppended {
						continue
					}
					op.Return = forever // it may take effect at any later time
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
				if err != nil {
					id += 1000 // a client does one thing at a time, so this one is another now
				}
			}
		})
	}
	// more waits until as many reads and writes again have succeeded.
	more := func(wanted int) {
		mu.Lock()
		from := len(history)
		mu.Unlock()
		c.eventually(func() bool {
			mu.Lock()
			defer mu.Unlock()
			var done [2]int
			for _, op := range history[from:] {
				if op.Input.(registerInput).write && op.Return != forever {
					done[0]++
				} else if !op.Input.(registerInput).write {
					done[1]++
				}
			}
			return min(done[0], done[1]) >= wanted
		})
	}
	for range 3 {
		more(30)
		c.net.Partition([]string{c.leader().Status().Leader.Addr})
		more(10) // the others go on
		c.net.Heal()
	}
	more(30)
	close(stop)
	clients.Wait()
	result := porcupine.CheckOperationsTimeout(registerModel, history, 20*time.Second)
	require.NotEqual(t, porcupine.Illegal, result, "history of %d operations", len(history))
	require.False(t, errors.Is(c.nodes["n1"].Err(), raft.ErrFailed))
}
