package tidy

import (
	"path"
	"regexp"
	"testing"
)

var (
	goLine        = regexp.MustCompile(`(?m)^go 1\.26\.0$`)
	toolchainLine = regexp.MustCompile(`(?m)^toolchain `)
)

// goVersion wants the same go line, and no toolchain line, in the go.mod of every module.
func goVersion(t *tree) []string {
	var out []string
	for _, p := range sorted(t.texts) {
		if path.Base(p) != "go.mod" {
			continue
		}
		if !goLine.MatchString(t.texts[p]) {
			out = append(out, p+": the go line must be: go 1.26.0")
		}
		if toolchainLine.MatchString(t.texts[p]) {
			out = append(out, p+": delete the toolchain line; it would force a download on users")
		}
	}
	return out
}

func TestGoVersion(t *testing.T) {
	hold(t, goVersion,
		files{"go.mod": "module x\n\ngo 1.26.0\n", "y/go.mod": "module y\n\ngo 1.26.0\n"},
		files{"go.mod": "module x\n\ngo 1.26\n"},
		files{"y/go.mod": "module x\n\ngo 1.26.1\n"},
		files{"y/go.mod": "module x\n\ngo 1.26.0\n\ntoolchain go1.26.8\n"},
	)
}
