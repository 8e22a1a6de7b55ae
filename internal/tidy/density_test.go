package tidy

import (
	"fmt"
	"go/ast"
	"testing"
)

const minChecksPerThousand = 40

// density counts the assertions of internal/core and the lines they stand in, outside tests.
func density(t *tree) (checks, lines int) {
	for _, f := range t.product() {
		if !f.in("internal/core") {
			continue
		}
		lines += f.lines()
		f.uses(module+"/internal/invariant", func(sel *ast.SelectorExpr) {
			if sel.Sel.Name == "Check" {
				checks++
			}
		})
	}
	return checks, lines
}

// assertions wants enough of invariant.Check in the protocol core.
func assertions(t *tree) []string {
	checks, lines := density(t)
	if checks*1000 >= minChecksPerThousand*lines {
		return nil
	}
	return []string{fmt.Sprintf("internal/core: %d assertions in %d lines are %.1f per thousand, "+
		"at least %d are wanted; state what must hold where a function begins and ends",
		checks, lines, float64(checks)*1000/float64(lines), minChecksPerThousand)}
}

func TestAssertions(t *testing.T) {
	checks, lines := density(checkout())
	t.Logf("internal/core: %d assertions in %d lines", checks, lines)
	const imports = "package x\nimport \"" + module + "/internal/invariant\"\n"
	hold(t, assertions,
		files{"internal/core/a.go": imports + "func f() { invariant.Check(true, ``) }\n"},
		files{"internal/core/a.go": "package x\nfunc f() {}\n"},
	)
}
