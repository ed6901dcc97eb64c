package collector

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
)

// peerEnv makes TestPeer the other side of a benchmark, in a process of its
// own: what it costs is not the collector's.
const peerEnv = "COLDSCOPE_TEST_PEER"

// peerConfig says what the other side writes; it takes all pushes anyway.
type peerConfig struct {
	Root      string // CRI logs, empty for none
	Files     int
	PerSecond int // lines, each file
	Seconds   int
}

// peerReport is what it found.
type peerReport struct {
	Addr     string
	Written  int
	Lines    int
	Pushes   int
	P50, P99 time.Duration // from a line's own time to its arrival
}

func TestPeer(t *testing.T) {
	raw := os.Getenv(peerEnv)
	if raw == "" {
		t.Skip("this is the other side of BenchmarkPush and BenchmarkTrickle")
	}
	var cfg peerConfig
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(peerReport{Addr: l.Addr().String()})
	var mu sync.Mutex
	var lags []time.Duration
	report := peerReport{}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		now := time.Now()
		w.WriteHeader(http.StatusNoContent)
		mu.Lock()
		defer mu.Unlock()
		report.Pushes++
		if cfg.Root == "" {
			return
		}
		req, err := wire.DecodePush(body, wire.MediaPush)
		if err != nil {
			t.Error(err)
			return
		}
		for _, s := range req.Streams {
			for _, e := range s.Entries {
				lags = append(lags, now.Sub(e.Timestamp))
			}
		}
	})}
	go func() { _ = server.Serve(l) }()
	in := bufio.NewReader(os.Stdin)
	if cfg.Root != "" {
		_, _ = in.ReadString('\n') // go
		report.Written = writeTrickle(t, &cfg)
	}
	_, _ = in.ReadString('\n') // enough
	server.Close()
	mu.Lock()
	defer mu.Unlock()
	if slices.Sort(lags); len(lags) > 0 {
		report.Lines, report.P50, report.P99 = len(lags), lags[len(lags)/2], lags[len(lags)*99/100]
	}
	_ = out.Encode(report)
}

// writeTrickle writes evenly to all files, and gives how many lines it wrote.
func writeTrickle(t *testing.T, cfg *peerConfig) int {
	t.Helper()
	var logs []*os.File
	for i := range cfg.Files {
		dir := filepath.Join(cfg.Root, fmt.Sprintf("ns_fn-%d_uid-%d", i, i), "fn")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "0.log"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		logs = append(logs, f)
	}
	total, n := cfg.Files*cfg.PerSecond*cfg.Seconds, 0
	begin := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n < total {
		now := <-tick.C
		due := min(total, int(now.Sub(begin).Seconds()*float64(cfg.Files*cfg.PerSecond)))
		for ; n < due; n++ {
			fmt.Fprintf(logs[n%len(logs)], "%s stdout F level=info msg=\"handled a request\" method=GET path=/api/v1/items/%d status=200 bytes=18237 duration=12.381ms user=7f3a91 trace=4bf92f3577b34da6a3ce929d0e0e4736 more=\"some more text\" n=%d r=01234567\n",
				time.Now().Format(time.RFC3339Nano), n, n)
		}
	}
	return n
}

// otherSide is a process that takes pushes, and may write.
type otherSide struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	client *wire.Client
}

func newOtherSide(b *testing.B, cfg peerConfig) *otherSide {
	b.Helper()
	raw, _ := json.Marshal(cfg)
	o := &otherSide{cmd: exec.Command(os.Args[0], "-test.run=^TestPeer$")}
	o.cmd.Env = append(os.Environ(), peerEnv+"="+string(raw))
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	o.out = json.NewDecoder(out)
	var hello peerReport
	if err := o.out.Decode(&hello); err != nil {
		b.Fatal(err)
	}
	if o.client, err = wire.NewClient("http://" + hello.Addr); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		o.client.Close()
		o.in.Close()
		_ = o.cmd.Wait()
	})
	return o
}

func (o *otherSide) tell() { fmt.Fprintln(o.in) }

func (o *otherSide) report(b *testing.B) peerReport {
	b.Helper()
	o.tell()
	var r peerReport
	if err := o.out.Decode(&r); err != nil {
		b.Fatal(err)
	}
	return r
}

// BenchmarkPush is BenchmarkCollector with a real push over HTTP.
func BenchmarkPush(b *testing.B) {
	for _, format := range []string{"cri", "docker"} {
		b.Run(format, func(b *testing.B) {
			benchmarkCollector(b, format == "docker", newOtherSide(b, peerConfig{}).client)
		})
	}
}

// BenchmarkTrickle collects 100 lines a second of each of 100 files for ten
// seconds, and reports what that costs and how late lines arrive.
func BenchmarkTrickle(b *testing.B) {
	cfg := testConfig(b)
	cfg.BatchAge = 0
	const seconds = 10 // long enough for one run, whatever b.N is
	other := newOtherSide(b, peerConfig{Root: cfg.CRI[0], Files: 100, PerSecond: 100, Seconds: seconds})
	c, err := New(cfg, Deps{Sink: other.client})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	before := processTime(b)
	other.tell()
	timer := time.NewTimer(seconds * time.Second)
	<-timer.C
	cpu := processTime(b) - before
	if err := c.Settled(ctx); err != nil {
		b.Fatal(err)
	}
	r := other.report(b)
	if r.Lines != r.Written {
		b.Errorf("%d of %d lines", r.Lines, r.Written)
	}
	b.ReportMetric(cpu.Seconds()/seconds, "cores")
	b.ReportMetric(float64(r.P50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(r.P99.Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(r.Pushes)/seconds, "pushes/s")
	b.ReportMetric(peakMiB(b), "peak-MiB")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// peakMiB is the most memory that this process had.
func peakMiB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}
