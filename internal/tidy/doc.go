// Package tidy holds the tree to its rules: who may import whom, where goroutines and clocks may
// occur, how long functions and files may be, what must be documented. It has no code but its
// tests, one file for each rule; every rule is also shown a sample that breaks it, so that none is
// a rule that cannot fail. The rules themselves are told in docs/ARCHITECTURE.md.
package tidy
