package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxFunctionLines = 70
	maxFileLines     = 400
	maxPackageLines  = 2500
	maxLineRunes     = 100
)

// functionLength bounds the lines of a function, without those of tables (list and map literals) in
// it.
func functionLength(t *tree) []string {
	var out []string
	for _, f := range t.product() {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := f.line(fn.End()) - f.line(fn.Pos()) + 1 - tableLines(f, fn)
			if n > maxFunctionLines {
				out = append(out, fmt.Sprintf("%s: %s has %d lines, at most %d are allowed; "+
					"name its steps and make them functions", f.at(fn), name(fn), n, maxFunctionLines))
			}
		}
	}
	return out
}

// tableLines counts the lines inside the list and map literals of a function.
func tableLines(f *goFile, fn *ast.FuncDecl) int {
	n := 0
	ast.Inspect(fn, func(x ast.Node) bool {
		lit, ok := x.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch lit.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			n += f.line(lit.End()) - f.line(lit.Pos())
			return false
		}
		return true
	})
	return n
}

// name is Function, or Type.Method.
func name(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	return receiver(fn) + "." + fn.Name.Name
}

// receiver is the name of the type of a method's receiver.
func receiver(fn *ast.FuncDecl) string {
	x := fn.Recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.IndexListExpr:
			x = y.X
		case *ast.Ident:
			return y.Name
		default:
			return ""
		}
	}
}

func TestFunctionLength(t *testing.T) {
	long := strings.Repeat("\tg()\n", maxFunctionLines-1)
	table := "\tx := []int{\n" + strings.Repeat("\t\t1,\n", maxFunctionLines) + "\t}\n"
	hold(t, functionLength,
		files{
			"a.go":      "package x\nfunc f() {\n" + table + long[:len(long)-2*len("\tg()\n")] + "}\n",
			"a_test.go": "package x\nfunc f() {\n" + long + "}\n",
		},
		files{"a.go": "package x\nfunc f() {\n" + long + "}\n"},
		files{"a.go": "package x\nfunc (T) f() {\n" + table + long + "}\n"},
	)
}

func fileLength(t *tree) []string {
	var out []string
	for _, f := range t.product() {
		if n := f.lines(); n > maxFileLines {
			out = append(out, fmt.Sprintf("%s: %d lines, at most %d are allowed; "+
				"split it by theme", f.path, n, maxFileLines))
		}
	}
	return out
}

func TestFileLength(t *testing.T) {
	hold(t, fileLength,
		files{
			"a.go":      "package x\n" + strings.Repeat("\n", maxFileLines-1),
			"a_test.go": "package x\n" + strings.Repeat("\n", maxFileLines),
		},
		files{"a.go": "package x\n" + strings.Repeat("\n", maxFileLines)},
	)
}

// longPackages may be longer than others, each for a reason.
var longPackages = map[string]int{
	// The log and the segments that hold it: splitting would export what only the two share.
	"logmanager": 2800,
	// What arrives in a directory, what is served from it and what is removed: one layout, which
	// splitting would export.
	"snapshot": 2700,
	// One member's state, and a file for each theme of the paper that changes it.
	"internal/core": 3300,
}

func packageLength(t *tree) []string {
	lines := map[string]int{}
	for _, f := range t.product() {
		lines[f.dir] += f.lines()
	}
	var out []string
	for _, d := range sorted(lines) {
		if most := max(maxPackageLines, longPackages[d]); lines[d] > most {
			out = append(out, fmt.Sprintf("%s: the package has %d lines outside tests, at most %d "+
				"are allowed; delete, or give an idea of its own its own package",
				d, lines[d], most))
		}
	}
	return out
}

func TestPackageLength(t *testing.T) {
	half := "package x\n" + strings.Repeat("\n", maxPackageLines/2-1)
	hold(t, packageLength,
		files{"x/a.go": half, "x/b.go": half, "y/c.go": half, "x/c_test.go": half},
		files{"x/a.go": half, "x/b.go": half, "x/c.go": "package x\n"},
	)
}

// lineLength bounds the characters of a line of Go, tests included; a tab counts as one. Raw
// strings and lines with an address (://) or a compiler directive may be longer.
func lineLength(t *tree) []string {
	var out []string
	for _, f := range t.sources {
		raw := rawLines(f)
		for i, l := range strings.Split(f.src, "\n") {
			n := utf8.RuneCountInString(l)
			if n <= maxLineRunes || raw[i+1] || strings.Contains(l, "://") ||
				strings.HasPrefix(l, "//go:") {
				continue
			}
			out = append(out, fmt.Sprintf("%s:%d: the line has %d characters, at most %d are "+
				"allowed; break it", f.path, i+1, n, maxLineRunes))
		}
	}
	return out
}

// rawLines are the lines on which there is a raw string.
func rawLines(f *goFile) map[int]bool {
	raw := map[int]bool{}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if ok && lit.Kind == token.STRING && lit.Value[0] == '`' {
			for l := f.line(lit.Pos()); l <= f.line(lit.End()); l++ {
				raw[l] = true
			}
		}
		return true
	})
	return raw
}

func TestLineLength(t *testing.T) {
	hold(t, lineLength,
		files{"a.go": "package x\n\n// " + strings.Repeat("ä", maxLineRunes-3) + "\n" +
			"// https://example.org/" + strings.Repeat("a", maxLineRunes) + "\n" +
			"var x = `\n" + strings.Repeat("a", 2*maxLineRunes) + "\n`\n"},
		files{"a.go": "package x\n\n// " + strings.Repeat("ä", maxLineRunes-2) + "\n"},
		files{"a_test.go": "package x\n\nvar x = \"" + strings.Repeat("a", maxLineRunes) + "\"\n"},
	)
}
