// Package sim runs a whole cluster in one goroutine from one seed: the real protocol core, the
// real segment store on a file system in memory that crashes and tears, the real applier and the
// real message encoding, under faults that are drawn from the seed. Time is virtual, so a run of
// ten seconds takes milliseconds, and the same seed always gives the same run.
//
// A run has two phases. In the safety phase faults fire and clients write and read. Then
// everything heals, and in the liveness phase the cluster must elect a leader, serve a write and
// a read on every member, and agree to the last byte within a time that is computed from what was
// drawn. After every step of a member, checkers compare what it wrote, sent, applied and answered
// with a history that no member can rewrite. Each checker is one file, named after the invariant
// in docs/INVARIANTS.md. How to use all this is told in docs/SIMULATION.md.
package sim
