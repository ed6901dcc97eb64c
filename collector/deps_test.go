package collector

import (
	"os/exec"
	"strings"
	"testing"
)

// The collector runs on every host: it stays small, and knows nothing of the
// store, the query side or the console.
func TestLinks(t *testing.T) {
	const module = "github.com/coldscope/coldscope/"
	out, err := exec.Command("go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, bad := range []string{
			"database/sql", "github.com/ClickHouse/", "github.com/danielgtaylor/huma", "github.com/ebitengine/purego",
			"github.com/spf13/cobra", "k8s.io/client-go",
			module + "aggregator", module + "query", module + "dashboards", module + "internal/schema", module + "internal/clickhouse",
		} {
			if strings.HasPrefix(dep, bad) {
				t.Errorf("the collector links %s", dep)
			}
		}
	}
	// Parts do not know each other: only the root joins them.
	out, err = exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if fields[0] == module+"collector" {
			continue
		}
		for _, imported := range fields[1:] {
			if strings.HasPrefix(imported, module+"collector") && !strings.HasPrefix(imported, fields[0]+"/") {
				t.Errorf("%s imports %s", fields[0], imported)
			}
		}
	}
}
