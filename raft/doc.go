// Package raft holds the words that two or more packages of this module say to each other: terms,
// indexes, peers, configurations, entries, messages and errors. It imports nothing else of the
// module and does no I/O.
//
// The words are those of the Raft paper ("In Search of an Understandable Consensus Algorithm",
// cited here as §n) and of Diego Ongaro's thesis (cited as thesis §n). Values are plain data: none
// of them starts a goroutine or takes a lock, and unless a comment says otherwise a value may be
// read by several goroutines at once as long as none writes it.
package raft
