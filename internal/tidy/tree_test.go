package tidy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/jraft-go/jraft"

// files maps slash paths below the root to contents. The rules' samples are written as such.
type files map[string]string

// tree is what the rules look at: the whole checkout, or a sample.
type tree struct {
	fset    *token.FileSet
	sources []*goFile       // all Go files, sorted by path
	texts   files           // Markdown, go.mod, golden files and their list
	paths   map[string]bool // every file and directory
	bad     []string        // Go files that do not parse
}

// goFile is one parsed Go file.
type goFile struct {
	tree *tree
	path string
	dir  string // "." for the root
	core bool   // part of the root module, not of a nested one
	test bool
	src  string
	ast  *ast.File
}

// rule returns one line for each place that breaks it.
type rule func(*tree) []string

// at tells the place of n as path:line.
func (f *goFile) at(n ast.Node) string { return f.atPos(n.Pos()) }

func (f *goFile) atPos(p token.Pos) string {
	return f.path + ":" + strconv.Itoa(f.line(p))
}

func (f *goFile) line(p token.Pos) int { return f.tree.fset.Position(p).Line }

// lines is the number of lines of the file.
func (f *goFile) lines() int { return strings.Count(f.src, "\n") }

// in reports whether the file is in one of the directories or below it.
func (f *goFile) in(dirs ...string) bool {
	for _, d := range dirs {
		if f.dir == d || strings.HasPrefix(f.dir, d+"/") {
			return true
		}
	}
	return false
}

var version = regexp.MustCompile(`/v[0-9]+$`)

// local returns the name under which the file imports the package, or "" if it does not.
func (f *goFile) local(pkg string) string {
	for _, s := range f.ast.Imports {
		if p, _ := strconv.Unquote(s.Path.Value); p == pkg {
			if s.Name != nil {
				return s.Name.Name
			}
			return path.Base(version.ReplaceAllString(p, ""))
		}
	}
	return ""
}

// uses calls found for each pkg.Name in the file for which the package is the one given.
func (f *goFile) uses(pkg string, found func(sel *ast.SelectorExpr)) {
	name := f.local(pkg)
	if name == "" {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == name && id.Obj == nil {
				found(sel)
			}
		}
		return true
	})
}

// product returns the Go files that are not tests.
func (t *tree) product() []*goFile {
	var fs []*goFile
	for _, f := range t.sources {
		if !f.test {
			fs = append(fs, f)
		}
	}
	return fs
}

var golden = regexp.MustCompile(`(^|/)testdata/v[0-9][^/]*/`)

// read reports whether the rules look into the file.
func read(p string) bool {
	base := path.Base(p)
	return strings.HasSuffix(p, ".go") || strings.HasSuffix(p, ".md") || base == "go.mod" ||
		base == "golden.sum" || golden.MatchString(p)
}

// grow makes a tree of files.
func grow(fs files, paths map[string]bool) *tree {
	t := &tree{fset: token.NewFileSet(), texts: files{}, paths: paths}
	for p := range fs {
		for q := p; q != "."; q = path.Dir(q) {
			paths[q] = true
		}
	}
	for _, p := range sorted(fs) {
		if !strings.HasSuffix(p, ".go") || golden.MatchString(p) {
			t.texts[p] = fs[p]
			continue
		}
		a, err := parser.ParseFile(t.fset, p, fs[p], parser.ParseComments)
		if err != nil {
			t.bad = append(t.bad, err.Error())
			continue
		}
		f := &goFile{tree: t, path: p, dir: path.Dir(p), src: fs[p], ast: a, core: true}
		f.test = strings.HasSuffix(p, "_test.go")
		for d := f.dir; d != "."; d = path.Dir(d) {
			if paths[d+"/go.mod"] {
				f.core = false
			}
		}
		t.sources = append(t.sources, f)
	}
	return t
}

// root is the directory of the module, found from the working directory upwards.
func root() string {
	d, err := os.Getwd()
	for ; err == nil; d = filepath.Dir(d) {
		b, e := os.ReadFile(filepath.Join(d, "go.mod"))
		if e == nil && strings.HasPrefix(string(b), "module "+module+"\n") {
			return d
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	panic("tidy: no go.mod of " + module + " at or above the working directory")
}

// checkout is the tree this test lies in, read once.
var checkout = sync.OnceValue(func() *tree {
	found, paths, top := files{}, map[string]bool{}, root()
	err := filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == top {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "node_modules") {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(top, p)
		rel = filepath.ToSlash(rel)
		paths[rel] = true
		if err != nil || e.IsDir() || !read(rel) {
			return err
		}
		b, err := os.ReadFile(p)
		found[rel] = string(b)
		return err
	})
	if err != nil {
		panic(err)
	}
	return grow(found, paths)
})

// hold fails the test for each place of the checkout that breaks the rule, and makes sure that the
// rule accepts the good sample and rejects each of the bad ones.
func hold(t *testing.T, r rule, good files, bad ...files) {
	t.Helper()
	for _, finding := range r(checkout()) {
		t.Error(finding)
	}
	bite(t, r, good, bad...)
}

// bite makes sure that the rule accepts the good sample and rejects each of the bad ones.
func bite(t *testing.T, r rule, good files, bad ...files) {
	t.Helper()
	if got := sample(t, r, good); len(got) > 0 {
		t.Errorf("the rule is too strict, it flags the good sample: %q", got)
	}
	if len(bad) == 0 {
		t.Error("the rule has no bad sample")
	}
	for _, b := range bad {
		if len(sample(t, r, b)) == 0 {
			t.Errorf("the rule cannot fail: it lets this pass: %q", b)
		}
	}
}

func sample(t *testing.T, r rule, fs files) []string {
	t.Helper()
	tr := grow(fs, map[string]bool{})
	for _, e := range tr.bad {
		t.Errorf("the sample does not parse: %s", e)
	}
	return r(tr)
}

func TestEveryFileParses(t *testing.T) {
	for _, e := range checkout().bad {
		t.Error(e)
	}
	if len(checkout().sources) == 0 {
		t.Error("no Go file found")
	}
	if len(grow(files{"a.go": "package"}, map[string]bool{}).bad) == 0 {
		t.Error("a broken file was not noticed")
	}
}
