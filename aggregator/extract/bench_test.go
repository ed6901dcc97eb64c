package extract

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/test/corpus"
)

// corpusLines are lines of the corpus, by their kind.
func corpusLines(n int) map[string][]string {
	g := corpus.NewGen(corpus.Params{Seed: 1, Functions: 10, Instances: 100, Start: time.Unix(1780000000, 0), Step: time.Millisecond, Active: 50})
	kinds := map[string][]string{}
	var l corpus.Line
	for range n {
		g.Next(&l)
		text := string(l.Text)
		kind := "text"
		switch {
		case text[0] == '{':
			kind = "json"
		case text[0] == '1':
			kind = "access"
		case text[5] == ' ':
			kind = "glog"
		}
		kinds[kind] = append(kinds[kind], text)
		kinds["all"] = append(kinds["all"], text)
	}
	return kinds
}

func BenchmarkCorpus(b *testing.B) {
	kinds := corpusLines(2000) // as in a push: they were just decoded, and are in the cache
	for _, kind := range []string{"all", "json", "access", "glog", "text"} {
		b.Run(kind, func(b *testing.B) { benchmark(b, kinds[kind]) })
	}
}

func BenchmarkLine(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"logfmt", `time=2026-01-02T03:04:05.678Z level=INFO source=server.go:42 msg="request handled" method=GET path=/api/v1/orders status=200 request_id=5f2b6f0e-1b1e-4c5e-9c6a-2f1f5a1d3c4b duration=12.5ms`},
		{"nested", `{"@timestamp":"2026-01-02T03:04:05.678Z","log":{"level":"info","logger":"http"},"http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"path":"/a"},"trace":{"id":"0af7651916cd43dd8448eb211c80319c"},"message":"ok"}`},
		{"escaped", `{"level":"error","msg":"a \"quoted\" word","path":"C:\\temp\\x","stack":"a\n\tb\n\tc"}`},
		{"colours", "\x1b[32mINFO\x1b[0m[0001] listening on \x1b[1m:9000\x1b[0m \x1b[36mcomponent\x1b[0m=server"},
		{"plain", "Loaded 128 weights of 640 from /models/resnet50, 3.2 seconds, next batch is of size thirty-two and so on until the end of the line"},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, []string{c.line}) })
	}
}

func benchmark(b *testing.B, lines []string) {
	x, err := New(DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	bytes := 0
	for _, l := range lines {
		bytes += len(l)
	}
	ids := make([]string, 0, maxIDs)
	b.SetBytes(int64(bytes / len(lines)))
	b.ReportAllocs()
	before := cpuTime(b)
	for n := 0; b.Loop(); n++ {
		l := faas.Line{Body: lines[n%len(lines)]}
		ids = x.Line(&l, ids[:0])
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime is the process's: on a busy machine the clock tells little.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
