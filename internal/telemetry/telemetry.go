// Package telemetry is how Coldscope watches itself: a logger, a registry of
// metrics and a tracer, made once in main and passed down.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Telemetry is a process's own.
type Telemetry struct {
	Logger   *slog.Logger
	Registry *prometheus.Registry
	Tracing  trace.TracerProvider

	close func(context.Context) error
}

// New makes the telemetry of the given service. Logs go to w as text, at info
// level unless verbose. Spans are exported by OTLP over HTTP if the usual
// OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) says where to; otherwise
// none are recorded.
func New(ctx context.Context, service, version string, w io.Writer, verbose bool) (*Telemetry, error) {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	t := &Telemetry{
		Logger:   slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})),
		Registry: prometheus.NewRegistry(),
		Tracing:  noop.NewTracerProvider(),
		close:    func(context.Context) error { return nil },
	}
	t.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "coldscope_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "service": service},
	})
	build.Set(1)
	t.Registry.MustRegister(build)

	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("export spans: %w", err)
		}
		// The environment (OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES) tunes the rest.
		res, err := resource.New(ctx, resource.WithAttributes(
			attribute.String("service.name", service), attribute.String("service.version", version)), resource.WithFromEnv())
		if err != nil {
			return nil, fmt.Errorf("describe this process for spans: %w", err)
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
		t.Tracing, t.close = provider, provider.Shutdown
	}
	return t, nil
}

// Close sends the spans that are left.
func (t *Telemetry) Close(ctx context.Context) error { return t.close(ctx) }

// Handler serves GET /metrics, as text, as OpenMetrics with exemplars or as
// protobuf with native histograms, whichever the scraper prefers, and GET
// /-/healthy, which answers as long as the process does.
func (t *Telemetry) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{Registry: t.Registry, EnableOpenMetrics: true}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "healthy\n") })
	return mux
}
