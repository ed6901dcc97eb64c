package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// BenchmarkQueries asks for an hour of four functions, 400,000 lines with
// requests, half of them JSON.
func BenchmarkQueries(b *testing.B) {
	conn := readtest.DB(b)
	const lines = 400_000
	if err := conn.Exec(b.Context(), fmt.Sprintf(`INSERT INTO logs (tenant, namespace, function, version, instance, ts, stream, request_id, attribution, packed, severity, file_id, offset, revision)
		SELECT 'default', 'n', ['f', 'g', 'h', 'i'][number %% 4 + 1], 'v1', 'i', fromUnixTimestamp64Nano(%d + toInt64(number) * 9000000, 'UTC'),
			'stdout', toString(intDiv(number, 10)), 'window', if(number %% 8 < 4, concat('{"level":"info","n":', toString(number %% 1000), ',"user":"u', toString(number %% 77), '","http":{"path":"/a","code":200},"text":"something that was said"}'),
			concat('resized image ', toString(number), ' to 640x480 in ', toString(number %% 100), ' ms, wrote it to s3://bucket/key')), 9, 1, number, 1 FROM numbers(%d)`, readtest.T0.UnixNano(), lines)); err != nil {
		b.Fatal(err)
	}
	if err := conn.Exec(b.Context(), "OPTIMIZE TABLE logs FINAL"); err != nil {
		b.Fatal(err)
	}
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	steps := eval.Steps{Start: readtest.T0.UnixNano(), End: readtest.T0.Add(time.Hour).UnixNano(), Step: 60e9}
	for _, query := range []string{
		`{function="f"} |= "4711"`,
		`{function="f"} | json | user="u5"`,
		`sum by (level) (count_over_time({function=~".+"}[1m]))`,
		`sum by (function) (bytes_over_time({function=~".+"}[1m]))`,
		`sum by (level) (count_over_time({function=~".+"}[10m]))`,
		`sum by (function) (count_over_time({function=~".+"} |= "resized" [1m]))`,
		`sum by (user) (count_over_time({function=~".+"} |= "{" | json [1m]))`,
		`quantile_over_time(0.99, {function=~".+"} |= "{" | json | unwrap n [1m]) by (function)`,
		`quantile_over_time(0.99, {function=~".+"} |= "resized" | pattern "<_> in <ms> ms,<_>" | unwrap ms [1m]) by (function)`,
		`avg by (function) (count_over_time({function=~".+"}[1m]))`,
	} {
		b.Run(query, func(b *testing.B) {
			expr, err := logql.Parse(query)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				q := e.Query(readtest.Tenant, expr)
				n := 0
				if isLog(expr) {
					err = q.Logs(b.Context(), eval.LogQuery{Span: eval.Span{Start: steps.Start, End: steps.End}, Backward: true, Limit: 100}, func(eval.LogEntry) error { n++; return nil })
				} else {
					var m eval.Matrix
					m, err = q.Range(b.Context(), steps)
					n = len(m)
				}
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
				b.ReportMetric(float64(q.Stats().Lines), "lines")
				b.ReportMetric(float64(q.Stats().Rows), "rows")
			}
		})
	}
}
