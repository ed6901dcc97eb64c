package aggregator_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace/noop"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coldscope/coldscope/aggregator"
)

// TestOTLPBounds: what comes over gRPC is bounded as what comes over HTTP is.
// While nothing is stored, a call waits for room and is then told when to come
// again; what the SDK's exporter was told that for is stored once in the end.
func TestOTLPBounds(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Pending, cfg.Patience = 1<<20, 100*time.Millisecond
	must(t, cfg.Validate())
	reg := prometheus.NewRegistry()
	a := aggregator.New(cfg, conn, slog.New(slog.DiscardHandler), reg, noop.NewTracerProvider())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = a.ServeOTLP(ctx, listener) })

	s := &service{otlp: listener.Addr().String()}
	client := logsClient(t, s)
	first := make(chan error, 1)
	go func() { // it takes all of the room, and waits for a merger
		_, err := client.Export(ctx, logsRequest(strings.Repeat("x", 400<<10)))
		first <- err
	}()
	for testutil.ToFloat64(counter(t, reg, "coldscope_aggregator_pending_bytes")) == 0 {
		select {
		case err := <-first:
			t.Fatal("answered before anything is stored:", err)
		case <-time.After(time.Millisecond):
		}
	}
	_, err = client.Export(t.Context(), logsRequest("no room"))
	if status.Code(err) != grpccodes.ResourceExhausted || retryDelay(err) != time.Second {
		t.Errorf("%v, retry in %s", err, retryDelay(err))
	}

	exporter, err := otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(s.otlp), otlploggrpc.WithInsecure(),
		otlploggrpc.WithRetry(otlploggrpc.RetryConfig{Enabled: true, InitialInterval: 10 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: time.Minute}))
	must(t, err)
	refused := func() float64 {
		return testutil.ToFloat64(counter(t, reg, "coldscope_aggregator_push_requests_total", "endpoint", "grpc_logs", "code", "429"))
	}
	before := refused()
	exported := make(chan error, 1)
	recs := emittedBy(t, "one", "two")
	go func() { exported <- exporter.Export(t.Context(), recs) }()
	for refused() == before { // the exporter, too
		select {
		case err := <-exported:
			t.Fatal("answered while there is no room:", err)
		case <-time.After(time.Millisecond):
		}
	}
	running.Go(func() { _ = a.Run(ctx) })
	must(t, <-first)
	must(t, <-exported)
	must(t, exporter.Shutdown(t.Context()))
	got := query(t, conn, "SELECT concat(substring(body, 1, 3), ' ', toString(count())) AS n FROM logs FINAL GROUP BY substring(body, 1, 3) ORDER BY n")
	if want := "one 1\ntwo 1\nxxx 1\n"; got != want {
		t.Errorf("stored:\n%swant:\n%s", got, want)
	}
}

// TestOTLPCalls: calls above a number are refused unread.
func TestOTLPCalls(t *testing.T) {
	cfg := aggregator.DefaultConfig()
	reg := prometheus.NewRegistry()
	a := aggregator.New(cfg, nil, slog.New(slog.DiscardHandler), reg, noop.NewTracerProvider())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = a.ServeOTLP(ctx, listener) })
	s := &service{otlp: listener.Addr().String()}
	refused := make(chan error)
	calling, stop := context.WithCancel(t.Context())
	for range 64 { // nobody merges: they stay
		client := logsClient(t, s)
		for range 16 {
			go func() {
				_, err := client.Export(calling, logsRequest("x"))
				select {
				case refused <- err:
				case <-calling.Done():
				}
			}()
		}
	}
	for range 512 {
		if err := <-refused; status.Code(err) != grpccodes.ResourceExhausted || retryDelay(err) == 0 {
			t.Fatalf("%v, retry in %s", err, retryDelay(err))
		}
	}
	select {
	case err := <-refused:
		t.Error("one more was refused:", err)
	default:
	}
	stop()
}

// emittedBy are records of a function's SDK with these bodies.
func emittedBy(t *testing.T, bodies ...string) []sdklog.Record {
	t.Helper()
	var kept records
	logger := sdklog.NewLoggerProvider(sdklog.WithResource(function), sdklog.WithProcessor(&kept)).Logger("app")
	for n, body := range bodies {
		var rec otellog.Record
		rec.SetTimestamp(at(n))
		rec.SetBody(attribute.StringValue(body))
		logger.Emit(t.Context(), rec)
	}
	return kept.all
}
