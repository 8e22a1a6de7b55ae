// Package node runs one member of a Raft group: it wires the protocol core to a log store, a
// transport and the user's state machine, and is the way in for programs.
//
// [Start] serves first boot, restart and join alike. Any member takes commands ([Node.Apply],
// [Node.Submit]) and reads ([Node.Read], [Query]): those that are not the leader forward commands
// to it and ask it for read indexes.
//
// # Goroutines
//
// A member has four: the loop, which owns the core and never waits for anything but work; the
// writer and the reader, the only ones that touch the store; and the applier, the only one that
// touches the state machine. Each reports to the loop through the inbox. A stalled disk or a slow
// state machine therefore delays what depends on it, and nothing else. A failure in any of them
// fails this member and no other.
package node
