package tidy

import (
	"go/ast"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	// reference is a `path/file.go:Name` or `path/file.go:Type.Method`, or `path/file.go` alone.
	reference = regexp.MustCompile("`([A-Za-z0-9_./-]+\\.go)(?::([A-Za-z_]\\w*(?:\\.\\w+)?))?`")
	// halfReference looks like one, but its name would not be checked.
	halfReference = regexp.MustCompile("`[A-Za-z0-9_./-]+\\.go:[^`]*`")
	link          = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	stop          = regexp.MustCompile(`^ {0,3}[0-9]+\. `)
)

// references wants each place of the code that a Markdown file names to exist, and each file it
// links to.
func references(t *tree) []string {
	known := map[string]map[string]bool{}
	for _, f := range t.sources {
		known[f.path] = declaredIn(f)
	}
	var out []string
	for _, p := range sorted(t.texts) {
		if !strings.HasSuffix(p, ".md") {
			continue
		}
		for i, l := range strings.Split(t.texts[p], "\n") {
			at := p + ":" + strconv.Itoa(i+1) + ": "
			for _, m := range halfReference.FindAllString(l, -1) {
				if !reference.MatchString(m) {
					out = append(out, at+m+": write `path/file.go:Func` or `path/file.go:Type.Method`")
				}
			}
			for _, m := range reference.FindAllStringSubmatch(l, -1) {
				bare := !strings.Contains(m[1], "/") && m[2] == "" // `loop.go`, any of them
				if names := known[m[1]]; names == nil && !bare {
					out = append(out, at+"there is no file "+m[1])
				} else if m[2] != "" && !names[m[2]] {
					out = append(out, at+m[1]+" does not declare "+m[2])
				}
			}
			for _, m := range link.FindAllStringSubmatch(l, -1) {
				target := path.Join(path.Dir(p), m[1])
				if !strings.Contains(m[1], ":") && target != "." && !t.paths[target] {
					out = append(out, at+"the link leads nowhere: "+m[1])
				}
			}
		}
	}
	return out
}

// declaredIn are the names a file declares: functions, Type.Method (of an interface too),
// Type.Field, types, constants and variables.
func declaredIn(f *goFile) map[string]bool {
	names := map[string]bool{}
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			names[name(fn)] = true
			continue
		}
		for _, s := range d.(*ast.GenDecl).Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names[n.Name] = true
				}
			case *ast.TypeSpec:
				names[s.Name.Name] = true
				for _, m := range members(s.Type) {
					names[s.Name.Name+"."+m.Name] = true
				}
			}
		}
	}
	return names
}

// members are the named fields of a struct, or the methods of an interface.
func members(x ast.Expr) []*ast.Ident {
	var list *ast.FieldList
	switch x := x.(type) {
	case *ast.StructType:
		list = x.Fields
	case *ast.InterfaceType:
		list = x.Methods
	default:
		return nil
	}
	var ids []*ast.Ident
	for _, f := range list.List {
		ids = append(ids, f.Names...)
	}
	return ids
}

func TestReferences(t *testing.T) {
	code := "package x\ntype T struct{ F int }\nfunc (*T) M() {}\nfunc f() {}\n" +
		"type I interface{ N() }\nconst C = 1\n"
	text := func(s string) files { return files{"x/a.go": code, "docs/A.md": s, "README.md": ""} }
	hold(t, references,
		text("`x/a.go:f` `x/a.go:T.M` `x/a.go:T` `x/a.go:I.N` `x/a.go:T.F` `x/a.go:C` "+
			"`x/a.go` `loop.go` [r](../README.md#x) [s](https://example.org/x.go) [t](#here)"),
		text("`x/a.go:g`"),
		text("`x/a.go:M`"),
		text("`x/b.go:f`"),
		text("`x/b.go`"),
		text("`a.go:f`"),
		text("`x/a.go:f()`"),
		text("[r](README.md)"),
	)
}

// tour wants docs/TOUR.md to be a list of numbered stops, each of which names a place in the code.
func tour(t *tree) []string {
	const doc = "docs/TOUR.md"
	text, ok := t.texts[doc]
	if !ok {
		return []string{doc + ": missing; it follows a proposal through the code, stop by stop"}
	}
	var out []string
	stops, open := 0, ""
	for i, l := range append(strings.Split(text, "\n"), "1. ") {
		if stop.MatchString(l) {
			if open != "" {
				out = append(out, open+": the stop names no place; write `path/file.go:Type.Method`")
			}
			open = doc + ":" + strconv.Itoa(i+1)
			stops++
		}
		for _, m := range reference.FindAllStringSubmatch(l, -1) {
			if m[2] != "" {
				open = ""
			}
		}
	}
	if stops < 6 {
		out = append(out, doc+": has no numbered stops (1. ..., 2. ...) to speak of")
	}
	return out
}

func TestTour(t *testing.T) {
	text := func(last string) files {
		return files{"docs/TOUR.md": strings.Repeat("1. Here\n`x/a.go:f`\n", 5) + last}
	}
	hold(t, tour, text("6. There: `x/a.go:T.M`.\n"),
		files{},
		files{"docs/TOUR.md": "1. Once: `x/a.go:f`\n"},
		text("6. No place.\n"),
		text("6. No name in `x/a.go`.\n\n7. Here: `x/a.go:f`\n"),
	)
}
