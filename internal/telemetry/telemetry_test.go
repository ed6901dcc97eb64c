package telemetry_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/coldscope/coldscope/internal/telemetry"
)

// TestSpansAreExported lets a span travel over OTLP to a real HTTP server.
func TestSpansAreExported(t *testing.T) {
	names := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var req coltracepb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			t.Error(err)
		}
		for _, rs := range req.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					names <- s.GetName()
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	tel, err := telemetry.New(t.Context(), "test", "1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracing.Tracer("test").Start(t.Context(), "a push")
	span.End()
	if err := tel.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-names; got != "a push" {
		t.Errorf("got span %q", got)
	}
}

// TestNoSpansWithoutACollector: nothing is recorded, nor is there anything to send.
func TestNoSpansWithoutACollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	tel, err := telemetry.New(t.Context(), "test", "1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracing.Tracer("test").Start(t.Context(), "a push")
	if span.IsRecording() || span.SpanContext().IsValid() {
		t.Errorf("%v is recorded", span)
	}
	if err := tel.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHandler(t *testing.T) {
	var log bytes.Buffer
	tel, err := telemetry.New(t.Context(), "test", "1.2.3", &log, true)
	if err != nil {
		t.Fatal(err)
	}
	tel.Logger.Debug("hello", "request_id", "r")
	if !strings.Contains(log.String(), "request_id=r") {
		t.Errorf("log: %s", &log)
	}
	for path, want := range map[string]string{
		"/metrics": `coldscope_build_info{service="test",version="1.2.3"} 1`, "/-/healthy": "healthy",
	} {
		w := httptest.NewRecorder()
		tel.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %.200s", path, w.Code, w.Body)
		}
	}
}
