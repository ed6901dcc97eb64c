// Package arch holds the house's floors: who may import whom, what the
// collector links, and that every package says what it is for.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/coldscope/coldscope"

type pkg struct {
	ImportPath   string
	Name         string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Name,Doc,Imports,TestImports,XTestImports,Standard"}, args...)...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func inside(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// services never import one another: they meet on the wire and in the schema.
var services = []string{"collector", "aggregator", "query"}

// siblings are the imports between parts of one service that the design wants.
var siblings = map[string][]string{
	"query/api":      {"query/limit", "query/read", "query/diagnose"},
	"query/read":     {"query/limit"},
	"query/diagnose": {"query/read"},
	"query/scf":      {"query/limit", "query/read", "query/diagnose"},
	"query/terminal": {"query/read", "query/client"},
	"query/client":   {"query/read", "query/erase"},
	"query/logql":    {"query/limit", "query/read"},
	"query/loki": {
		"query/limit", "query/logql", "query/logql/labels", "query/logql/pipeline", "query/logql/eval", "query/logql/plan", "query/logql/engine",
	},
}

// part is the part of its service that a package belongs to: query/logql of
// query/logql/eval.
func part(path string) string {
	service, rest, _ := strings.Cut(path, "/")
	name, _, _ := strings.Cut(rest, "/")
	return service + "/" + name
}

// complaint says what is wrong with from importing to (both without the
// module's path), empty if nothing is.
func complaint(from, to string) string {
	switch {
	case inside(from, "internal/faas"):
		return "internal/faas imports the standard library only"
	case inside(from, "internal") && !inside(to, "internal"):
		return "internal packages import nothing above them"
	case inside(to, "cmd") && !inside(from, "cmd"):
		return "nothing imports cmd"
	case inside(to, "demo") && !inside(from, "cmd") && !inside(from, "demo") && !inside(from, "test"):
		return "only cmd and tests import demo"
	}
	for _, s := range services {
		if !inside(from, s) {
			continue
		}
		switch {
		case inside(to, "internal"):
			return ""
		case !inside(to, s):
			return "a service imports internal packages and its own parts only"
		case from == s || inside(to, from):
			return ""
		case to == s:
			return "a part never imports its service's root"
		case part(from) == part(to), slices.Contains(siblings[from], to), slices.Contains(siblings[part(from)], to):
			return ""
		}
		return "parts of a service never import their siblings"
	}
	for _, top := range []string{"dashboards", "plugins"} {
		if inside(from, top) && !inside(to, "internal") && !inside(to, from) && !inside(from, to) {
			return "dashboards and plugins import internal packages and their own only"
		}
	}
	return ""
}

func TestFloors(t *testing.T) {
	for _, p := range list(t, module+"/...") {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				if from == "internal/faas" && strings.Contains(imported, ".") {
					t.Errorf("%s imports %s: it depends on the standard library only", from, imported)
				}
				continue
			}
			if c := complaint(from, to); c != "" {
				t.Errorf("%s imports %s: %s", from, to, c)
			}
			if strings.HasSuffix(to, "test") && !strings.HasSuffix(from, "test") && !inside(from, "test") {
				t.Errorf("%s imports the test package %s outside its tests", from, to)
			}
		}
	}
}

// TestComplaint: the floors' test itself can fail.
func TestComplaint(t *testing.T) {
	for _, c := range []struct {
		from, to string
		bad      bool
	}{
		{"internal/faas", "internal/wire", true},
		{"internal/wire", "internal/faas", false},
		{"internal/wire", "collector/ship", true},
		{"collector", "collector/ship", false},
		{"collector/ship", "collector/tail", true},
		{"collector/ship", "collector", true},
		{"collector/ship", "internal/wire", false},
		{"collector", "aggregator", true},
		{"query/api", "query/read", false},
		{"query/read", "query/api", true},
		{"query/logql/eval", "query/logql", false},
		{"query/logql/eval", "query/logql/plan", false},
		{"query/logql/eval", "query/api", true},
		{"query/api", "dashboards/console", true},
		{"dashboards/console", "query/read", true},
		{"plugins/fluentbit", "plugins/fluentbit/deliver", false},
		{"plugins/fluentbit", "internal/wire", false},
		{"cmd/coldscope", "aggregator", false},
		{"demo", "cmd/coldscope", true},
	} {
		if got := complaint(c.from, c.to); (got != "") != c.bad {
			t.Errorf("%s imports %s: %q, want a complaint: %t", c.from, c.to, got, c.bad)
		}
	}
}

// TestCollectorIsSmall: the host's binary carries no SQL, no query side and no console.
func TestCollectorIsSmall(t *testing.T) {
	for _, p := range list(t, "-deps", module+"/cmd/coldscope-collector") {
		for _, heavy := range []string{
			"github.com/ClickHouse", "github.com/ebitengine/purego", "github.com/danielgtaylor/huma", "github.com/google/go-containerregistry", "k8s.io/client-go",
			module + "/aggregator", module + "/query", module + "/dashboards", module + "/plugins", module + "/internal/clickhouse", module + "/internal/schema", module + "/internal/functionhost",
		} {
			if inside(p.ImportPath, heavy) {
				t.Errorf("coldscope-collector links %s", p.ImportPath)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range list(t, module+"/...") {
		if p.Doc == "" && len(p.Imports) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
