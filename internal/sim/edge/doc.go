// Package edge is what production runs as goroutines beside the loop of a member (packages
// internal/edge and internal/keeper), as chains of events of a simulated one: the disk writes and
// reads the log, the keeper takes snapshots, fetches those of others and serves its own. Under them
// are the real stores, on a file system in memory. What they need of the member and of the cluster
// is [Host].
package edge
