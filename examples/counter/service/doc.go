// Package service is the replicated counter: its state machine, a member that runs it, and a
// client.
package service
