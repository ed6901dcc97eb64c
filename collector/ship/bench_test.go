package ship

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
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

// peerEnv makes TestPeer a server that takes all pushes, in a process of its
// own: what it costs is not the shipper's.
const peerEnv = "COLDSCOPE_TEST_PEER"

func TestPeer(t *testing.T) {
	if os.Getenv(peerEnv) == "" {
		t.Skip("this is the other side of BenchmarkHTTP and BenchmarkPushes")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stdout, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the benchmark
		l.Close()
	}()
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // of our own benchmark only
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
}

// peer starts a process that takes all pushes and gives its client.
func peer(b *testing.B) *wire.Client {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPeer$")
	cmd.Env = append(os.Environ(), peerEnv+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	addr, err := out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	client, err := wire.NewClient("http://" + strings.TrimSpace(addr))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		client.Close()
		stdin.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return client
}

func processTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHTTP is a line's way from Add to its acknowledgement over HTTP, as
// fast as it goes; cpu is this process's.
func BenchmarkHTTP(b *testing.B) {
	s := benchShipper(b, peer(b))
	defer running(s)()
	f := NewFile(1, 0)
	w := s.Writer(f)
	var bodies [1000][]byte
	size := 0
	for i := range bodies {
		bodies[i] = []byte(benchLine(i))
		size += len(bodies[i])
	}
	before := processTime(b)
	b.ReportAllocs()
	b.SetBytes(int64(size / len(bodies)))
	i := int64(0)
	for b.Loop() {
		l := Line{Time: now.Add(time.Duration(i) * 123_457), Body: bodies[i%1000], Offset: 250 * i, Safe: 250 * (i + 1)}
		if err := w.Add(b.Context(), stdout, &l); err != nil {
			b.Fatal(err)
		}
		i++
	}
	if err := w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := s.Drain(b.Context()); err != nil || f.Committed() != 250*i {
		b.Fatalf("committed %d of %d: %v", f.Committed(), 250*i, err)
	}
	cpu := processTime(b) - before
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/line")
	b.ReportMetric(float64(cpu)/float64(b.N)/(float64(size)/1000), "cpu-s/GB")
}

// BenchmarkPushes is what a push of a few lines costs, which a quiet lane makes.
func BenchmarkPushes(b *testing.B) {
	client := peer(b)
	raw := wire.AppendStream(nil, stdout.head, wire.AppendEntry(nil, now, []byte(benchLine(1)), wire.FileMetadata(1), 7, 0))
	before := processTime(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := client.PushEncoded(b.Context(), "default", raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processTime(b)-before)/float64(b.N)/1000, "cpu-µs/push")
}

// BenchmarkTrickle is 100 files of which each has a line every 10 ms, for five
// seconds, whatever b.N is: what that costs beside reading them.
func BenchmarkTrickle(b *testing.B) {
	const files, seconds = 100, 5
	s := benchShipper(b, peer(b))
	defer running(s)()
	var writers [files]*Writer
	var streams [files]*Stream
	for i := range writers {
		writers[i] = s.Writer(NewFile(uint64(i), 0))
		streams[i] = NewStream(faas.Ref{Function: "f", Instance: fmt.Sprint("i", i)}, faas.Stdout, "h")
	}
	body := []byte(benchLine(1))
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	before, from := processTime(b), time.Now()
	lines := 0
	for time.Since(from) < seconds*time.Second {
		at := <-ticker.C
		for i, w := range writers {
			l := Line{Time: at, Body: body, Offset: int64(250 * lines), Safe: int64(250*lines + 250)}
			if err := w.Add(b.Context(), streams[i], &l); err != nil {
				b.Fatal(err)
			}
			if err := w.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			lines++
		}
	}
	b.ReportMetric((processTime(b)-before).Seconds()/time.Since(from).Seconds(), "cores")
	b.ReportMetric(float64(lines)/time.Since(from).Seconds(), "lines/s")
	if err := s.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
}
