package collector

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/collector/ship"
)

// encoder is a sink that does the client's work and throws it away.
type encoder struct{ out []byte }

func (e *encoder) PushEncoded(_ context.Context, _ string, raw []byte) error {
	e.out = s2.EncodeSnappy(e.out[:cap(e.out)], raw)
	return nil
}

// BenchmarkCollector takes a log file through all hops: found, framed, decoded,
// batched, encoded as a Loki push, acknowledged.
func BenchmarkCollector(b *testing.B) {
	for _, format := range []string{"cri", "docker"} {
		b.Run(format, func(b *testing.B) { benchmarkCollector(b, format == "docker", &encoder{}) })
	}
}

func benchmarkCollector(b *testing.B, docker bool, sink ship.Sink) {
	cfg := testConfig(b)
	cfg.InFlight = 1 // of one encoder
	cfg.ScanInterval, cfg.BatchAge = time.Millisecond, 20*time.Millisecond
	const lines = 200_000
	var l *logFile
	if docker {
		l = newDocker(b, cfg.Docker[0], "world", strings.Repeat("b", 64))
	} else {
		l = newCRI(b, cfg.CRI[0], "hello", "uid")
	}
	var text strings.Builder
	at := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	for i := range lines {
		stamp := at.Add(time.Duration(i) * 123_456).Format(time.RFC3339Nano)
		body := fmt.Sprintf(`level=info msg="handled a request" method=GET path=/api/v1/items/%d status=200 bytes=18237 duration=12.381ms user=7f3a91 trace=4bf92f3577b34da6a3ce929d0e0e4736 more="some more text" n=%d r=01234567`, i, i)
		if docker {
			text.Write(dockerRecord(body+"\n", "stdout", stamp))
		} else {
			text.WriteString(stamp + " stdout F " + body + "\n")
		}
	}
	if err := os.WriteFile(l.path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	size := int64(text.Len())
	b.ReportAllocs()
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		cfg.DataDir = b.TempDir()
		c, err := New(cfg, Deps{Sink: sink})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		before := processTime(b)
		b.StartTimer()
		go func() { done <- c.Run(ctx) }()
		if err := c.Settled(ctx); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		cpu += processTime(b) - before
		if got := c.Status().Files[0].Acknowledged; got != size {
			b.Fatalf("%d of %d bytes", got, size)
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.SetBytes(size)
	perLine := float64(b.N) * lines
	b.ReportMetric(float64(cpu.Nanoseconds())/perLine, "cpu-ns/line")
	b.ReportMetric(cpu.Seconds()/(float64(b.N)*float64(size)/1e9), "cpu-s/GB")
}

func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
