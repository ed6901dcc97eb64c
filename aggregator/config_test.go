package aggregator

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/schema"
)

func TestValidate(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	bad := map[string]func(*Config){
		"aggregator.hold: ":          func(c *Config) { c.Hold = -1 },
		"aggregator.batch_age: ":     func(c *Config) { c.BatchAge = time.Minute },
		"aggregator.batch_rows: ":    func(c *Config) { c.BatchRows = 0 },
		"aggregator.batch_bytes: ":   func(c *Config) { c.BatchBytes = 1000 },
		"aggregator.pending_bytes: ": func(c *Config) { c.Pending = 1000 },
		"aggregator.otlp_grpc: ":     func(c *Config) { c.OTLPGRPC = "4317" },
	}
	all := DefaultConfig()
	for key, spoil := range bad {
		one := DefaultConfig()
		spoil(&one)
		spoil(&all)
		if err := one.Validate(); err == nil || !strings.HasPrefix(err.Error(), key) {
			t.Errorf("%s%v", key, err)
		}
	}
	for key := range bad {
		if err := all.Validate(); !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not among %v", key, err)
		}
	}
}

// TestFullBatch: a batch is written when it is full, by rows or by bytes, though
// its time has not come.
func TestFullBatch(t *testing.T) {
	for name, limit := range map[string]func(*Config){
		"rows":  func(c *Config) { c.BatchRows = 10 },
		"bytes": func(c *Config) { c.BatchBytes = 5000 },
	} {
		t.Run(name, func(t *testing.T) {
			conn, _ := clickhousetest.DB(t)
			if err := schema.Migrate(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
			cfg := DefaultConfig()
			cfg.Hold, cfg.BatchAge = 0, time.Hour
			limit(&cfg)
			a := New(cfg, conn, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
			var running sync.WaitGroup
			defer running.Wait()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			running.Go(func() { _ = a.Run(ctx) })
			// The first goes at once, the others wait for each other.
			for _, together := range []int{1, 10} {
				var pushes sync.WaitGroup
				for n := range together {
					pushes.Go(func() {
						line := push.Entry{Timestamp: time.Now().Add(time.Duration(n)), Line: strings.Repeat("x", 500)}
						if err := a.Push(t.Context(), "default", &push.PushRequest{Streams: []push.Stream{{Labels: `{app="a", pod="p"}`, Entries: []push.Entry{line}}}}); err != nil {
							t.Error(err)
						}
					})
				}
				pushes.Wait()
			}
		})
	}
}
