package tidy

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	vagueWord    = regexp.MustCompile(`(Impl|Helpers?|Utils?|Common|Base|Ctx|Misc)$`)
	vaguePackage = regexp.MustCompile(`^(impl|helpers?|utils?|common|base|misc)$`)
	vagueFile    = regexp.MustCompile(`(^|_)(impl|helpers?|utils?|common|base|misc)(_test)?\.go$`)
	getter       = regexp.MustCompile(`^Get[A-Z]`)
)

// names forbids words that say nothing, in the names of files, packages, types and functions.
func names(t *tree) []string {
	var out []string
	for _, f := range t.sources {
		if vaguePackage.MatchString(f.ast.Name.Name) || vagueFile.MatchString(path.Base(f.path)) {
			out = append(out, f.path+": name it for the idea it holds, not helper, util or common")
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			id := declared(n)
			if id == nil {
				return true
			}
			if w := vagueWord.FindString(strings.ToUpper(id.Name[:1]) + id.Name[1:]); w != "" {
				out = append(out, f.at(id)+": "+id.Name+": say what it is, not "+w)
			}
			if _, fn := n.(*ast.FuncDecl); (fn || isField(n)) && getter.MatchString(id.Name) {
				out = append(out, f.at(id)+": "+id.Name+": drop the Get")
			}
			return true
		})
	}
	return out
}

// declared is the name of a type, a function or a method of an interface.
func declared(n ast.Node) *ast.Ident {
	switch n := n.(type) {
	case *ast.TypeSpec:
		return n.Name
	case *ast.FuncDecl:
		return n.Name
	case *ast.Field:
		if isField(n) {
			return n.Names[0]
		}
	}
	return nil
}

// isField reports whether n declares a method of an interface (or a field of a function type).
func isField(n ast.Node) bool {
	f, ok := n.(*ast.Field)
	if !ok || len(f.Names) != 1 {
		return false
	}
	_, ok = f.Type.(*ast.FuncType)
	return ok
}

func TestNames(t *testing.T) {
	hold(t, names,
		files{"database.go": "package database\ntype Database struct{}\n" +
			"func (Database) Getter(ctx int) {}\nfunc Get() {}\n"},
		files{"a.go": "package x\ntype StoreImpl struct{}\n"},
		files{"a.go": "package x\ntype helper struct{}\n"},
		files{"a.go": "package x\nfunc parseUtil() {}\n"},
		files{"a.go": "package x\nfunc (T) GetTerm() {}\n"},
		files{"a.go": "package x\ntype T interface{ GetTerm() }\n"},
		files{"a.go": "package x\ntype runCtx int\n"},
		files{"a.go": "package util\n"},
		files{"store_helpers.go": "package x\n"},
	)
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

// finished forbids notes of unfinished work, and tests that skip themselves.
func finished(t *tree) []string {
	var out []string
	for _, f := range t.sources {
		for _, g := range f.ast.Comments {
			for _, c := range g.List {
				if w := unfinished.FindString(c.Text); w != "" {
					out = append(out, f.at(c)+": "+w+": do it, or open an issue and delete the note")
				}
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if f.test && skips(n) {
				out = append(out, f.at(n)+": a skipped test proves nothing; make it run or delete it")
			}
			return true
		})
	}
	return out
}

// skips reports whether n is a call of t.Skip and the like.
func skips(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !regexp.MustCompile(`^(Skip|SkipNow|Skipf)$`).MatchString(sel.Sel.Name) {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && token.IsIdentifier(id.Name) && regexp.MustCompile(`^(t|b|f|tb|rt)$`).MatchString(id.Name)
}

func TestFinished(t *testing.T) {
	hold(t, finished,
		files{"a_test.go": "package x\n// a todo list\nfunc f() { r.Skip(3) }\n"},
		files{"a.go": "package x\n// TO" + "DO: more\n"},
		files{"a.go": "package x\n\nvar x = 1 // FIX" + "ME\n"},
		files{"a_test.go": "package x\nfunc f() { t.Skip() }\n"},
		files{"a_test.go": "package x\nfunc f() { tb.Skipf(`x`) }\n"},
	)
}
