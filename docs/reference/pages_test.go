package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/scf"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every example of a configuration is one that a collector takes.
func TestExamplesAreConfigurations(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	n := 0
	for _, page := range []string{"docs/collector.md", "docs/config.md"} {
		for _, m := range blocks.FindAllStringSubmatch(read(t, page), -1) {
			n++
			var c struct {
				Targets   []wire.Options   `yaml:"targets"`
				Collector collector.Config `yaml:"collector"`
			}
			if err := yaml.UnmarshalWithOptions([]byte(m[1]), &c, yaml.Strict()); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if err := c.Collector.Validate(); err != nil {
				t.Errorf("%s: %v\n%s", page, err, m[1])
			}
			for _, target := range c.Targets {
				if err := target.Validate(); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d examples were found", n)
	}
}

// The file of keys of the SCF API's page is one.
func TestExampleIsAFileOfKeys(t *testing.T) {
	example := regexp.MustCompile("(?s)```yaml\n(keys:.*?)```").FindStringSubmatch(read(t, "docs/scf.md"))
	if example == nil {
		t.Fatal("docs/scf.md shows no file of keys")
	}
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(path, []byte(example[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := scf.OpenKeys(path, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Error(err)
	}
}

// The access file of the operator's page is one.
func TestExampleIsAnAccessFile(t *testing.T) {
	example := regexp.MustCompile("(?s)```yaml\n(tokens:.*?)```").FindStringSubmatch(read(t, "docs/security.md"))
	if example == nil {
		t.Fatal("there is none")
	}
	path := filepath.Join(t.TempDir(), "access.yaml")
	if err := os.WriteFile(path, []byte(example[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := access.New(access.Config{File: path}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Error(err)
	}
}

// Links within the repository lead somewhere, and metrics that are named are there.
func TestPagesAreTrue(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[\w-]+)?\)`)
	name := regexp.MustCompile(`coldscope_[a-z]+_[a-z_]+[a-z]`)
	metrics := read(t, "docs/metrics.md")
	for _, page := range []string{
		"README.md", "docs/architecture.md", "docs/collector.md", "docs/config.md", "docs/metrics.md", "docs/events.md", "docs/security.md", "docs/intake.md", "docs/scaling.md", "docs/store.md",
		"deploy/README.md", "dashboards/prometheus/README.md",
	} {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
		for _, m := range name.FindAllString(text, -1) {
			if !strings.Contains(metrics, "| `"+m+"`") {
				t.Errorf("%s names %s, which nothing exports", page, m)
			}
		}
	}
}

// The operator's page names metrics without what they all begin with.
func TestTroubleshootingNamesMetrics(t *testing.T) {
	metrics := read(t, "docs/metrics.md")
	short := regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)(?:\\{[^}`]*\\})?(?: 0)?`")
	config := read(t, "docs/config.md")
	for _, m := range short.FindAllStringSubmatch(read(t, "docs/collector.md"), -1) {
		metric := strings.Contains(metrics, "| `coldscope_collector_"+m[1]+"`")
		if key := strings.Contains(config, "`"+m[1]+"`"); !strings.HasPrefix(m[1], "coldscope_") && !metric && !key && !others[m[1]] {
			t.Errorf("docs/collector.md names %s, which is no metric and no key", m[1])
		}
	}
}

// others are words with an underline that are neither metrics nor keys.
var others = map[string]bool{
	"no_new_privs": true, "faas_function": true,
}
