package collectorcmd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coldscope/coldscope/cmd/internal/collectorcmd"
	"github.com/coldscope/coldscope/internal/wire"
)

// output is what a command prints, while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// sink is an aggregator that keeps the lines' texts.
func sink(t *testing.T) (url string, got func() string) {
	var mu sync.Mutex
	var lines strings.Builder
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range req.Streams {
			for _, e := range s.Entries {
				fmt.Fprintln(&lines, s.Labels, e.Line)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return lines.String()
	}
}

// A collector that gets SIGHUP reads its configuration again, and goes on with
// the old one if the new one is wrong.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	url, got := sink(t)
	config, logs := filepath.Join(dir, "coldscope.yaml"), filepath.Join(dir, "logs")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := func(namespace string) string {
		return fmt.Sprintf("target: %s\ncollector:\n  socket: %s/s\n  cri: []\n  docker: []\n"+
			"  runtimes: {docker: off, containerd: off, ebpf: off}\n  files:\n  - paths: [%s/*.log]\n    namespace: %s\n", url, dir, logs, namespace)
	}
	write(config, settings("first"))
	write(filepath.Join(logs, "a.log"), "one\n")
	var stdout, stderr output
	cmd := collectorcmd.New("collector", "test")
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs([]string{"--config", config, "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--pprof", "--keep-capabilities"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	eventually(t, "the first line", func() bool { return strings.Contains(got(), `namespace="first"`) })

	hup := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write(config, strings.Replace(settings("second"), "files:", "line_bytes: 7\n  files:", 1))
	hup()
	eventually(t, "the wrong configuration is refused", func() bool { return strings.Contains(stderr.String(), "configuration is wrong") })
	if s := stderr.String(); !strings.Contains(s, config+":7:15: collector.line_bytes: 7 is not between") {
		t.Errorf("where and why? %s", s)
	}
	write(config, settings("second"))
	hup()
	eventually(t, "the new configuration is read", func() bool { return strings.Contains(stderr.String(), "configuration is read again") })
	write(filepath.Join(logs, "b.log"), "two\n")
	eventually(t, "a line under the new configuration", func() bool { return strings.Contains(got(), `namespace="second"`) })
	if n := strings.Count(got(), "} one\n"); n != 1 {
		t.Errorf("the first line came %d times", n)
	}

	fields := strings.Fields(stdout.String())
	if len(fields) != 2 || fields[0] != "ready" {
		t.Fatalf("printed %q", stdout.String())
	}
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(fields[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, err)
		}
		return string(b)
	}
	eventually(t, "metrics of the second collector", func() bool {
		return strings.Contains(get("/metrics"), "coldscope_collector_files 2")
	})
	get("/debug/pprof/cmdline")
	for _, at := range []string{fields[1], "unix://" + dir + "/s"} {
		status := collectorcmd.New("collector", "test")
		var out output
		status.SetOut(&out)
		status.SetArgs([]string{"status", "--all", "--url", at})
		if err := status.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := out.String(); !strings.Contains(s, "2 files") || !strings.Contains(s, "second/b") || !strings.Contains(s, logs+"/a.log") {
			t.Errorf("status:\n%s", s)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWrongConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	for text, want := range map[string]string{
		"target: http://x\ncollector:\n  linez: 3\n":                                ":3:3", // a typo
		"target: http://x\ncollector:\n  mapping:\n    presets: [docker, nobody]\n": path + ":4:23: collector.mapping.presets[1]: unknown preset",
		"target: http://x\ntargets:\n- url: ftp://x\n":                              path + ":3:",
		"collector: {}\n": "--target",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := collectorcmd.New("collector", "test")
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs([]string{"--config", path, "--data-dir", t.TempDir()})
		err := cmd.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
