package aggregator

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/wire"
)

// working is an aggregator that runs and serves until stop.
func working(t *testing.T, conn driver.Conn, tracing trace.TracerProvider) (a *Aggregator, client *wire.Client, stop func()) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Hold = 10 * time.Millisecond
	a = New(cfg, conn, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), tracing)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	server := httptest.NewServer(a.Handler())
	client, err := wire.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return a, client, func() {
		client.Close()
		server.Close() // waits for what is being answered
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func pushOf(instance string, bodies ...string) *push.PushRequest {
	ref := faas.Ref{Namespace: "shop", Function: "f", Version: "1", Instance: instance}
	s := push.Stream{Labels: wire.StreamLabels(ref, faas.Stdout, "host-1")}
	for n, body := range bodies {
		s.Entries = append(s.Entries, push.Entry{Timestamp: time.Now(), Line: body, StructuredMetadata: wire.Position(7, uint64(n))})
	}
	return &push.PushRequest{Streams: []push.Stream{s}}
}

func observed(t *testing.T, h prometheus.Histogram) *dto.Histogram {
	t.Helper()
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram()
}

// TestWhatAPushLeaves: the spans of a push, and what the metrics say of it and of
// those behind it.
func TestWhatAPushLeaves(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := schema.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewSpanRecorder()
	a, client, stop := working(t, conn, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	if err := client.Push(t.Context(), "", pushOf("i-1", "one", "two", "three")); err != nil {
		t.Fatal(err)
	}
	stop()
	if h := observed(t, a.metrics.held); h.GetSampleCount() != 3 || h.GetSampleSum() < .03 {
		t.Errorf("held: %v", h)
	}
	if h := observed(t, a.metrics.batchRows); h.GetSampleCount() != 1 || h.GetSampleSum() != 3 {
		t.Errorf("batch rows: %v", h)
	}
	if h := observed(t, a.metrics.batchBytes); h.GetSampleCount() != 1 || h.GetSampleSum() < 11 {
		t.Errorf("batch bytes: %v", h)
	}
	for what, c := range map[string]prometheus.Counter{
		"new": a.metrics.recalled.WithLabelValues("false"), "none": a.metrics.lines[len(a.metrics.lines)-1],
	} {
		if want := map[string]float64{"new": 1, "none": 3}[what]; testutil.ToFloat64(c) != want {
			t.Errorf("%s: %v, want %v", what, testutil.ToFloat64(c), want)
		}
	}
	checkSpans(t, spans.Ended())

	// Another one knows nothing of the instance, but the store does.
	a, client, stop = working(t, conn, noop.NewTracerProvider())
	defer stop()
	if err := client.Push(t.Context(), "", pushOf("i-1", "four")); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(a.metrics.recalled.WithLabelValues("true")); n != 1 || observed(t, a.metrics.recallSeconds).GetSampleCount() != 1 {
		t.Errorf("%v instances recalled", n)
	}
	if err := conn.Exec(t.Context(), "DROP TABLE logs"); err != nil {
		t.Fatal(err)
	}
	if err := client.Push(t.Context(), "", pushOf("i-1", "five")); err == nil {
		t.Error("a push was acknowledged that could not be stored")
	}
	if n := testutil.ToFloat64(a.metrics.insertFailures); n != 1 {
		t.Errorf("%v failures", n)
	}
}

// checkSpans: each step is a part of the push, and says what it was about.
func checkSpans(t *testing.T, spans []sdktrace.ReadOnlySpan) {
	t.Helper()
	byID, got := map[trace.SpanID]string{}, map[string]map[string]string{}
	for _, s := range spans {
		byID[s.SpanContext().SpanID()] = s.Name()
	}
	for _, s := range spans {
		says := map[string]string{"in": byID[s.Parent().SpanID()]}
		for _, a := range s.Attributes() {
			says[string(a.Key)] = a.Value.String()
		}
		got[s.Name()] = says
	}
	delete(got["aggregator.submit"], "bytes")
	want := map[string]map[string]string{
		"aggregator.push":   {"in": "", "endpoint": "push", "tenant": "default", "http.response.status_code": "204"},
		"aggregator.submit": {"in": "aggregator.push", "lines": "3", "events": "0"},
		"aggregator.recall": {"in": "aggregator.submit", "instances": "1"},
		"aggregator.merge":  {"in": "aggregator.submit", "lines": "3", "held": "3"},
		"aggregator.insert": {"in": "aggregator.submit", "rows": "3", "pushes": "1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRoomWaits: only who waits for room is counted, also who waits in vain.
func TestRoomWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(DefaultConfig(), nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
		body := make([]byte, a.cfg.Pending/3)
		stay, err := a.enter(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.enter(t.Context(), body); !errors.Is(err, wire.ErrBusy) {
			t.Errorf("got %v", err)
		}
		time.AfterFunc(time.Second, stay.leave)
		stay, err = a.enter(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		stay.leave()
		if h := observed(t, a.metrics.roomWaits); h.GetSampleCount() != 2 || h.GetSampleSum() != (a.cfg.Patience+time.Second).Seconds() {
			t.Errorf("waits: %v", h)
		}
	})
}
