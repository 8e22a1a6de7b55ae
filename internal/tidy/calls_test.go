package tidy

import (
	"go/ast"
	"strings"
	"testing"
)

// mayPanic lists the functions outside internal/invariant that may panic, each with the reason.
// Input and I/O are never one.
var mayPanic = allowance{
	"raft/configuration_codec.go:EncodeConfiguration": "its own types always encode",
	"internal/sim/witness/history.go:History.fail":    "ends a simulated run; recovered by it",
}

// maySleep lists the functions outside tests that may sleep, each with the reason.
var maySleep = allowance{}

// inFunctions calls look for each function declaration outside tests, with its name.
func inFunctions(t *tree, look func(f *goFile, function string, n ast.Node)) {
	for _, f := range t.product() {
		for _, d := range f.ast.Decls {
			function := ""
			if fn, ok := d.(*ast.FuncDecl); ok {
				function = name(fn)
			}
			ast.Inspect(d, func(n ast.Node) bool {
				look(f, function, n)
				return true
			})
		}
	}
}

// calls reports whether n is a call of the function, written as panic or os.Exit.
func calls(n ast.Node, function string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	pkg, fn, qualified := strings.Cut(function, ".")
	if !qualified {
		id, ok := call.Fun.(*ast.Ident)
		return ok && id.Name == function
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != fn {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// noPanic keeps panics inside internal/invariant, so that a broken group fails alone and says why.
func noPanic(allowed allowance) rule {
	return func(t *tree) []string {
		var out []string
		needed := map[string]bool{}
		inFunctions(t, func(f *goFile, function string, n ast.Node) {
			if calls(n, "panic") && !f.in("internal/invariant") &&
				!allowed.permit(f, function, needed) {
				out = append(out, f.at(n)+": panic: return an error, or use invariant.Check if "+
					"only a bug can lead here; else list the function and the reason in mayPanic")
			}
		})
		return append(out, allowed.stale(needed)...)
	}
}

func TestNoPanic(t *testing.T) {
	for _, finding := range noPanic(mayPanic)(checkout()) {
		t.Error(finding)
	}
	bite(t, noPanic(allowance{"node/a.go:T.f": "a reason"}),
		files{
			"node/a.go":               "package x\nfunc (*T) f() { panic(1) }\n",
			"node/a_test.go":          "package x\nfunc g() { panic(1) }\n",
			"internal/invariant/a.go": "package x\nfunc f() { panic(1) }\n",
		},
		files{"node/a.go": "package x\nfunc (*T) f() { panic(1) }\nfunc f() { panic(1) }\n"},
		files{"node/a.go": "package x\nfunc (*T) f() {}\n"},
	)
}

// noSleep forbids sleeping outside tests: what waits for a time blind to events is late or busy.
func noSleep(allowed allowance) rule {
	return func(t *tree) []string {
		var out []string
		needed := map[string]bool{}
		inFunctions(t, func(f *goFile, function string, n ast.Node) {
			if calls(n, "time.Sleep") && !allowed.permit(f, function, needed) {
				out = append(out, f.at(n)+": time.Sleep: wait for the event, or for a timer and "+
					"the end together; else list the function and the reason in maySleep")
			}
		})
		return append(out, allowed.stale(needed)...)
	}
}

func TestNoSleep(t *testing.T) {
	for _, finding := range noSleep(maySleep)(checkout()) {
		t.Error(finding)
	}
	bite(t, noSleep(allowance{"node/a.go:f": "a reason"}),
		files{
			"node/a.go":      "package x\nfunc f() { time.Sleep(1) }\n",
			"node/a_test.go": "package x\nfunc g() { time.Sleep(1) }\n",
		},
		files{"node/a.go": "package x\nfunc f() { time.Sleep(1) }\nfunc g() { time.Sleep(1) }\n"},
		files{"node/a.go": "package x\nfunc f() {}\n"},
	)
}

// noExit leaves it to a program's main package to end the process, and forbids work at package
// start.
func noExit(t *tree) []string {
	var out []string
	inFunctions(t, func(f *goFile, function string, n ast.Node) {
		for _, end := range []string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln"} {
			if calls(n, end) && f.ast.Name.Name != "main" {
				out = append(out, f.at(n)+": "+end+" in a library: return an error")
			}
		}
		if fn, ok := n.(*ast.FuncDecl); ok && function == "init" {
			out = append(out, f.at(fn)+": no init functions: no global registries or settings")
		}
	})
	return out
}

func TestNoExit(t *testing.T) {
	hold(t, noExit,
		files{"m/main.go": "package main\nfunc main() { os.Exit(1) }\n"},
		files{"a.go": "package x\nfunc f() { os.Exit(1) }\n"},
		files{"a.go": "package x\nfunc f() { log.Fatalf(`x`) }\n"},
		files{"a.go": "package x\nfunc init() {}\n"},
	)
}
