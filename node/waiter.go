package node

import (
	"github.com/jraft-go/jraft/internal/await"
	"github.com/jraft-go/jraft/raft"
)

// waiter is one command and the one who waits for its result. At any time it is in one place only:
// the inbox, the list of those the core has not placed, the list of those placed, or the applier's
// queue.
type waiter struct {
	await.Call
	node    *Node
	command []byte // a copy; may be dropped once the core has it
	charge  int64  // what it counts in Node.pending, until it is answered
	options applyOptions
	done    func(Result, error) // of Submit; nil: somebody waits on the call
	at      raft.LogID          // where it was placed

	result Result
	err    error
}

// keptCommandBytes is how large a command buffer a waiter keeps for its next use.
const keptCommandBytes = 16 << 10

// newWaiter returns a waiter with a copy of the command.
func (n *Node) newWaiter(cmd []byte, options applyOptions) *waiter {
	w, ok := n.waiters.Get().(*waiter)
	if !ok {
		w = &waiter{Call: await.NewCall(), node: n}
	}
	w.command = append(w.command[:0], cmd...)
	w.charge = pendingOne + int64(raft.FrameHead+len(cmd))
	w.options = options
	return w
}

// recycle takes back a waiter whose answer was used.
func (n *Node) recycle(w *waiter) {
	w.dropLarge()
	w.Reset()
	w.options, w.done, w.at, w.result, w.err = applyOptions{}, nil, raft.LogID{}, Result{}, nil
	n.waiters.Put(w)
}

func (w *waiter) dropLarge() {
	if cap(w.command) > keptCommandBytes {
		w.command = nil
	}
}

// Applied implements fsm.Waiter. It runs in the applying goroutine.
func (w *waiter) Applied(at raft.LogID, value any, err error) {
	if e, ok := err.(*raft.Error); ok {
		err = w.node.wrap(e.Op, e.Outcome, e.Err)
	}
	if err != nil {
		w.err = err
	} else {
		w.result = Result{Index: at.Index, Term: at.Term, Value: value}
	}
	if w.done != nil {
		w.node.callBack(w)
		return
	}
	w.node.pending.Add(-w.charge)
	w.Complete()
}

// refuse completes w with an error, from any goroutine but the applier's: a callback goes to a
// goroutine of its own, because no user code may hold up the loop.
func (n *Node) refuse(w *waiter, outcome raft.Outcome, cause error) {
	w.err = n.wrap("apply", outcome, cause)
	if w.done != nil {
		n.callbacks.add(n, w)
		return
	}
	n.pending.Add(-w.charge)
	w.Complete()
}
