package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/dashboards/grafana"
	"github.com/coldscope/coldscope/dashboards/prometheus"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/query/read"
)

// TestDemo runs the demo to its end on both runtimes.
func TestDemo(t *testing.T) {
	for _, runtime := range []string{"process", "docker"} {
		t.Run(runtime, func(t *testing.T) {
			needRuntime(t, runtime)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			r := report(t, ctx, "--requests", "200", "--runtime", runtime, "--data-dir", t.TempDir())
			check(t, r)
			if r.Runtime != runtime {
				t.Errorf("ran on %s", r.Runtime)
			}
		})
	}
}

func needRuntime(t *testing.T, runtime string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: the runtimes need root")
	}
	if runtime != "docker" {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "curl", "-sf", "--max-time", "3", "--unix-socket", "/var/run/docker.sock", "http://d/_ping").CombinedOutput(); err != nil {
		t.Skipf("skipped: no Docker daemon answers on /var/run/docker.sock (%v %s); apt-get install docker.io and start dockerd", err, out)
	}
}

// TestDemoStaysUp looks at a demo as its users do: the terminal, the API, the
// console in a browser, the dashboards' queries, the metrics.
func TestDemoStaysUp(t *testing.T) {
	needRuntime(t, "process")
	dir := t.TempDir()
	p := start(t, "coldscope", "demo", "--requests", "80", "--runtime", "process", "--data-dir", dir, "--listen", "127.0.0.1:0")
	began := time.Now().Add(-5 * time.Minute)

	var list read.InvocationList
	getJSON(t, p.url+"/api/v1/requests?cold=true&function=webapp", &list)
	if len(list.Requests) == 0 {
		t.Fatal("no cold request of the web application")
	}
	id := list.Requests[len(list.Requests)-1].RequestID

	t.Run("terminal", func(t *testing.T) {
		out := coldscope(t, "request", id, "--url", p.url)
		for _, want := range []string{id, "pull", "unpack", "init", "webapp"} {
			if !strings.Contains(out, want) {
				t.Errorf("coldscope request does not show %q:\n%s", want, out)
			}
		}
		var page read.Page
		if err := json.Unmarshal([]byte(coldscope(t, "request", id, "--url", p.url, "-o", "json")), &page); err != nil || page.Invocation.RequestID != id {
			t.Errorf("coldscope request -o json: %v, %+v", err, page.Invocation)
		}
		if out := coldscope(t, "coldstarts", "--url", p.url); !strings.Contains(out, "pull") || !strings.Contains(out, "P99") {
			t.Errorf("coldscope coldstarts:\n%s", out)
		}
		var stats read.ColdStartStats
		if err := json.Unmarshal([]byte(coldscope(t, "coldstarts", "webapp", "--url", p.url, "-o", "json")), &stats); err != nil || stats.Count == 0 {
			t.Errorf("coldscope coldstarts -o json: %v, %+v", err, stats)
		}
	})
	t.Run("console", func(t *testing.T) { browse(t, p.url, id) })
	t.Run("grafana", func(t *testing.T) { queryDashboards(t, store(t, dir), began) })
	t.Run("prometheus", func(t *testing.T) { metricsExist(t, p.url) })
	t.Run("stop", func(t *testing.T) {
		if kids := p.children(t); len(kids) == 0 {
			t.Error("no engine below the demo")
		}
		p.stop(t)
	})
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, url)), into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}

func coldscope(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "coldscope"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("coldscope %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// browse opens the list and the request's page in Debian's Chromium.
func browse(t *testing.T, url, id string) {
	for _, need := range []string{"node", "chromium"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("skipped: %s is missing; apt-get install chromium, and Node from where you have it", need)
		}
	}
	if !strings.Contains(get(t, url+"/"), "/assets/") {
		t.Skip("skipped: the console is not built in; run make build before")
	}
	cmd := exec.CommandContext(t.Context(), "npm", "run", "--silent", "e2e", "--", "--base-url", url, "--request", id, "--out", t.TempDir())
	cmd.Dir = "../../dashboards/console"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func store(t *testing.T, dataDir string) driver.Conn {
	t.Helper()
	dsn, err := os.ReadFile(filepath.Join(dataDir, "clickhouse", "dsn"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(t.Context(), strings.TrimSpace(string(dsn)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// queryDashboards runs every query of the Grafana dashboard over the demo's
// data. All but those that may be empty by their nature must find something.
func queryDashboards(t *testing.T, conn driver.Conn, from time.Time) {
	queries, err := grafana.Queries()
	if err != nil {
		t.Fatal(err)
	}
	everything := map[string][]string{"tenant": {"default"}, "namespace": {grafana.All}, "function": {grafana.All}}
	for _, q := range queries {
		sql, err := grafana.Expand(q.SQL, from, time.Now(), everything)
		if err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", q.Name, err, sql)
			continue
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil || n == 0 {
			t.Errorf("%s: %d rows, %v\n%s", q.Name, n, err, sql)
		}
		rows.Close()
	}
}

// metricsExist holds the names in the Prometheus rules against what the demo exports.
func metricsExist(t *testing.T, url string) {
	resp, err := http.Post(url+"/loki/api/v1/push", "application/x-protobuf", strings.NewReader("\xff")) // counted by its code
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a broken push was answered %s", resp.Status)
	}
	metrics := get(t, url+"/metrics")
	names, err := prometheus.MetricNames()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(metrics, "# TYPE "+name+" ") {
			t.Errorf("the rules read %s, which is not exported", name)
		}
	}
}
