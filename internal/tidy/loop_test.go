package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"testing"
)

// pure are the floors 0 to 2: machines without goroutine, clock, I/O or chance. internal/vfs and
// transport are left out, because touching the world is what they are for.
var pure = []string{
	"raft", "internal/invariant", "internal/core",
	"ballotbox", "replicator", "logmanager", "fsm", "snapshot",
}

var worldly = []string{"os", "os/exec", "os/signal", "sync", "sync/atomic", "syscall",
	"io/ioutil", "math/rand", "crypto/rand"}

var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer",
	"NewTicker"}

const intoLoop = " belongs into loop.go: here the simulator could not run it " +
	"(the loop rule; take the clock, the file system or the random source as an argument)"

// loopRule keeps the world out of the pure packages, but for files called loop.go; and out of the
// simulator.
func loopRule(t *tree) []string {
	var out []string
	for _, f := range t.product() {
		sim := f.in("internal/sim")
		if !sim && (!f.in(pure...) || path.Base(f.path) == "loop.go") {
			continue
		}
		for _, s := range f.ast.Imports {
			p, _ := strconv.Unquote(s.Path.Value)
			// The simulator's command line and its replay files are outside the simulated world.
			if slices.Contains(worldly, p) && (!sim || p != "os") {
				out = append(out, f.at(s)+": package "+p+intoLoop)
			}
		}
		f.uses("time", func(sel *ast.SelectorExpr) {
			if slices.Contains(clock, sel.Sel.Name) {
				out = append(out, f.at(sel)+": time."+sel.Sel.Name+intoLoop)
			}
		})
		f.uses("math/rand/v2", func(sel *ast.SelectorExpr) {
			if globalChance(sel.Sel.Name) {
				out = append(out, f.at(sel)+": global randomness, rand."+sel.Sel.Name+intoLoop)
			}
		})
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if what := concurrent(n); what != "" {
				out = append(out, f.at(n)+": "+what+intoLoop)
			}
			return true
		})
	}
	return out
}

// globalChance reports whether the function of math/rand/v2 draws from the global source.
func globalChance(name string) bool {
	switch name {
	case "New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf":
		return false
	}
	return true
}

// concurrent names the syntax of goroutines and channels that n is.
func concurrent(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a go statement"
	case *ast.ChanType:
		return "a channel"
	case *ast.SendStmt:
		return "a send to a channel"
	case *ast.SelectStmt:
		return "a select"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "a receive from a channel"
		}
	}
	return ""
}

func TestLoopRule(t *testing.T) {
	body := func(s string) string { return "package x\nfunc f() {\n" + s + "\n}\n" }
	uses := func(p, s string) string {
		return "package x\nimport \"" + p + "\"\nvar _ = " + s + "\n"
	}
	hold(t, loopRule,
		files{
			"logmanager/loop.go":   body("go f()\nselect {}"),
			"logmanager/a_test.go": uses("os", "os.Args"),
			"internal/core/a.go":   uses("time", "time.Second"),
			"transport/a.go":       uses("sync", "sync.Mutex{}"),
			"internal/sim/a.go":    uses("math/rand/v2", "rand.New(nil)"),
			"node/a.go":            body("go f()"),
		},
		files{"internal/core/a.go": body("go f()")},
		files{"ballotbox/a.go": body("select {}")},
		files{"fsm/a.go": "package x\nvar c chan int\n"},
		files{"fsm/a.go": body("<-c")},
		files{"fsm/a.go": body("c <- 1")},
		files{"replicator/a.go": uses("time", "time.Now()")},
		files{"replicator/a.go": uses("time", "time.NewTimer(0)")},
		files{"logmanager/segment.go": uses("os", "os.Args")},
		files{"logmanager/boltlog/a.go": uses("sync", "sync.Mutex{}")},
		files{"snapshot/myloop.go": uses("sync/atomic", "atomic.Int64{}")},
		files{"internal/core/a.go": uses("math/rand/v2", "rand.IntN(2)")},
		files{"internal/sim/a.go": body("go f()")},
		files{"internal/sim/a.go": uses("time", "time.Now()")},
	)
}
