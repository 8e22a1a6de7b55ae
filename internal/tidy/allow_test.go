package tidy

import (
	"maps"
	"slices"
)

// allowance names the functions (path:Function or path:Type.Method) that may break a rule, with the
// reason.
type allowance map[string]string

// permit tells whether the place may break the rule, and remembers that it was needed.
func (a allowance) permit(f *goFile, function string, needed map[string]bool) bool {
	key := f.path + ":" + function
	needed[key] = true
	return a[key] != ""
}

// stale returns a finding for each allowance that nothing needs any more.
func (a allowance) stale(needed map[string]bool) []string {
	var out []string
	for _, key := range sorted(a) {
		if !needed[key] {
			out = append(out, key+": the allowance is no longer needed; delete it from internal/tidy")
		}
	}
	return out
}

// sorted returns the keys in order.
func sorted[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }
