package tidy

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the import table: which packages of this module each package may import. A package
// that is not here may not exist: add it, here and in docs/ARCHITECTURE.md, on the floor where it
// belongs.
var mayImport = map[string][]string{
	"raft":                    nil,
	"internal/vfs":            nil,
	"internal/invariant":      nil,
	"internal/tidy":           nil,
	"ballotbox":               {"raft"},
	"replicator":              {"raft"},
	"fsm":                     {"raft"},
	"transport":               {"raft"},
	"transport/grpctransport": {"raft", "transport"},
	"transport/transporttest": {"raft", "transport"},
	"logmanager":              {"raft", "internal/vfs", "internal/invariant"},
	"logmanager/boltlog":      {"raft", "logmanager"},
	"snapshot":                {"raft", "internal/vfs", "internal/invariant"},
	"internal/core": {
		"raft", "internal/invariant", "ballotbox", "replicator", "logmanager",
	},
	"internal/await":    {"raft"},              // those that wait for a member
	"internal/petition": {"raft", "transport"}, // what a member asks of its leader
	// what touches the world for the loop
	"internal/edge":   {"raft", "internal/core", "logmanager", "transport"},
	"internal/keeper": {"raft", "logmanager", "fsm", "snapshot", "transport"},
	"node": {
		"raft", "internal/core",
		"internal/await", "internal/edge", "internal/keeper", "internal/petition",
		"ballotbox", "replicator", "logmanager", "fsm", "snapshot", "transport",
	},
	"internal/sim": {
		"raft", "internal/core", "internal/vfs",
		"internal/invariant", // to recover a Violation and report it with the seed
		"replicator", "fsm", "snapshot", "transport",
		"internal/sim/witness", "internal/sim/swarm", "internal/sim/record", "internal/sim/register",
		"internal/sim/agenda", "internal/sim/edge",
	},
	"internal/sim/edge": {
		"raft", "internal/core", "internal/vfs", "logmanager", "fsm", "snapshot",
		"internal/sim/witness", "internal/sim/swarm", "internal/sim/record", "internal/sim/register",
	},
	"internal/sim/witness":  {"raft", "internal/core", "logmanager"},
	"internal/sim/swarm":    {"raft", "internal/core", "replicator", "internal/sim/witness"},
	"internal/sim/record":   {"raft", "internal/sim/witness", "internal/sim/swarm"},
	"internal/sim/register": {"raft", "fsm", "internal/sim/witness"},
	"internal/sim/agenda":   nil,
}

// testsMayImport is what a test of any package may import besides.
var testsMayImport = []string{
	"raft", "internal/vfs", "internal/invariant", "transport/transporttest",
}

// publicOnly are the places that may import whatever a user may.
var publicOnly = []string{"examples", "cmd"}

// soleImporters are the third-party modules that exactly one directory of the core module may
// import, examples apart.
var soleImporters = map[string]string{
	"google.golang.org/grpc":     "transport/grpctransport",
	"google.golang.org/protobuf": "transport/grpctransport",
	"go.etcd.io/bbolt":           "logmanager/boltlog",
}

func importTable(t *tree) []string {
	var out []string
	for _, f := range t.sources {
		if !f.core {
			continue
		}
		if _, known := mayImport[f.dir]; !known && !f.in(publicOnly...) {
			out = append(out, f.path+": package "+f.dir+" is not in the import table; "+
				"add it to internal/tidy/imports_test.go and docs/ARCHITECTURE.md")
			continue
		}
		for _, s := range f.ast.Imports {
			p, _ := strconv.Unquote(s.Path.Value)
			if s.Name != nil && s.Name.Name == "." {
				out = append(out, f.at(s)+": a dot import hides where names come from; name them")
			}
			if why := forbidden(f, p); why != "" {
				out = append(out, f.at(s)+": "+why)
			}
		}
	}
	return out
}

// forbidden tells why the file may not import the package; "" if it may.
func forbidden(f *goFile, p string) string {
	for _, prefix := range sorted(soleImporters) {
		if (p == prefix || strings.HasPrefix(p, prefix+"/")) && f.dir != soleImporters[prefix] &&
			!f.in(publicOnly...) {
			return "only " + soleImporters[prefix] + " imports " + prefix
		}
	}
	ours, ok := strings.CutPrefix(p, module+"/")
	if !ok {
		return ""
	}
	if f.in(publicOnly...) {
		top := strings.Split(f.dir, "/")[0]
		if strings.HasPrefix(ours, "internal/") && !strings.HasPrefix(ours, top) {
			return f.dir + " shows what a user can do: it may not import " + ours
		}
		return ""
	}
	if slices.Contains(mayImport[f.dir], ours) || ours == f.dir {
		return ""
	}
	if f.test && (f.dir == "node" || path.Dir(ours) == f.dir ||
		slices.Contains(testsMayImport, ours)) {
		return ""
	}
	return f.dir + " may not import " + ours + " (import table); " +
		"declare a small interface here, and let node or core pass the real thing"
}

func TestImportTable(t *testing.T) {
	imports := func(p string) string { return "package x\nimport _ \"" + p + "\"\n" }
	hold(t, importTable,
		files{
			"fsm/a.go":                     imports(module + "/raft"),
			"fsm/a_test.go":                imports(module + "/internal/vfs"),
			"node/a_test.go":               imports(module + "/transport/grpctransport"),
			"transport/grpctransport/a.go": imports("google.golang.org/grpc/codes"),
			"examples/x/main.go":           imports(module + "/node"),
			"examples/y/main.go":           imports("go.etcd.io/bbolt"),
			"bench/go.mod":                 "module x\n",
			"bench/a.go":                   imports("google.golang.org/grpc"),
		},
		files{"fsm/a.go": imports(module + "/ballotbox")},
		files{"fsm/a_test.go": imports(module + "/snapshot")},
		files{"raft/a.go": imports(module + "/internal/vfs")},
		files{"internal/sim/a.go": imports(module + "/node")},
		files{"internal/sim/a_test.go": imports(module + "/node")},
		files{"fsm/a.go": "package x\nimport . \"time\"\n"},
		files{"node/a.go": imports(module + "/transport/grpctransport")},
		files{"examples/x/main.go": imports(module + "/internal/core")},
		files{"node/a_test.go": imports("google.golang.org/grpc/codes")},
		files{"snapshot/a.go": imports("go.etcd.io/bbolt")},
		files{"helpers/a.go": "package helpers\n"},
	)
}
