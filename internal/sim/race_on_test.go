//go:build race

package sim

// raceFactor divides the work of the tests: the race detector makes them some eight times slower.
const raceFactor = 8
