package prometheus

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/aggregator"
)

// What the rules read from the aggregator must be what it exports. (That all
// names are exported by the running commands is a test beside those.)
func TestAggregatorExportsWhatRulesRead(t *testing.T) {
	reg := prometheus.NewRegistry()
	aggregator.New(aggregator.DefaultConfig(), nil, slog.New(slog.DiscardHandler), reg, noop.NewTracerProvider())
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		reg.Describe(descs)
	}()
	var exported []string
	for d := range descs {
		exported = append(exported, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1])
	}
	names, err := MetricNames()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "coldscope_collector_") && !slices.Contains(exported, name) {
			t.Errorf("the rules read %s, which the aggregator does not export: %q", name, exported)
		}
	}
}
