package aggregator

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPrometheusScrapes has a real one store exemplars, and histograms of both kinds.
func TestPrometheusScrapes(t *testing.T) {
	m, target := served(t, DefaultConfig())
	out := started("f", "r-1", trace1)
	m.observe(&out)
	for features, series := range map[string]string{
		"exemplar-storage":                   "coldscope_cold_start_duration_seconds_bucket",
		"exemplar-storage,native-histograms": "coldscope_cold_start_duration_seconds",
	} {
		t.Run(features, func(t *testing.T) {
			t.Parallel()
			api := scraping(t, target, features)
			answers(t, api+"query?query="+url.QueryEscape("histogram_quantile(0.5, "+series+")"), `"value":\[[\d.]+,"1\.\d+"\]`)
			answers(t, api+"query_exemplars?start=0&end=9999999999&query="+series, `"labels":{"request_id":"r-1","trace_id":"`+trace1+`"},"value":"1\.3"`)
		})
	}
}

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// scraping starts a Prometheus that scrapes target, and gives the URL of its API.
func scraping(t *testing.T, target, features string) string {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is missing: apt-get install -y --no-install-recommends prometheus")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs: [{job_name: coldscope, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: [%q]}]}]\n", strings.TrimPrefix(target, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--enable-feature="+features)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	select {
	case a := <-address:
		return "http://" + a + "/api/v1/"
	case <-read:
		t.Fatal("Prometheus did not start")
	case <-time.After(time.Minute):
		t.Fatal("Prometheus did not say where it listens")
	}
	return ""
}

// answers waits until the answer at url is the wanted one.
func answers(t *testing.T, url, want string) {
	t.Helper()
	wanted := regexp.MustCompile(want)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		_, got := get(t, url, "application/json")
		if wanted.MatchString(got) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: %s, want %s", url, got, want)
		}
	}
}
