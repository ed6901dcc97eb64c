package ship

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/internal/faas"
)

// discard acknowledges all.
type discard struct{}

func (discard) PushEncoded(context.Context, string, []byte) error { return nil }

func benchShipper(b *testing.B, to Sink) *Shipper {
	b.Helper()
	dead := NewDeadLetters(b.TempDir()+"/dead", 1<<20)
	b.Cleanup(func() { dead.Close() })
	s, err := New(Options{}, []Target{{"one", to}}, dead, quiet, nil)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkAdd is one line's way to a sink that takes all at once: encoded,
// handed over, batched, acknowledged.
func BenchmarkAdd(b *testing.B) {
	s := benchShipper(b, discard{})
	defer running(s)()
	w, body := s.Writer(NewFile(1, 0)), []byte(strings.Repeat("x", 200))
	b.SetBytes(200)
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		l := Line{Time: now, Body: body, Offset: 200 * i, Safe: 200 * (i + 1)}
		if err := w.Add(b.Context(), stdout, &l); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkFlush is a read pass over a file with one new line.
func BenchmarkFlush(b *testing.B) {
	s := benchShipper(b, discard{})
	defer running(s)()
	w, body := s.Writer(NewFile(1, 0)), []byte(strings.Repeat("x", 200))
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		l := Line{Time: now, Body: body, Offset: 200 * i, Safe: 200 * (i + 1)}
		if err := w.Add(b.Context(), stdout, &l); err != nil {
			b.Fatal(err)
		}
		if err := w.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkSeal makes 1 MiB into a compressed push request: batched from
// chunks of events and lines, sealed, compressed.
func BenchmarkSeal(b *testing.B) {
	s := benchShipper(b, discard{})
	f := NewFile(1, 0)
	w := s.Writer(f)
	w.limit = chunkBytes
	for i := 0; w.held < chunkBytes-1000; i++ {
		l := Line{Time: now.Add(0), Body: []byte(benchLine(i)), Offset: int64(200 * i)}
		if err := w.Add(b.Context(), stdout, &l); err != nil {
			b.Fatal(err)
		}
	}
	var out []byte
	b.SetBytes(16 * w.parts[0].size())
	b.ReportAllocs()
	for b.Loop() {
		batch := &batch{kinds: map[faas.Stream]sum{}, rest: s.buffers.get(1 << 20)}
		for range 16 {
			s.add(batch, f, &w.parts[0])
		}
		s.seal(batch)
		out = s2.EncodeSnappy(out[:cap(out)], batch.raw)
		s.buffers.put(batch.raw)
	}
	b.ReportMetric(float64(16*w.parts[0].size())/float64(len(out)), "ratio")
}

func benchLine(i int) string {
	return fmt.Sprintf(`level=info msg="handled a request" method=GET path=/api/v1/items/%d status=200 bytes=18237 duration=12.381ms user=7f3a91 trace=4bf92f3577b34da6a3ce929d0e0e4736 more="some more text" n=%d r=01234567`, i, i)
}
