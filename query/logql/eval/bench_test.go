package eval

import (
	"fmt"
	"testing"
	"time"

	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

// benchLines are lines of 20 streams over an hour, each line with the metadata
// of its request.
func benchLines(n int) *Memory {
	t := labels.NewTable()
	var streams []*labels.Set
	for i := range 20 {
		streams = append(streams, t.Of(labels.Label{Name: "function", Value: fmt.Sprintf("f%d", i)}, labels.Label{Name: "region", Value: "eu-1"}, labels.Label{Name: "stream", Value: "stdout"}))
	}
	lines := make([]pipeline.Line, n)
	var request *labels.Set
	for i := range lines {
		if i%8 == 0 {
			request = t.Of(labels.Label{Name: "request_id", Value: fmt.Sprintf("5f2b6f0e-1b1e-4c5e-%012d", i)})
		}
		lines[i] = pipeline.Line{
			Time: int64(i) * int64(time.Hour) / int64(n), Stream: streams[i/8%len(streams)], Metadata: request,
			Body: fmt.Sprintf(`{"level":"info","method":"GET","path":"/api/v1/orders/%d","status":%d,"duration_ms":%d.5,"message":"request handled"}`, i, 200+i%4, i%1000),
		}
	}
	return NewMemory(lines)
}

// BenchmarkRange is a query over an hour's lines by the minute; lines/op says how
// many.
func BenchmarkRange(b *testing.B) {
	const n = 100_000
	v := New(benchLines(n), Limits{MaxSeries: 100_000})
	steps := Steps{Start: 0, End: int64(time.Hour), Step: int64(time.Minute)}
	for _, c := range []struct{ name, query string }{
		{"count by function", `sum by (function) (count_over_time({region="eu-1"}[1m]))`},
		{"count by function, wide window", `sum by (function) (count_over_time({region="eu-1"}[30m]))`},
		{"count per request", `count by (function) (count_over_time({region="eu-1"}[1m]))`},
		{"filtered rate", `sum(rate({region="eu-1"} |= "orders/99" [1m]))`},
		{"json status", `sum by (status) (count_over_time({region="eu-1"} | json [1m]))`},
		{"json quantile", `quantile_over_time(0.99, {region="eu-1"} | json | unwrap duration_ms [5m]) by (function)`},
		{"json average", `avg_over_time({region="eu-1"} | json | unwrap duration_ms [5m]) by (function)`},
		{"share of errors", `sum by (function) (rate({region="eu-1"} | json | status >= 203 [1m])) / sum by (function) (rate({region="eu-1"}[1m]))`},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := parse(b, c.query)
			b.ReportAllocs()
			for b.Loop() {
				if m, err := v.Range(b.Context(), e, steps); err != nil || len(m) == 0 {
					b.Fatal(len(m), err)
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
