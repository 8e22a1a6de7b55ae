package logmanager

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/raft"
)

// TestRuns keeps the terms of a log as runs, and as a plain list beside.
func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := raft.Index(rapid.IntRange(0, 3).Draw(t, "base"))
		var r runs
		var terms []raft.Term // of base+1 and so on
		last := raft.Term(0)
		t.Repeat(map[string]func(*rapid.T){
			"extend": func(t *rapid.T) {
				term := max(1, last) + raft.Term(rapid.IntRange(0, 2).Draw(t, "rise"))
				terms = append(terms, term)
				r = r.extend(base+raft.Index(len(terms)), term)
			},
			"truncate": func(t *rapid.T) {
				n := rapid.IntRange(0, len(terms)).Draw(t, "left")
				r = r.truncate(base + raft.Index(n) + 1)
				terms = terms[:n]
			},
			"": func(t *rapid.T) {
				last = 0
				if n := len(terms); n > 0 {
					last = terms[n-1]
				}
				for n, term := range terms {
					require.Equal(t, term, r.termAt(base+raft.Index(n)+1))
				}
				require.Len(t, r, len(slices.Compact(slices.Clone(terms))))
				end := raft.LogID{Term: last, Index: base + raft.Index(len(terms))}
				require.NoError(t, r.validate(raft.LogID{Index: base}, end))
			},
		})
	})
}
