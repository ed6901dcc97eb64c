package prometheus

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing: apt-get install -y --no-install-recommends prometheus")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesAreValid(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
}

func TestRulesDoWhatTheySay(t *testing.T) { promtool(t, "test", "rules", "rules_test.yml") }

func TestConfigIsValid(t *testing.T) { promtool(t, "check", "config", "prometheus.yml") }

func TestAlertsSayWhatToDo(t *testing.T) {
	all, err := parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Alert == "" {
			continue
		}
		if r.Labels["severity"] == "" {
			t.Errorf("alert %s has no severity", r.Alert)
		}
		for _, a := range []string{"summary", "description", "console_url"} {
			if r.Annotations[a] == "" {
				t.Errorf("alert %s has no %s", r.Alert, a)
			}
		}
	}
}

func TestMetricNames(t *testing.T) {
	got, err := MetricNames()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"coldscope_aggregator_insert_retries_total",
		"coldscope_aggregator_push_requests_total",
		"coldscope_cold_start_duration_seconds",
		"coldscope_cold_start_phase_duration_seconds",
		"coldscope_collector_checkpoint_failures_total",
		"coldscope_collector_dead_letter_total",
		"coldscope_collector_journal_bytes",
		"coldscope_collector_journal_limit_bytes",
		"coldscope_collector_lag_bytes",
		"coldscope_collector_lag_seconds",
		"coldscope_collector_missed_bytes_total",
		"coldscope_collector_target_up",
		"coldscope_collector_throttled_lanes",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metric names differ (-want +got):\n%s", diff)
	}
}

// Every alert must fire in rules_test.yml.
func TestEveryAlertHasACase(t *testing.T) {
	all, err := parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	cases := readCases(t)
	for _, r := range all {
		if r.Alert != "" && cases[r.Alert] == 0 {
			t.Errorf("no case in rules_test.yml lets %s fire", r.Alert)
		}
	}
}

// readCases counts how often each alert is expected to fire.
func readCases(t *testing.T) map[string]int {
	t.Helper()
	raw, err := os.ReadFile("rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Cases []struct {
				Alert  string `yaml:"alertname"`
				Expect []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	fired := map[string]int{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			fired[c.Alert] += len(c.Expect)
		}
	}
	return fired
}
