package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKill runs the services as processes of their own and kills them with
// SIGKILL, one after another and again, while the demo's functions write: the
// collector, the aggregator, the engine. In the end every line is there once.
func TestKill(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: the process runtime needs root")
	}
	dir := t.TempDir()
	aggregatorAddr, collectorAddr := freePort(t), freePort(t)
	socket := filepath.Join(dir, "events.sock")
	startAggregator := func() *proc {
		return start(t, "coldscope", "aggregator", "--data-dir", filepath.Join(dir, "aggregator"), "--listen", aggregatorAddr)
	}
	startCollector := func() *proc {
		return start(t, "coldscope-collector", "--data-dir", filepath.Join(dir, "collector"), "--listen", collectorAddr,
			"--target", "http://"+aggregatorAddr, "--socket", socket, "--cri-root", filepath.Join(dir, "demo", "functionhost", "pods"))
	}
	aggregator, collector := startAggregator(), startCollector()
	dsn, err := os.ReadFile(filepath.Join(dir, "aggregator", "clickhouse", "dsn"))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(t, report(t, ctx, "--requests", "1500", "--runtime", "process", "--data-dir", filepath.Join(dir, "demo"),
			"--collector-socket", socket, "--clickhouse", strings.TrimSpace(string(dsn)), "--wait", "2m"))
	}()

	kills := map[string]int{}
	pause := func() bool {
		select {
		case <-done:
			return false
		case <-time.After(1200 * time.Millisecond):
			return true
		}
	}
	for pause() {
		collector.kill(t)
		kills["collector"]++
		if !pause() {
			break
		}
		collector = startCollector()
		if !pause() {
			break
		}
		aggregator.kill(t)
		kills["aggregator"]++
		aggregator = startAggregator()
		if !pause() {
			break
		}
		for _, pid := range aggregator.children(t) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			kills["engine"]++
		}
	}
	<-done
	t.Logf("killed: %v", kills)
	for _, who := range []string{"collector", "aggregator", "engine"} {
		if kills[who] == 0 {
			t.Errorf("the demo ended before the %s was killed", who)
		}
	}
}
