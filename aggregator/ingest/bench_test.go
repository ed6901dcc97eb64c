package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/coldscope/coldscope/internal/wire"
)

// benchLines is how many lines each benchmark's request has.
const benchLines = 1000

var benchLine = strings.Repeat("a line of a usual length, ", 8)

// bench runs decode over requests, and tells what a line takes.
func bench(b *testing.B, decode func() Batch) {
	b.SetBytes(int64(benchLines * len(benchLine)))
	b.ReportAllocs()
	for b.Loop() {
		if got := decode(); len(got.Lines) != benchLines {
			b.Fatal(got.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchLines), "ns/line")
}

func BenchmarkDecode(b *testing.B) {
	for name, s := range map[string]struct {
		labels string
		meta   func(n int) []push.LabelAdapter
	}{
		"collector": {
			`{function="f", host="h", instance="i", namespace="n", stream="stdout", version="1"}`,
			func(n int) []push.LabelAdapter { return wire.Position(7, uint64(n)*200) },
		},
		"promtail": {
			`{app="f", container="c", filename="/var/log/pods/n_p_1/c/0.log", job="n/f", namespace="n", node_name="h", pod="p", stream="stdout"}`,
			func(int) []push.LabelAdapter { return nil },
		},
		"metadata": {
			`{service_name="f", k8s_namespace_name="n", k8s_pod_name="p"}`,
			func(int) []push.LabelAdapter {
				return []push.LabelAdapter{{Name: "trace_id", Value: "5b8efff798038103d269b633813fc60c"}, {Name: "severity_text", Value: "INFO"}, {Name: "sku", Value: "42"}}
			},
		},
	} {
		req := &push.PushRequest{Streams: []push.Stream{{Labels: s.labels}}}
		for n := range benchLines {
			req.Streams[0].Entries = append(req.Streams[0].Entries, push.Entry{
				Timestamp: when.Add(time.Duration(n)), Line: fmt.Sprint(n, benchLine), StructuredMetadata: s.meta(n),
			})
		}
		raw, err := req.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) { bench(b, func() Batch { return decoder.Decode("t", req) }) })
		b.Run(name+"/raw", func(b *testing.B) {
			bench(b, func() Batch {
				batch, err := decoder.DecodeRaw("t", raw)
				if err != nil {
					b.Fatal(err)
				}
				return batch
			})
		})
	}
}

func BenchmarkReadJSON(b *testing.B) {
	var body strings.Builder
	body.WriteString(`{"streams":[{"stream":{"app":"f"},"values":[`)
	for n := range benchLines {
		if n > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `["%d","%s"]`, when.UnixNano()+int64(n), benchLine)
	}
	body.WriteString(`]}]}`)
	raw := []byte(body.String())
	bench(b, func() Batch {
		req, err := ReadJSON(raw)
		if err != nil {
			b.Fatal(err)
		}
		return decoder.Decode("t", req)
	})
}

func BenchmarkLogs(b *testing.B) {
	str := func(k, v string) *common.KeyValue {
		return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
	}
	scope := new(logs.ScopeLogs)
	for n := range benchLines {
		scope.LogRecords = append(scope.LogRecords, &logs.LogRecord{
			TimeUnixNano: uint64(when.UnixNano() + int64(n)), SeverityNumber: 9, Body: str("", benchLine).Value,
			TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Attributes: []*common.KeyValue{str("log.iostream", "stderr"), str("sku", "42")},
		})
	}
	raw, err := proto.Marshal(&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: []*common.KeyValue{str("service.name", "f"), str("k8s.pod.name", "p"), str("cloud.region", "eu")}},
		ScopeLogs: []*logs.ScopeLogs{scope},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	bench(b, func() Batch {
		req, err := ReadLogs(raw, false)
		if err != nil {
			b.Fatal(err)
		}
		return decoder.Logs("t", req)
	})
}
