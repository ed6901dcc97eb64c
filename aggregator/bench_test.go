package aggregator

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/test/corpus"
)

// pushes encodes the corpus as senders do: n lines in requests of size lines.
func pushes(b *testing.B, n, size int) [][]byte {
	b.Helper()
	p := corpus.Params{Seed: 1, Functions: 200, Instances: 2000, Active: 16, RareP: 2e-4, Start: time.Now().Add(-time.Hour).UTC(), Step: 3600 * time.Microsecond}
	g := corpus.NewGen(p)
	var all [][]byte
	offsets := map[int]uint64{}
	var l corpus.Line
	for done := 0; done < n; {
		streams := map[string]*push.Stream{}
		req := &push.PushRequest{}
		var order []string
		for range min(size, n-done) {
			g.Next(&l)
			done++
			stream := faas.Stdout
			if l.Stderr {
				stream = faas.Stderr
			}
			labels := wire.StreamLabels(faas.Ref{Namespace: "bench", Function: corpus.FuncName(p.Func(l.Instance)), Version: "1", Instance: corpus.InstName(l.Instance)}, stream, "host-1")
			s := streams[labels]
			if s == nil {
				s = &push.Stream{Labels: labels}
				streams[labels] = s
				order = append(order, labels)
			}
			s.Entries = append(s.Entries, push.Entry{
				Timestamp: time.Unix(0, l.TS), Line: string(l.Text),
				StructuredMetadata: wire.Position(uint64(l.Instance), offsets[l.Instance]),
			})
			offsets[l.Instance] += uint64(len(l.Text)) + 80
		}
		for _, labels := range order {
			req.Streams = append(req.Streams, *streams[labels])
		}
		body, err := wire.EncodePush(req)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, body)
	}
	return all
}

// BenchmarkPush takes lines from a push's body to the engine's answer.
func BenchmarkPush(b *testing.B) {
	conn, _ := clickhousetest.DB(b)
	if err := schema.Migrate(b.Context(), conn); err != nil {
		b.Fatal(err)
	}
	a := New(DefaultConfig(), conn, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
	go func() { _ = a.Run(b.Context()) }()
	bodies := pushes(b, max(b.N, 5000), 5000)
	b.ReportAllocs()
	before := spent(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for _, body := range bodies {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			raw, err := wire.InflatePush(body, wire.MediaPush)
			if err == nil {
				err = a.pushRaw(b.Context(), "default", raw)
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((spent(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// spent is this process's time on the processors, without the engine's.
func spent(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
