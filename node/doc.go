// Package node runs one member of a Raft group: it wires the protocol core to a log store, a
// transport and the user's state machine, and is the way in for programs.
//
// [Start] serves first boot, restart and join alike. Any member takes commands ([Node.Apply],
// [Node.Submit]) and reads ([Node.Read], [Query]): those that are not the leader forward commands
// to it and ask it for read indexes.
//
// # Goroutines
//
// A member has six: the loop, which owns the core and never waits for anything but work; the
// writer and the reader, the only ones that touch the log's store; the applier, the only one that
// touches the state machine once the member runs; the saver, which takes snapshots; and the
// puller, which fetches those of others, with up to four more that carry its requests. Each
// reports to the loop through the inbox. A stalled disk or a slow state machine therefore delays
// what depends on it, and nothing else. A failure in any of them fails this member and no other.
//
// # Snapshots
//
// A snapshot takes the place of the log up to its last entry (§7): [SnapshotPolicy] and
// [Node.Snapshot] say when one is taken. A member that starts restores its newest sound snapshot
// and applies the log that follows. One that lags behind the leader's log fetches the leader's
// snapshot; its state machine is restored between two entries, and what this member was waiting
// for below is reported as unknown. [Node.Backup] and [Import] carry a whole group elsewhere.
package node
