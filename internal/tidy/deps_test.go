package tidy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// nodeModules are the third-party modules that package node may pull into a user's program.
var nodeModules = []string{"github.com/hashicorp/go-msgpack/v2", "golang.org/x/time"}

// strangers returns a finding for each line "package<TAB>module" of list whose module is not
// allowed.
func strangers(list string, allowed []string) []string {
	var out []string
	for _, l := range strings.Split(strings.TrimSpace(list), "\n") {
		pkg, mod, _ := strings.Cut(l, "\t")
		if mod != "" && mod != module && !slices.Contains(allowed, mod) {
			out = append(out, fmt.Sprintf("node depends on %s of %s, which every user would have to "+
				"compile; put what needs it beside node (as transport/grpctransport is)", pkg, mod))
		}
	}
	return out
}

func TestNodeDependencies(t *testing.T) {
	const format = "{{.ImportPath}}\t{{with .Module}}{{.Path}}{{end}}"
	list := goCommand(t, "list", "-deps", "-f", format, "./node")
	for _, finding := range strangers(list, nodeModules) {
		t.Error(finding)
	}
	for _, m := range append(slices.Clone(nodeModules), module) {
		if strings.HasPrefix(m, "google.golang.org/") || strings.HasPrefix(m, "go.etcd.io/") {
			t.Errorf("%s can never be allowed: only gRPC's and bbolt's own packages need it", m)
		}
	}
	good := "fmt\t\n" + module + "/raft\t" + module + "\nexample.org/a/b\texample.org/a\n"
	if got := strangers(good, []string{"example.org/a"}); len(got) > 0 {
		t.Errorf("too strict: %q", got)
	}
	if len(strangers(good, []string{"example.org/b"})) != 1 {
		t.Error("the rule cannot fail")
	}
}
