package pipeline

import (
	"fmt"
	"testing"

	"github.com/coldscope/coldscope/query/logql/labels"
)

const (
	jsonLine   = `{"time":"2026-01-02T03:04:05.678Z","level":"info","logger":"http","request":{"method":"GET","path":"/api/v1/orders","id":"5f2b6f0e-1b1e-4c5e-9c6a-2f1f5a1d3c4%d","headers":{"User-Agent":"curl/8.5.0","Accept":"*/*"}},"response":{"status":200,"size":5124},"duration":"12.5ms","tags":["a","b"],"message":"request handled"}`
	logfmtLine = `time=2026-01-02T03:04:05.678Z level=INFO source=server.go:42 msg="request handled" method=GET path=/api/v1/orders status=200 request_id=5f2b6f0e-1b1e-4c5e-9c6a-2f1f5a1d3c4%d duration=12.5ms`
	accessLine = `203.0.113.%d - - [10/Jun/2026:09:14:29 +0000] "GET /api/v1/orders?id=1 HTTP/1.1" 200 5124 "-" "curl/8.5.0" 0.012`
	ids        = 10 // so many different lines of each kind
)

func benchLines(b *testing.B, format string, t *labels.Table) []Line {
	b.Helper()
	stream := set(b, t, "function=orders region=eu-1 runtime=go1 stream=stdout tenant=t1")
	lines := make([]Line, ids)
	for i := range lines {
		lines[i] = Line{Time: int64(i), Body: fmt.Sprintf(format, i), Stream: stream, Metadata: set(b, t, fmt.Sprintf("request_id=r%d instance=i1", i))}
	}
	return lines
}

var benchStages = []struct{ name, line, stages string }{
	{"contains", jsonLine, `|= "handled"`},
	{"contains none", jsonLine, `|= "timeout" or "refused"`},
	{"regexp of texts", jsonLine, `|~ "timeout|handled"`},
	{"regexp", jsonLine, `|~ "orders.*status\":[45]"`},
	{"json", jsonLine, `| json`},
	{"json filter", jsonLine, `| json | response_status >= 500`},
	{"json paths", jsonLine, `| json status="response.status", ua="request.headers[\"User-Agent\"]"`},
	{"logfmt", logfmtLine, `| logfmt`},
	{"logfmt filter", logfmtLine, `| logfmt | duration > 1s`},
	{"logfmt fields", logfmtLine, `| logfmt status, d="duration"`},
	{"pattern", accessLine, "| pattern `<ip> - - <_> \"<method> <uri> <_>\" <status> <size> <_>`"},
	{"regexp groups", accessLine, "| regexp `^(?P<ip>\\S+) .*\"(?P<method>\\S+) (?P<uri>\\S+)[^\"]*\" (?P<status>\\d+)`"},
	{"ip", accessLine, `|= ip("203.0.113.0/28")`},
	{"line_format", logfmtLine, `| logfmt | line_format "{{.method}} {{.path}} {{.status}}"`},
	{"line_format functions", logfmtLine, `| logfmt | line_format "{{.method | lower}} {{.path | trunc 20}}"`},
	{"label_format", logfmtLine, `| logfmt | label_format code=status, what="{{.method}} {{.path}}"`},
}

// BenchmarkStages is a line through stages to its entry.
func BenchmarkStages(b *testing.B) {
	for _, c := range benchStages {
		b.Run(c.name, func(b *testing.B) {
			t := labels.NewTable()
			p, err := New(stagesOf(b, `{app="web"} `+c.stages), t)
			if err != nil {
				b.Fatal(err)
			}
			lines := benchLines(b, c.line, t)
			b.SetBytes(int64(len(lines[0].Body)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Process(lines[i%ids])
			}
		})
	}
}

// BenchmarkSample is a line through stages to its number and series.
func BenchmarkSample(b *testing.B) {
	for _, c := range []struct{ name, line, query string }{
		{"count", jsonLine, `count_over_time({app="web"} [1m])`},
		{"count by stream label", jsonLine, `max_over_time({app="web"} | unwrap none [1m]) by (function)`},
		{"json all", jsonLine, `count_over_time({app="web"} | json [1m])`},
		{"json by two", jsonLine, `avg_over_time({app="web"} | json | unwrap response_size [1m]) by (function, response_status)`},
		{"logfmt by two", logfmtLine, `avg_over_time({app="web"} | logfmt | unwrap duration(duration) [1m]) by (function, status)`},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := rangeOf(b, c.query)
			t := labels.NewTable()
			value := Lines
			if e.Range.Unwrap != nil {
				value = Unwrapped
			}
			s, err := NewSampler(SampleOptions{Stages: e.Range.Log.Pipeline, Value: value, Unwrap: e.Range.Unwrap, Grouping: e.Grouping}, t)
			if err != nil {
				b.Fatal(err)
			}
			lines := benchLines(b, c.line, t)
			b.SetBytes(int64(len(lines[0].Body)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, _, err := s.Sample(lines[i%ids]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
