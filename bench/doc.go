// Command bench measures a group of three real processes with real syncs: latency, throughput,
// and what both cost. In the same run it measures the limits of the machine, and a system that
// is not Raft but shows what the machine would allow (see ideal), because only ratios within one
// run mean much. README.md says how to run it and what the figures mean.
package main
