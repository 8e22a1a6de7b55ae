// Package transport moves messages between members. A transport may lose, delay, repeat and reorder
// messages; it never alters them, and it never blocks its caller. Here are the interface, the
// encoding of messages, and an in-memory network with faults for tests; the real one is
// transport/grpctransport.
package transport

import "github.com/jraft-go/jraft/raft"

// Transport connects this process to its peers. One transport serves any number of groups.
// All methods may be called from several goroutines.
type Transport interface {
	// Register makes h the receiver of messages for a group's member in this process. It fails if the
	// group is registered already, if the transport is closed, or if it belongs to another cluster.
	Register(m Member, h Handler) error
	// Unregister undoes Register and returns when h will not be called again.
	Unregister(group raft.GroupID)
	// Send queues messages for the member at addr and returns at once. The messages may be of several
	// groups (all of members in the process at addr). What can't be queued or delivered is dropped.
	// The transport only reads the messages; it may do so after Send returned, but does not keep the
	// slice.
	Send(addr string, msgs []raft.Message)
	// Addr is the address under which peers reach this process.
	Addr() string
	// Close ends all connections and waits for the transport's goroutines. Handlers aren't called
	// afterwards.
	Close() error
}

// Member says whose messages a registered handler receives.
type Member struct {
	Cluster string
	Group   raft.GroupID
	ID      raft.PeerID
}

// Handler receives messages. Receive must return quickly and must not block; it may keep the
// messages, but not the slice. It is called from several goroutines. A message handed to it was
// decoded without error and carries the member's own cluster, group and id as its destination;
// nothing else about it is believed yet. A handler may also be a [BreakWatcher].
type Handler interface{ Receive(msgs []raft.Message) }

// Sizer is what a [Transport] may implement besides: the size of the largest message, encoded, and
// of the largest reply to a fetch, that it carries. What is larger is dropped or refused.
type Sizer interface{ MaxMessageBytes() int }
