// Package register is the replicated state machine of the simulator: a register for each key.
package register
