// Package witness watches a simulated cluster and keeps a history that no member can rewrite: every
// entry, leader, vote, commitment and client operation. After every step it checks the invariants
// of docs/INVARIANTS.md against it, each in one file. It knows nothing of how the cluster is run.
package witness
