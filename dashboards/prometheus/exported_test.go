package prometheus

import (
	"context"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/collector"
)

// nowhere takes nothing: the collector that has it never runs.
type nowhere struct{}

func (nowhere) PushEncoded(context.Context, string, []byte) error { return nil }

// What the rules read must be what aggregator and collector export, with the
// labels by which the rules group. (That all names are exported by the running
// commands is a test beside those.)
func TestComponentsExportWhatRulesRead(t *testing.T) {
	reg := prometheus.NewRegistry()
	aggregator.New(aggregator.DefaultConfig(), nil, slog.New(slog.DiscardHandler), reg, noop.NewTracerProvider())
	c, err := collector.New(collector.Config{DataDir: filepath.Join(t.TempDir(), "c"), CRI: []string{}, Docker: []string{}},
		collector.Deps{Sink: nowhere{}, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	exported := describe(reg)
	names, err := MetricNames()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, ok := exported[name]; !ok {
			t.Errorf("the rules read %s, which nothing exports", name)
		}
	}
	for name, label := range map[string]string{
		"coldscope_collector_missed_bytes_total": "reason", "coldscope_collector_target_up": "target", "coldscope_collector_throttled_lanes": "target",
	} {
		if !slices.Contains(exported[name], label) {
			t.Errorf("%s has no label %s but %q", name, label, exported[name])
		}
	}
}

// describe gives what is registered: names, and the labels of each.
func describe(reg *prometheus.Registry) map[string][]string {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		reg.Describe(descs)
	}()
	exported := map[string][]string{}
	for d := range descs {
		m := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
		exported[m[1]] = regexp.MustCompile(`\w+`).FindAllString(m[2], -1)
	}
	return exported
}

// The test above can see what it looks for.
func TestDescribe(t *testing.T) {
	reg := prometheus.NewRegistry()
	promauto.With(reg).NewCounterVec(prometheus.CounterOpts{Name: "a_total"}, []string{"x", "y"})
	promauto.With(reg).NewGauge(prometheus.GaugeOpts{Name: "b"})
	got := describe(reg)
	if !slices.Equal(got["a_total"], []string{"x", "y"}) || got["b"] != nil || len(got) != 2 {
		t.Errorf("described as %q", got)
	}
}
