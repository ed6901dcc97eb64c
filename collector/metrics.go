package collector

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/internal/faas"
)

type metrics struct {
	readBytes  prometheus.Counter
	readLines  [3]prometheus.Counter // stdout, stderr, platform
	hints      [3]prometheus.Counter // by open invocations: none, one, several
	truncated  prometheus.Counter
	late       prometheus.Counter
	secrets    prometheus.Counter
	ignored    *prometheus.CounterVec
	restarts   *prometheus.CounterVec
	readErrors prometheus.Counter
	missed     *prometheus.CounterVec
	lag        prometheus.Gauge
	lagSeconds prometheus.Gauge
	files      prometheus.Gauge
	pinned     prometheus.Gauge
	spooled    prometheus.Gauge
	journal    prometheus.Gauge
	unsaved    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, journalBytes int64) *metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "coldscope_collector_" + name, Help: help})
	}
	vector := func(name, label, help string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: "coldscope_collector_" + name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return auto.NewGauge(prometheus.GaugeOpts{Name: "coldscope_collector_" + name, Help: help})
	}
	lines := vector("read_lines_total", "stream", "Lines and events that were read from log files and journal.")
	hinted := vector("attribution_hints_total", "open",
		"Lines by how many invocations were open on their instance when they were read, of instances whose platform sends events: none, one, several.")
	m := &metrics{
		readBytes: counter("read_bytes_total", "Bytes of log files and journal that were read, without what is read again."),
		truncated: counter("truncated_lines_total", "Lines that were longer than the limit and were cut."),
		late:      counter("late_lines_total", "Lines that were read long after they were written (late_after)."),
		secrets:   counter("redacted_secrets_total", "Credentials that were taken out of lines and events."),
		ignored:   vector("lambda_ignored_records_total", "reason", "Records of AWS Lambda's Telemetry API that say nothing to us."),
		restarts: vector("file_restarts_total", "reason",
			"Files that are read from their beginning again, by reason: truncated, or guard if they do not fit the checkpoint."),
		readErrors: counter("read_errors_total", "Failed attempts to read a file."),
		missed: vector("missed_bytes_total", "reason",
			"Bytes of log files that nobody can read any more, by reason: vanished while no collector ran, pinned by deleted files over their limit, truncated, or too old in the spool."),
		lag:        gauge("lag_bytes", "Bytes of all files that are not acknowledged yet."),
		lagSeconds: gauge("lag_seconds", "The longest time for which a file has had a lag without an acknowledgement."),
		files:      gauge("files", "Files that are open."),
		pinned:     gauge("pinned_bytes", "Bytes on disk of deleted files that are held until they are acknowledged."),
		spooled:    gauge("spool_bytes", "Bytes of copies of deleted files that are not acknowledged yet."),
		journal:    gauge("journal_bytes", "Bytes of the journal on disk: events that are not acknowledged yet, by whole segments."),
		unsaved:    counter("checkpoint_failures_total", "Attempts to save the checkpoint that failed."),
	}
	gauge("journal_limit_bytes", "The journal's limit (journal_bytes), at which events are answered 429.").Set(float64(journalBytes))
	for i, s := range faas.Streams {
		m.readLines[i] = lines.WithLabelValues(string(s))
	}
	for i, open := range []string{"none", "one", "several"} {
		m.hints[i] = hinted.WithLabelValues(open)
	}
	for _, r := range []faas.GapReason{faas.GapVanished, faas.GapPinned, faas.GapTruncated, faas.GapSpool} {
		m.missed.WithLabelValues(string(r)) // there from the start, so that the first increase can be seen
	}
	return m
}

// add counts what a ledger has counted since the last time, up to read.
func (m *metrics) add(l *ledger, read int64, open *openInvocations) {
	if n := read - l.counted; n > 0 {
		m.readBytes.Add(float64(n))
		l.counted = read
	}
	for i, n := range l.streams {
		if n > 0 {
			m.readLines[i].Add(float64(n))
		}
	}
	if n := l.streams[0] + l.streams[1]; n > 0 && open != nil {
		m.hints[min(2, open.n.Load())].Add(float64(n))
	}
	l.streams = [3]int64{}
	if l.secrets > 0 {
		m.secrets.Add(float64(l.secrets))
		l.secrets = 0
	}
	if n := l.TruncatedLines - l.exported.TruncatedLines; n > 0 {
		m.truncated.Add(float64(n))
	}
	if n := l.LateLines - l.exported.LateLines; n > 0 {
		m.late.Add(float64(n))
	}
	l.exported = l.Counts
}
