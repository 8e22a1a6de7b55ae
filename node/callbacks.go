package node

import "sync"

// callbacks calls the functions given to Submit whose commands were refused, in a goroutine that
// exists only while there are any.
type callbacks struct {
	mu      sync.Mutex
	queue   []*waiter
	running bool
	idle    chan struct{} // set by drained: closed when the goroutine ends
}

// maxUnadmitted bounds the callbacks of commands that were not admitted. Those of admitted ones are
// bounded by what may be pending, for they count until they are called.
const maxUnadmitted = 1 << 16

func (c *callbacks) add(n *Node, w *waiter) {
	c.mu.Lock()
	if w.charge == 0 && len(c.queue) >= maxUnadmitted {
		c.mu.Unlock()
		n.callBack(w) // from within Submit
		return
	}
	c.queue = append(c.queue, w)
	start := !c.running
	c.running = true
	c.mu.Unlock()
	if start {
		go c.run(n)
	}
}

func (c *callbacks) run(n *Node) {
	for {
		c.mu.Lock()
		queue := c.queue
		c.queue = nil
		if len(queue) == 0 {
			c.running = false
			if c.idle != nil {
				close(c.idle)
				c.idle = nil
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		for _, w := range queue {
			n.callBack(w)
		}
	}
}

// drained returns a channel that is closed once the callbacks of now have returned. For one caller.
func (c *callbacks) drained() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := make(chan struct{})
	if c.running {
		c.idle = idle
	} else {
		close(idle)
	}
	return idle
}

// callBack calls the user's function. A panic in it fails the member.
func (n *Node) callBack(w *waiter) {
	defer n.catch("function given to Submit")
	done, result, err := w.done, w.result, w.err
	n.pending.Add(-w.charge)
	n.recycle(w)
	done(result, err)
}
