// Package cluster runs the built program over a ClickHouse cluster of two
// shards, as its users do: several processes of it behind no balancer at all.
package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// start runs a command until the test ends, and gives the URL of its ready line.
func start(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // its end is told by what it prints
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			return url
		}
	}
	t.Fatalf("%s was not ready", args[0])
	return ""
}

func client(t *testing.T, url string) *wire.Client {
	t.Helper()
	c, err := wire.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestProcesses: of one function's facts the events go to one aggregator and
// the lines to another one, and its page has all of it.
func TestProcesses(t *testing.T) {
	program := filepath.Join(t.TempDir(), "coldscope")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/coldscope/coldscope/cmd/coldscope")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	store := []string{"--clickhouse", clickhousetest.Cluster(t).DSN, "--cluster", clickhousetest.TwoShards, "--data-dir", t.TempDir()}
	out, err := exec.CommandContext(t.Context(), program, append([]string{"migrate"}, store...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the store is at schema version") {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	service := func(name string) string {
		return start(t, program, append([]string{name, "--listen", "127.0.0.1:0"}, store...)...)
	}
	events, lines, query := client(t, service("aggregator")), client(t, service("aggregator")), service("query")
	t0 := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	for n := range 6 {
		ref := faas.Ref{Tenant: "default", Namespace: "demo", Function: fmt.Sprint("f", n), Version: "1", Instance: fmt.Sprint("i-", n)}
		send := func(offset uint64, ms int) {
			err := lines.Push(t.Context(), "default", &push.PushRequest{Streams: []push.Stream{{
				Labels:  wire.StreamLabels(ref, faas.Stdout, "host"),
				Entries: []push.Entry{{Timestamp: at(ms), Line: "text", StructuredMetadata: wire.Position(uint64(n), offset)}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		send(1, 5) // so that this aggregator knows the instance before it has any event
		id := fmt.Sprint("request-", n)
		err := events.SendEvents(t.Context(), []faas.Event{
			{ID: "1-" + id, Source: "host", Time: at(0), Ref: ref, Data: faas.Demanded{RequestID: id, Initialization: faas.OnDemand}},
			{ID: "2-" + id, Source: "host", Time: at(10), Ref: ref, Data: faas.Ready{}},
			{ID: "3-" + id, Source: "host", Time: at(20), Ref: ref, Data: faas.InvocationStarted{RequestID: id, QueuedAt: at(0)}},
			{ID: "4-" + id, Source: "host", Time: at(90), Ref: ref, Data: faas.InvocationEnded{RequestID: id, StartedAt: at(20), Status: faas.StatusOK}},
		})
		if err != nil {
			t.Fatal(err)
		}
		send(2, 30)
	}
	deadline, tick := time.Now().Add(time.Minute), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for n := range 6 {
		const want = "cold: true, lines: init request-%[1]d, window request-%[1]d"
		for {
			got := page(t.Context(), query, fmt.Sprint("request-", n))
			if got == fmt.Sprintf(want, n) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("got %q, want %q", got, fmt.Sprintf(want, n))
			}
			<-tick.C
		}
	}
}

// page sums up a request's page.
func page(ctx context.Context, url, id string) string {
	var p struct {
		Invocation struct {
			Cold bool `json:"cold"`
		} `json:"invocation"`
		Lines []struct {
			Stream      string `json:"stream"`
			Attribution string `json:"attribution"`
			RequestID   string `json:"request_id"`
		} `json:"lines"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/requests/"+id, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		return err.Error()
	}
	var lines []string
	for _, l := range p.Lines {
		if l.Stream != "platform" {
			lines = append(lines, strings.TrimSpace(l.Attribution+" "+l.RequestID))
		}
	}
	return fmt.Sprintf("cold: %t, lines: %s", p.Invocation.Cold, strings.Join(lines, ", "))
}
