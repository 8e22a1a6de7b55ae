package tidy

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// ordered are the packages in which one seed must always give the same run.
var ordered = []string{"internal/core", "ballotbox", "replicator", "logmanager", "internal/sim"}

const orderMark = "// order:"

// mapOrder forbids what depends on the random order of a map, unless the line (or the one above)
// says with "order:" why the order does not matter. It type-checks the packages with imp.
func mapOrder(imp types.Importer) rule {
	return func(t *tree) []string {
		var out []string
		for _, dir := range ordered {
			var pkg []*goFile
			for _, f := range t.product() {
				if f.dir == dir {
					pkg = append(pkg, f)
				}
			}
			out = append(out, unordered(t.fset, imp, pkg)...)
		}
		return out
	}
}

func unordered(fset *token.FileSet, imp types.Importer, pkg []*goFile) []string {
	if len(pkg) == 0 {
		return nil
	}
	var out []string
	var syntax []*ast.File
	for _, f := range pkg {
		syntax = append(syntax, f.ast)
	}
	complain := func(err error) {
		if len(out) == 0 {
			out = append(out, "does not compile, so map order is not checked: "+err.Error())
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: imp, Error: complain}
	_, _ = conf.Check(pkg[0].dir, fset, syntax, info) // errors went to complain
	for _, f := range pkg {
		if path.Base(f.path) == "loop.go" {
			continue
		}
		why := explained(f)
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if what := mapWalk(f, info, n); what != "" && !why[f.line(n.Pos())] {
				out = append(out, fmt.Sprintf("%s: %s has no order, so that a seed would not replay: "+
					"walk sorted keys or a slice, or say why it does not matter: %s ...",
					f.at(n), what, orderMark))
			}
			return true
		})
	}
	return out
}

// explained are the lines with an order comment and those below them.
func explained(f *goFile) map[int]bool {
	lines := map[int]bool{}
	for _, g := range f.ast.Comments {
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, orderMark) && len(c.Text) > len(orderMark)+4 {
				lines[f.line(c.Pos())] = true
				lines[f.line(g.End())+1] = true
			}
		}
	}
	return lines
}

// mapWalk names the walk over a map that n is.
func mapWalk(f *goFile, info *types.Info, n ast.Node) string {
	switch n := n.(type) {
	case *ast.RangeStmt:
		if tv, ok := info.Types[n.X]; ok && tv.Type != nil {
			if _, ok := tv.Type.Underlying().(*types.Map); ok {
				return "this range over a map"
			}
		}
		if walk := mapWalk(f, info, n.X); walk != "" {
			return walk
		}
	case *ast.CallExpr:
		name := f.local("maps")
		for _, fn := range []string{"Keys", "Values", "All"} {
			if name != "" && calls(n, name+"."+fn) && !sortedAround(f, n) {
				return "maps." + fn
			}
		}
	}
	return ""
}

// sortedAround reports whether the call is the argument of slices.Sorted and the like.
func sortedAround(f *goFile, call *ast.CallExpr) bool {
	found := false
	ast.Inspect(f.ast, func(n ast.Node) bool {
		outer, ok := n.(*ast.CallExpr)
		if !ok || len(outer.Args) == 0 || outer.Args[0] != ast.Expr(call) {
			return true
		}
		for _, fn := range []string{"Sorted", "SortedFunc", "SortedStableFunc"} {
			found = found || calls(outer, "slices."+fn)
		}
		return true
	})
	return found
}

// compiled imports packages from the export data that `go list` names.
func compiled(t *testing.T, fset *token.FileSet) types.Importer {
	args := []string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, d := range ordered {
		if checkout().paths[d] {
			args = append(args, "./"+d)
		}
	}
	export := map[string]string{}
	for _, l := range strings.Split(goCommand(t, args...), "\n") {
		p, file, _ := strings.Cut(l, "\t")
		export[p] = file
	}
	return importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) {
		if export[p] == "" {
			return nil, fmt.Errorf("%s is not compiled", p)
		}
		return os.Open(export[p])
	})
}

// goCommand runs the go command at the root and returns what it prints.
func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func TestMapOrder(t *testing.T) {
	for _, finding := range mapOrder(compiled(t, checkout().fset))(checkout()) {
		t.Error(finding)
	}
	body := func(s string) files {
		return files{"ballotbox/a.go": "package x\nvar m map[int]int\nfunc f() {\n" + s + "\n}\n"}
	}
	imports := func(s string) files {
		return files{"ballotbox/a.go": "package x\nimport \"maps\"\nimport \"slices\"\n" +
			"var m map[int]int\nvar _ = slices.Sort[[]int]\nfunc f() {\n" + s + "\n}\n"}
	}
	imp := importer.ForCompiler(checkout().fset, "source", nil)
	bite(t, mapOrder(imp), body("for range []int{} {}\nfor range m {} // order: only counted"),
		body("for range m {}"),
		body("for range m {} // order:"),
		body("type t map[int]int\nfor k, v := range (t{}) { _, _ = k, v }"),
		imports("for k := range maps.Keys(m) { _ = k }"),
		imports("_ = slices.Collect(maps.Values(m))"),
	)
	bite(t, mapOrder(imp), imports("// order: not of matter\nfor k := range maps.Keys(m) { _ = k }\n"+
		"_ = slices.Sorted(maps.Keys(m))"),
		body("nonsense()"))
}
