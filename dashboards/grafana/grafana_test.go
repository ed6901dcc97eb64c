package grafana

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the dashboard's JSON anew")

const committed = "dashboards/cold-starts.json"

func TestDashboardIsCommitted(t *testing.T) {
	got, err := Dashboard()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(committed, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run go generate ./dashboards/grafana (-committed +generated):\n%s", diff)
	}
}

func TestPanelsFillTheGrid(t *testing.T) {
	b := builder{}
	seen := map[int]bool{}
	width := map[int]int{}
	for _, p := range b.dashboard().Panels {
		if seen[p.ID] || p.ID == 0 {
			t.Errorf("panel %q: ID %d is not its own", p.Title, p.ID)
		}
		seen[p.ID] = true
		if p.Description == "" {
			t.Errorf("panel %q has no description", p.Title)
		}
		if p.GridPos.X != width[p.GridPos.Y] {
			t.Errorf("panel %q begins at column %d, not %d", p.Title, p.GridPos.X, width[p.GridPos.Y])
		}
		width[p.GridPos.Y] += p.GridPos.W
	}
	for y, w := range width {
		if w != 24 {
			t.Errorf("the panels of row %d take %d of 24 columns", y, w)
		}
	}
}

func TestQueriesHaveNamesOfTheirOwn(t *testing.T) {
	queries, err := Queries()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, q := range queries {
		if seen[q.Name] {
			t.Errorf("two queries are called %s", q.Name)
		}
		seen[q.Name] = true
	}
}

// The dashboard must be found where the provisioning files look for it, and
// lead to the data source that they make.
func TestProvisioning(t *testing.T) {
	var dashboards struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	var sources struct {
		Datasources []struct {
			Type     string
			UID      string
			JSONData map[string]any `yaml:"jsonData"`
		}
	}
	for file, into := range map[string]any{"provisioning/dashboards/coldscope.yaml": &dashboards, "provisioning/datasources/coldscope.yaml": &sources} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(raw, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if len(dashboards.Providers) != 1 || dashboards.Providers[0].Type != "file" {
		t.Errorf("dashboard providers %+v, want one of type file", dashboards.Providers)
	}
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != pluginType {
		t.Fatalf("data sources %+v, want one of type %s", sources.Datasources, pluginType)
	}
	for _, key := range []string{"host", "port", "protocol", "defaultDatabase", "username"} {
		if sources.Datasources[0].JSONData[key] == nil {
			t.Errorf("data source has no %s", key)
		}
	}
}

func TestDashboardNamesOnlyItsOwnVariables(t *testing.T) {
	raw, err := Dashboard()
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, v := range d.Templating.List {
		names[v.Name] = true
	}
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllSubmatch(raw, -1) {
		if name := string(m[1]); !names[name] && !strings.HasPrefix(name, "__") {
			t.Errorf("nothing sets ${%s}", name)
		}
	}
}

func TestExpand(t *testing.T) {
	from, to := time.Unix(1000, 0), time.Unix(1000+7200, 0)
	vars := map[string][]string{"a": {"x", "o'y"}, "all": {All}, "none": nil}
	tests := map[string]struct{ in, want, err string }{
		"filter":        {"$__timeFilter(ts)", "ts >= toDateTime(1000) AND ts <= toDateTime(8200)", ""},
		"interval":      {"$__timeInterval(ts), $__interval_s", "toStartOfInterval(toDateTime(ts), INTERVAL 7 second), 7", ""},
		"ends":          {"$__fromTime $__toTime", "toDateTime(1000) toDateTime(8200)", ""},
		"values":        {"f IN (${a:singlequote})", `f IN ('x','o\'y')`, ""},
		"condition":     {"$__conditionalAll(f IN (${a:singlequote}), $a) AND 2", `f IN ('x','o\'y') AND 2`, ""},
		"all":           {"$__conditionalAll(f IN (${all:singlequote}), $all)", "1=1", ""},
		"none":          {"$__conditionalAll(f IN (${none:singlequote}), $none)", "1=1", ""},
		"unknown":       {"${b:singlequote}", "", "variable b has no value"},
		"not quoted":    {"${a}", "", "not quoted"},
		"unknown macro": {"$__rate(x)", "", "do not know $__rate(x)"},
		"not closed":    {"$__timeFilter(ts", "", "not closed"},
		"one argument":  {"$__conditionalAll(f)", "", "want a condition"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Expand(tt.in, from, to, vars)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.err != "" && !strings.Contains(fmt.Sprint(err), tt.err) || tt.err == "" && err != nil {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
