// Package swarm is what a seed draws before and during its run: the size of the cluster, its pace
// and limits, which faults are possible and how strong, and the streams of chance that decide when
// one happens.
package swarm
