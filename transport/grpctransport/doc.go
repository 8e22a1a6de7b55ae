// Package grpctransport carries raft messages between processes over gRPC.
//
// For each peer address it keeps two connections, each with one long-lived stream: one for control
// messages and one for bulk (see [raft.Message.Bulk]), so that a vote or a heartbeat never queues
// behind entries, not in a send queue and not in a TCP buffer either. Streams carry messages one
// way: what A sends to B goes over streams that A opened. Many messages, of several groups, travel
// in one gRPC message: those that came while the last was being sent. Fetches have a third
// connection, while there are any.
//
// Nothing a stream carries is believed before its two ends have compared wire version and cluster
// and, with [WithTLS], certificates. Send never blocks; what can't be sent is dropped and counted.
package grpctransport
