package aggregator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/coldscope/coldscope/aggregator"
)

var function = resource.NewSchemaless(
	attribute.String("faas.name", "cart"), attribute.String("faas.version", "7"), attribute.String("faas.instance", "i-1"),
	attribute.String("k8s.namespace.name", "shop"), attribute.String("k8s.node.name", "n1"), attribute.String("service.name", "cart-service"),
	attribute.String("cloud.region", "eu"),
)

// records keeps what the SDK would export.
type records struct{ all []sdklog.Record }

func (r *records) OnEmit(_ context.Context, rec *sdklog.Record) error {
	r.all = append(r.all, rec.Clone())
	return nil
}
func (*records) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (*records) Shutdown(context.Context) error                         { return nil }
func (*records) ForceFlush(context.Context) error                       { return nil }

// emitted are records as the SDK makes them: one like a function's, and one that
// is refused.
func emitted(t *testing.T) []sdklog.Record {
	t.Helper()
	var kept records
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(function), sdklog.WithProcessor(&kept))
	logger := provider.Logger("app", otellog.WithInstrumentationVersion("1.2"))
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: 7}, SpanID: trace.SpanID{7: 9}}))
	for _, stream := range []string{"stderr", "stdin"} {
		var rec otellog.Record
		rec.SetTimestamp(at(0))
		rec.SetSeverity(otellog.SeverityWarn2)
		rec.SetSeverityText("HIGH")
		rec.SetBody(attribute.StringValue("no stock"))
		rec.AddAttributes(
			attribute.String("faas.invocation_id", "req-1"), attribute.String("log.iostream", stream),
			attribute.Int("sku", 42), attribute.StringSlice("tags", []string{"a", "b"}), attribute.String("cloud.region", "us"))
		logger.Emit(ctx, rec)
	}
	return kept.all
}

// The SDK's exporters, over both transports, compressed and not.
func TestOTLPLogs(t *testing.T) {
	tenant := map[string]string{"x-scope-orgid": "acme"}
	for name, exporter := range map[string]func(*service) (sdklog.Exporter, error){
		"http": func(s *service) (sdklog.Exporter, error) {
			return otlploghttp.New(t.Context(), otlploghttp.WithEndpointURL(s.url+"/v1/logs"), otlploghttp.WithHeaders(tenant))
		},
		"http, gzip, Loki's path": func(s *service) (sdklog.Exporter, error) {
			return otlploghttp.New(t.Context(), otlploghttp.WithEndpointURL(s.url+"/otlp/v1/logs"), otlploghttp.WithHeaders(tenant),
				otlploghttp.WithCompression(otlploghttp.GzipCompression))
		},
		"grpc": func(s *service) (sdklog.Exporter, error) {
			return otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(s.otlp), otlploggrpc.WithInsecure(), otlploggrpc.WithHeaders(tenant))
		},
		"grpc, gzip": func(s *service) (sdklog.Exporter, error) {
			return otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(s.otlp), otlploggrpc.WithInsecure(), otlploggrpc.WithHeaders(tenant),
				otlploggrpc.WithCompressor("gzip"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := migrated(t)
			s := start(t, conn)
			to, err := exporter(s)
			must(t, err)
			recs := emitted(t)
			for range 2 { // sent again, it is the same line
				must(t, to.Export(t.Context(), recs[:1]))
			}
			err = to.Export(t.Context(), recs)
			if err == nil || !strings.Contains(err.Error(), "1 of 2 entries refused") || !strings.Contains(err.Error(), "stdin") {
				t.Errorf("partial success: %v", err)
			}
			must(t, to.Shutdown(t.Context()))
			want := "acme shop/cart:7 i-1 n1 stderr 14 00000000000000000000000000000007 0000000000000009 req-1 {'cloud.region':'us'," +
				"'otel.scope.name':'app','otel.scope.version':'1.2','service.name':'cart-service','severity_text':'HIGH'," +
				"'sku':'42','tags':'[\"a\",\"b\"]'} no stock\n"
			if diff := cmp.Diff(want, query(t, conn, storedFacts)); diff != "" {
				t.Error(diff)
			}
			for metric, want := range map[string]float64{"accepted": 3, "rejected": 1} {
				if got := testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_"+metric+"_entries_total", "protocol", "otlp_logs")); got != want {
					t.Errorf("%s: %v", metric, got)
				}
			}
		})
	}
}

// TestOTLPJSON: OTLP's JSON has IDs in hexadecimal and enumerations as numbers.
func TestOTLPJSON(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	body := fmt.Sprintf(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},
		"scopeLogs":[{"unknown":1,"logRecords":[
		{"timeUnixNano":"%d","severityNumber":17,"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174",
		 "body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"7"}},{"key":"b","value":{"doubleValue":0.5}}]}}},
		{"body":{"stringValue":"without a time"}}]}]}]}`, at(0).UnixNano())
	code, text, header := send(t, s.url+"/v1/logs", "application/json", "", []byte(body))
	var answer struct {
		PartialSuccess struct{ RejectedLogRecords, ErrorMessage string }
	}
	must(t, json.Unmarshal([]byte(text), &answer))
	if code != 200 || header.Get("Content-Type") != "application/json" || answer.PartialSuccess.RejectedLogRecords != "1" ||
		!strings.Contains(answer.PartialSuccess.ErrorMessage, "observed_time_unix_nano") {
		t.Errorf("%d %s", code, text)
	}
	want := "default /cart:   stdout 17 5b8efff798038103d269b633813fc60c eee19b7ec3c1b174  {} {\"a\":7,\"b\":0.5}\n"
	if diff := cmp.Diff(want, query(t, conn, storedFacts)); diff != "" {
		t.Error(diff)
	}
}

// Failures come as google.rpc.Status in the request's encoding.
func TestOTLPFailures(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Ingest.BodyBytes = 4096
	s := startWith(t, conn, cfg)
	large := strings.Repeat("x", 5000)
	for _, c := range []struct {
		media, body string
		code        int
		rpc         grpccodes.Code
	}{
		{"application/json", "{", 400, grpccodes.InvalidArgument},
		{"application/x-protobuf", "\xff", 400, grpccodes.InvalidArgument},
		{"text/plain", "", 415, grpccodes.InvalidArgument},
		{"application/json", large, 413, grpccodes.ResourceExhausted},
	} {
		for _, path := range []string{"/v1/logs", "/v1/traces"} {
			code, text, header := send(t, s.url+path, c.media, "", []byte(c.body))
			var st rpcstatus.Status
			var err error
			if c.media == "application/json" {
				err = json.Unmarshal([]byte(text), &st)
			} else {
				err = proto.Unmarshal([]byte(text), &st)
			}
			if err != nil || code != c.code || st.GetCode() != int32(c.rpc) || st.GetMessage() == "" {
				t.Errorf("%s %s: %d %q %v %v", path, c.media, code, text, header, err)
			}
		}
	}
	client := logsClient(t, s)
	_, err := client.Export(t.Context(), logsRequest(large))
	if status.Code(err) != grpccodes.ResourceExhausted || retryDelay(err) != 0 {
		t.Errorf("a large message: %v", err)
	}
	s.stop()
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	raw, err := proto.Marshal(logsRequest("x"))
	must(t, err)
	code, _, header := send(t, server.URL+"/v1/logs", "application/x-protobuf", "", raw)
	if code != 503 || header.Get("Retry-After") != "1" {
		t.Errorf("stopped: %d %v", code, header)
	}
}

func logsClient(t *testing.T, s *service) logspb.LogsServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(s.otlp, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return logspb.NewLogsServiceClient(conn)
}

func logsRequest(body string) *logspb.ExportLogsServiceRequest {
	value := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	r := &logs.ResourceLogs{ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{{TimeUnixNano: uint64(at(0).UnixNano()), Body: value(body)}}}}}
	r.Resource = &resourcepb.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: value("cart")}}}
	return &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{r}}
}

func retryDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// Over its rate a tenant gets what makes OTLP's clients come back, and when.
func TestOTLPRate(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Ingest.Limits.Rate, cfg.Ingest.Limits.Burst = 100, 1000
	s := startWith(t, conn, cfg)
	client := logsClient(t, s)
	body := strings.Repeat("x", 1500)
	_, err := client.Export(t.Context(), logsRequest(body)) // half of it on credit
	must(t, err)
	_, err = client.Export(t.Context(), logsRequest(body))
	if delay := retryDelay(err); status.Code(err) != grpccodes.ResourceExhausted || delay < 10*time.Second || delay > 20*time.Second {
		t.Errorf("%v, retry in %s", err, delay)
	}
	raw, err := proto.Marshal(logsRequest(body))
	must(t, err)
	code, text, header := send(t, s.url+"/v1/logs", "application/x-protobuf", "", raw)
	if after := header.Get("Retry-After"); code != 429 || len(after) != 2 || !strings.Contains(text, `tenant "default"`) {
		t.Errorf("%d %s %v", code, text, header)
	}
}

// spans are what a function's SDK records: a cold invocation, one that failed,
// and one that is none.
func spans(t *testing.T) []sdktrace.ReadOnlySpan {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithResource(function), sdktrace.WithSpanProcessor(recorder)).Tracer("app")
	add := func(kind trace.SpanKind, start, end int, failure string, attributes ...attribute.KeyValue) {
		_, span := tracer.Start(t.Context(), "handler", trace.WithSpanKind(kind), trace.WithTimestamp(at(start)), trace.WithAttributes(attributes...))
		if failure != "" {
			span.SetStatus(codes.Error, failure)
		}
		span.End(trace.WithTimestamp(at(end)))
	}
	add(trace.SpanKindServer, 0, 30, "", attribute.String("faas.invocation_id", "req-1"), attribute.Bool("faas.coldstart", true),
		attribute.String("faas.trigger", "http"), attribute.Int("http.response.status_code", 201), attribute.String("faas.time", at(-20).Format(time.RFC3339Nano)))
	add(trace.SpanKindConsumer, 40, 50, "no stock", attribute.String("faas.invocation_id", "req-2"), attribute.String("faas.trigger", "pubsub"))
	add(trace.SpanKindInternal, 41, 42, "", attribute.String("faas.invocation_id", "req-2"))
	add(trace.SpanKindServer, 60, 70, "")
	return recorder.Ended()
}

func TestOTLPSpans(t *testing.T) {
	for name, exporter := range map[string]func(*service) (*otlptrace.Exporter, error){
		"http": func(s *service) (*otlptrace.Exporter, error) {
			return otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(s.url+"/v1/traces"), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
		},
		"grpc": func(s *service) (*otlptrace.Exporter, error) {
			return otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(s.otlp), otlptracegrpc.WithInsecure())
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := migrated(t)
			s := start(t, conn)
			to, err := exporter(s)
			must(t, err)
			recorded := spans(t)
			for range 2 {
				must(t, to.ExportSpans(t.Context(), recorded))
			}
			must(t, to.Shutdown(t.Context()))
			want := "req-1 i-1 7 http ok 201 true 20 30\nreq-2 i-1 7 event error 0 false 0 10 no stock\n"
			got := query(t, conn, `SELECT trim(concat(request_id, ' ', instance, ' ', version, ' ', trigger, ' ', status, ' ', toString(ifNull(http_status, 0)), ' ',
				toString(ifNull(cold, false)), ' ', toString(if(isNull(queued_at), 0, dateDiff('millisecond', queued_at, started_at))), ' ',
				toString(intDiv(duration_ns, 1000000)), ' ', ifNull(error, ''))) FROM invocations FINAL ORDER BY started_at`)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for metric, want := range map[string]float64{"accepted": 4, "ignored": 4} {
				if got := testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_"+metric+"_entries_total", "protocol", "otlp_traces")); got != want {
					t.Errorf("%s: %v", metric, got)
				}
			}
		})
	}
}

// An invocation of nobody is refused, and named.
func TestSpanWithoutInstance(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	code, text, _ := send(t, s.url+"/v1/traces", "application/json", "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{
		"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","kind":2,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000001000000000",
		"attributes":[{"key":"faas.invocation_id","value":{"stringValue":"r"}},{"key":"faas.name","value":{"stringValue":"cart"}}]}]}]}]}`))
	if code != 200 || !strings.Contains(text, "eee19b7ec3c1b174") || !strings.Contains(text, "faas.instance") {
		t.Errorf("%d %s", code, text)
	}
}
