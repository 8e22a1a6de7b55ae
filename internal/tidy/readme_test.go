package tidy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The README shows code only if a test runs it. Between the lines
//
//	<!-- example:path/example_test.go -->
//	<!-- /example -->
//
// stands one ```go block, which equals what the file has between its lines "// readme:begin" and
// "// readme:end" (without an end: all the rest; several such parts are joined by an empty line,
// each without its common indentation). So that readers can run it, a test's clause "package
// x_test" reads as "package main", and "func Example...() {" as "func main() {".
const (
	partBegin     = "// readme:begin"
	partEnd       = "// readme:end"
	maxHelloLines = 39
	hello         = "node/example_test.go"
)

var (
	quoted = regexp.MustCompile("(?ms)^<!-- example:(\\S+) -->\n+" +
		"```go\n(.*?)^```\n+<!-- /example -->$")
	marked = regexp.MustCompile(`(?m)^<!-- example:`)
	clause = regexp.MustCompile(`(?m)^package \w+_test$`)
	header = regexp.MustCompile(`(?m)^func Example\w*\(\) \{$`)
)

// readme wants the code in README.md to be the text of tested examples, the hello world among them.
func readme(t *tree) []string {
	text := t.texts["README.md"]
	shown := quoted.FindAllStringSubmatch(text, -1)
	var out []string
	if n := len(marked.FindAllString(text, -1)); n != len(shown) {
		out = append(out, fmt.Sprintf("README.md: %d example markers, but %d blocks of the form "+
			"<!-- example:path --> ```go ... ``` <!-- /example -->", n, len(shown)))
	}
	found := false
	for _, m := range shown {
		found = found || m[1] == hello
		want, got := part(t, m[1]), strings.TrimSpace(m[2])
		if want == "" {
			out = append(out, "README.md: "+m[1]+" has no line "+partBegin)
		} else if want != got {
			out = append(out, "README.md: the block of "+m[1]+" is not what the test runs: "+
				difference(got, want))
		}
		if n := strings.Count(got, "\n") + 1; m[1] == hello && n > maxHelloLines {
			out = append(out, fmt.Sprintf("README.md: hello world has %d lines, at most %d are wanted",
				n, maxHelloLines))
		}
	}
	if !found {
		out = append(out, "README.md: no hello world from "+hello+"; "+
			"put it between <!-- example:"+hello+" --> and <!-- /example -->")
	}
	return out
}

// part is what the README has to show of the file; "" if nothing.
func part(t *tree, p string) string {
	var parts []string
	for _, f := range t.sources {
		if f.path != p {
			continue
		}
		_, rest, more := strings.Cut(f.src, partBegin+"\n")
		for more {
			var one string
			one, rest, _ = strings.Cut(rest, partEnd)
			if one = dedent(one); one != "" {
				parts = append(parts, one)
			}
			_, rest, more = strings.Cut(rest, partBegin+"\n")
		}
	}
	joined := strings.Join(parts, "\n\n")
	return header.ReplaceAllString(clause.ReplaceAllString(joined, "package main"), "func main() {")
}

// dedent takes off the indentation that all lines share, and empty space around the whole.
func dedent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for {
		for _, l := range lines {
			if l != "" && l[0] != '\t' {
				return strings.TrimSpace(strings.Join(lines, "\n"))
			}
		}
		if strings.Join(lines, "") == "" {
			return ""
		}
		for i := range lines {
			lines[i] = strings.TrimPrefix(lines[i], "\t")
		}
	}
}

// difference shows the first line in which the two differ.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := 0; ; i++ {
		gl, wl := "(end)", "(end)"
		if i < len(g) {
			gl = g[i]
		}
		if i < len(w) {
			wl = w[i]
		}
		if gl != wl {
			return fmt.Sprintf("its line %d\n  is        %s\n  should be %s", i+1, gl, wl)
		}
	}
}

func TestReadme(t *testing.T) {
	code := "package node_test\n\n" + partBegin + "\nimport \"fmt\"\n" + partEnd +
		"\n\nvar x int\n\n" + partBegin + "\nfunc Example() {\n\tfmt.Println(1)\n}\n"
	block := func(path, s string) files {
		return files{hello: code, "README.md": "# x\n<!-- example:" + path + " -->\n```go\n" + s +
			"```\n<!-- /example -->\n"}
	}
	const text = "import \"fmt\"\n\nfunc main() {\n\tfmt.Println(1)\n}\n"
	inner := block(hello, "a()\nb()\n")
	inner[hello] = "package x\nfunc f() {\n\t" + partBegin + "\n\ta()\n\tb()\n\t" + partEnd + "\n}\n"
	long := block(hello, strings.Repeat("//\n", maxHelloLines+1))
	long[hello] = "package x\n\n" + partBegin + "\n" + strings.Repeat("//\n", maxHelloLines+1)
	hold(t, readme, block(hello, text),
		block(hello, strings.Replace(text, "1", "2", 1)),
		block(hello, text+"// more\n"),
		block("node/other_test.go", text),
		files{"README.md": "# x\n"},
		files{"README.md": "<!-- example:" + hello + " -->\nno code\n"},
		long,
	)
	bite(t, readme, inner, files{})
}
