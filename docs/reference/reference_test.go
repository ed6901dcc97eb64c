package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

const root = "../.."

func TestPagesAreUpToDate(t *testing.T) {
	for path, page := range pages {
		want, err := page(root)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not up to date, run go generate ./docs/reference (-want +got):\n%s", path, diff)
		}
	}
}

func TestMeaning(t *testing.T) {
	names := map[string]string{"DataDir": "data_dir", "Docker": "docker", "Start": "start", "Continue": "continue", "Host": "host", "KeyFile": "key_file", "Format": "format", "Version": "version"}
	for _, c := range []struct{ comment, fallback, meaning string }{
		{"DataDir is its own directory. Default /var/lib/x.\n", "/var/lib/x", "its own directory"},
		{"Host names this host in\nall. Default: its host name.\n", "its host name", "names this host in all"},
		{"Docker are directories of Docker's. Default /d; an empty list means none.\n", "/d; an empty list means none", "directories of Docker's"},
		{"KeyFile holds what Key is not. It is made.\n", "", "holds what Key is not. It is made"},
		{"Format is plain (default), or cri.\n", "plain", "plain (default), or cri"},
		{"Version is {image.tag|a} by default. It must be so.\n", "{image.tag|a}", "{image.tag|a} by default. It must be so"},
		{"Start and Continue are expressions. With Continue alone, DataDir is too.\n", "", "`start` and `continue` are expressions. With `continue` alone, `data_dir` is too"},
		{"MaxBytes is how long. Default, and at most, the limit.\n", "the limit, and at most that", "MaxBytes is how long"},
		{"PeerName is where a.b.c is, or 1.2. Default none.\n", "none", "PeerName is where a.b.c is, or 1.2"},
	} {
		got, meaning := explain(c.comment, names, !strings.HasPrefix(c.comment, "Start and"))
		if got != c.fallback || meaning != c.meaning {
			t.Errorf("%q has default %q, meaning %q; want %q, %q", c.comment, got, meaning, c.fallback, c.meaning)
		}
	}
}

// What the page cannot do without: keys of every section, and none without a
// meaning.
func TestConfigPage(t *testing.T) {
	page, err := configPage(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## targets[]", "## targets[].tls", "## collector.mapping.templates[]", "`max_unacknowledged`", "`ca_file`", "16 MiB"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/config.md has no %s", want)
		}
	}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") && strings.HasSuffix(strings.TrimRight(line, "\n"), "|  |") {
			t.Errorf("a key without a meaning: %s", line)
		}
	}
}

// The types and labels that the page says are those that the registry of a
// running component would give.
func TestKinds(t *testing.T) {
	r := &registry{}
	r.MustRegister(
		prometheus.NewCounter(prometheus.CounterOpts{Name: "a_total", Help: `Says "a".`}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "b"}),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "c"}),
		prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "d"}, []string{"x", "y"}),
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "e_total"}, []string{"x"}),
		prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "f"}, []string{"x"}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "g"}, func() float64 { return 1 }),
	)
	want := []metric{
		{"a_total", "counter", nil, `Says "a".`},
		{"b", "gauge", nil, ""},
		{"c", "histogram", nil, ""},
		{"d", "histogram", []string{"x", "y"}, ""},
		{"e_total", "counter", []string{"x"}, ""},
		{"f", "gauge", []string{"x"}, ""},
		{"g", "gauge", nil, ""},
	}
	if diff := cmp.Diff(want, r.metrics, cmp.AllowUnexported(metric{})); diff != "" {
		t.Errorf("metrics differ (-want +got):\n%s", diff)
	}
}
