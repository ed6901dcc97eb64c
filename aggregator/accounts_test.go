package aggregator_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/internal/faas"
)

// TestAccounts sends what collectors say of log files and of what invocations
// used, twice with a restart between them and the old after the new, and reads
// what the store makes of it.
func TestAccounts(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	const file = "00000000000000f1"
	early := faas.Ledger{FileID: file, From: at(0), To: at(100), Bytes: 100, Lines: 2}
	later := faas.Ledger{FileID: file, From: at(0), To: at(900), Bytes: 900, Lines: 9, TruncatedLines: 1, TruncatedBytes: 5, RefusedLines: 2, LostBytes: 50, LateLines: 3}
	complete := later
	complete.Complete = true
	usage := faas.InvocationUsage{RequestID: "req-a", StartedAt: at(10), MemoryPeak: 900, CPUTime: 0.009, Shared: true}
	for range 2 {
		must(t, s.client.SendEvents(t.Context(), []faas.Event{
			event("ledger/900/true", 2000, complete),
			event("usage", 50, usage),
			event("gap", 2000, faas.Gap{FileID: file, Offset: 100, Bytes: 50, From: at(100), Reason: faas.GapPinned}),
		}))
		s.stop()
		s = start(t, conn)
		must(t, s.client.SendEvents(t.Context(), []faas.Event{
			event("end", 50, faas.InvocationEnded{RequestID: "req-a", StartedAt: at(10), Status: faas.StatusOK, MemoryPeak: 500}),
			event("ledger/100/false", 100, early),
			event("ledger/900/false", 1000, later),
			event("dropped/1", 1000, faas.Gap{Bytes: 7, To: at(1000), Reason: faas.GapSpool}),
			event("dropped/2", 2000, faas.Gap{Bytes: -7, To: at(2000), Reason: faas.GapSpool}),
			event("stopped", 3000, faas.Stopped{CPUTime: 1.5}),
		}))
	}
	for name, check := range map[string]struct{ sql, want string }{
		"ledger": {
			`SELECT concat(file_id, ' ', host, ' ', toString(dateDiff('millisecond', "from", "to")), ' ', toString((bytes, lines, truncated_lines, truncated_bytes, refused_lines, lost_bytes, late_lines, complete))) FROM ledgers FINAL`,
			file + " host-1 900 (900,9,1,5,2,50,3,true)\n",
		},
		"gaps": {
			`SELECT concat(file_id, ' ', toString(offset), ' ', toString(bytes), ' ', reason, ' ', toString(dateDiff('millisecond', "from", "to"))) FROM gaps FINAL WHERE "from" IS NOT NULL`,
			file + " 100 50 pinned 1900\n",
		},
		"gaps without a file": {
			`SELECT concat(toString(bytes), ' ', reason) FROM gaps FINAL WHERE file_id = '' ORDER BY "to"`,
			"7 spool\n0 spool\n",
		},
		"usage": {
			`SELECT toString((memory_peak, cpu_time_ns, usage_memory_peak, usage_cpu_time_ns, usage_shared)) FROM invocations FINAL`,
			"(500,NULL,900,9000000,true)\n",
		},
		"stopped":  {`SELECT toString(cpu_time_ns) FROM cold_starts FINAL`, "1500000000\n"},
		"platform": {`SELECT body FROM logs FINAL WHERE body NOT LIKE '%RequestId%'`, "instance stopped: \n"},
	} {
		if diff := cmp.Diff(check.want, query(t, conn, check.sql)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for want, c := range map[float64]string{2: "ledgers_total", 7: "gap_bytes_total"} {
		if got := testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_"+c)); got != want {
			t.Errorf("%s: %v, want %v", c, got, want)
		}
	}
	for want, labels := range map[float64][]string{0: {"reason", "vanished"}, 2: {"reason", "spool"}} {
		if got := testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_gaps_total", labels...)); got != want {
			t.Errorf("gaps %v: %v, want %v", labels, got, want)
		}
	}
}
