// Package service is the replicated counter: the state machine, a member that runs it, and a client.
package service
