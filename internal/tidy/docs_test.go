package tidy

import (
	"go/ast"
	"go/token"
	"regexp"
	"testing"
)

// documented wants a comment at every exported type, function, method, interface method, constant
// and variable (one for a group will do for the last two), and at every package.
func documented(t *tree) []string {
	var out []string
	packages := map[string]bool{}
	first := map[string]*goFile{}
	for _, f := range t.product() {
		packages[f.dir] = packages[f.dir] || f.ast.Doc != nil
		if first[f.dir] == nil {
			first[f.dir] = f
		}
		if f.ast.Name.Name == "main" {
			continue
		}
		for _, d := range f.ast.Decls {
			out = append(out, undocumented(f, d)...)
		}
	}
	for _, d := range sorted(packages) {
		if !packages[d] {
			out = append(out, first[d].path+": package "+d+" has no package comment")
		}
	}
	return out
}

const lacksDoc = " has no comment; tell units, errors, who owns slices, what may be called at once"

func undocumented(f *goFile, d ast.Decl) []string {
	var out []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		visible := d.Recv == nil || ast.IsExported(receiver(d))
		if d.Name.IsExported() && visible && d.Doc == nil {
			out = append(out, f.at(d)+": "+name(d)+lacksDoc)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			out = append(out, undocumentedSpec(f, d, s)...)
		}
	}
	return out
}

func undocumentedSpec(f *goFile, d *ast.GenDecl, s ast.Spec) []string {
	var out []string
	switch s := s.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return nil
		}
		if s.Doc == nil && s.Comment == nil && (d.Doc == nil || d.Lparen != token.NoPos) {
			out = append(out, f.at(s)+": "+s.Name.Name+lacksDoc)
		}
		if i, ok := s.Type.(*ast.InterfaceType); ok {
			out = append(out, undocumentedMethods(f, s.Name.Name, i, s.Doc.Text()+d.Doc.Text())...)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				out = append(out, f.at(n)+": "+n.Name+lacksDoc)
			}
		}
	}
	return out
}

// undocumentedMethods looks at the methods of an interface. The comment of the type may speak for
// its only method, and for those it names.
func undocumentedMethods(f *goFile, in string, i *ast.InterfaceType, doc string) []string {
	var out []string
	if i.Methods.NumFields() == 1 && doc != "" {
		return nil
	}
	for _, m := range i.Methods.List {
		if len(m.Names) != 1 || !m.Names[0].IsExported() || m.Doc != nil || m.Comment != nil {
			continue
		}
		method := m.Names[0].Name
		if !regexp.MustCompile(`\b` + method + `\b`).MatchString(doc) {
			out = append(out, f.at(m)+": "+in+"."+method+lacksDoc)
		}
	}
	return out
}

func TestDocumented(t *testing.T) {
	pkg := "// Package x is one.\npackage x\n"
	hold(t, documented,
		files{
			"a.go": pkg + "// A is.\ntype A struct{ B int }\ntype b struct{}\nfunc (b) C() {}\n" +
				"// Errors.\nvar (\nD = 1\n)\nfunc e() {}\n",
			"b.go": "package x\n// I is.\ntype I interface {\nF() // does.\n}\n" +
				"// J can. K does.\ntype J interface {\nK()\nL() // lists.\n}\n" +
				"// M is.\ntype M interface{ N() }\n",
			"a_test.go": "package x\nfunc TestX() {}\n",
			"m/main.go": "// Command m runs.\npackage main\nvar X int\n",
		},
		files{"a.go": "package x\n"},
		files{"a.go": pkg + "type A int\n"},
		files{"a.go": pkg + "func A() {}\n"},
		files{"a.go": pkg + "// A is.\ntype A int\nfunc (*A) B() {}\n"},
		files{"a.go": pkg + "// A is.\ntype A[T any] int\nfunc (A[T]) B() {}\n"},
		files{"a.go": pkg + "const A = 1\n"},
		files{"a.go": pkg + "var (\nA = 1\n)\n"},
		files{"a.go": pkg + "// I is.\ntype I interface {\nF()\nG() // does.\n}\n"},
	)
}
