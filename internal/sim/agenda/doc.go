// Package agenda is the simulator's clock: the events to come, in their order.
package agenda
