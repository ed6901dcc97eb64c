package aggregator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/internal/faas"
)

// coldStartBuckets reach from a warm host's fork to the pull of gigabytes, in
// seconds. OpenTelemetry's own advice for FaaS ends at 10 s.
var coldStartBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300}

type metrics struct {
	pushes        *prometheus.CounterVec
	accepted      *prometheus.CounterVec
	rejected      *prometheus.CounterVec
	ignored       *prometheus.CounterVec
	events        *prometheus.CounterVec
	lines         *prometheus.CounterVec
	corrections   prometheus.Counter
	forgotten     prometheus.Counter
	rows          *prometheus.CounterVec
	ledgers       prometheus.Counter
	gaps          *prometheus.CounterVec
	gapBytes      *prometheus.CounterVec
	insertSeconds prometheus.Histogram
	insertRetries prometheus.Counter
	looks         *prometheus.CounterVec
	looksSkipped  prometheus.Counter
	coldStarts    *prometheus.HistogramVec
	phases        *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		pushes:      counters("coldscope_aggregator_push_requests_total", "Requests to the intake's endpoints by HTTP status code; those over gRPC by the one that HTTP would have had.", "endpoint", "code"),
		accepted:    counters("coldscope_aggregator_accepted_entries_total", "Entries that were sent and are stored: lines, events, spans; one that is sent twice counts twice.", "protocol"),
		rejected:    counters("coldscope_aggregator_rejected_entries_total", "Entries that were sent and can never be stored.", "protocol", "reason"),
		ignored:     counters("coldscope_aggregator_ignored_entries_total", "Entries that say nothing about functions, such as spans that are no invocations.", "protocol"),
		events:      counters("coldscope_aggregator_events_total", "Events taken in by type.", "type"),
		lines:       counters("coldscope_aggregator_lines_total", "Lines settled by attribution, corrections included.", "attribution"),
		corrections: counter("coldscope_aggregator_corrections_total", "Lines written again because later facts gave them another request."),
		forgotten:   counter("coldscope_aggregator_forgotten_instances_total", "Instances that did not fit the memory; they are read back from the store when they come again."),
		rows:        counters("coldscope_aggregator_rows_total", "Rows written by table.", "table"),
		ledgers:     counter("coldscope_aggregator_ledgers_total", "Accounts of log files taken in, each minute anew while a file is written to."),
		gaps:        counters("coldscope_aggregator_gaps_total", "Gaps in log files that collectors told, by reason; one that is sent twice counts twice.", "reason"),
		gapBytes:    counters("coldscope_aggregator_gap_bytes_total", "Bytes of those gaps whose size is known, by reason.", "reason"),
		insertSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "coldscope_aggregator_insert_duration_seconds", Help: "Time to write one batch to all tables.",
			Buckets: prometheus.ExponentialBuckets(.002, 2, 14),
		}),
		insertRetries: counter("coldscope_aggregator_insert_retries_total", "Inserts tried again because the engine was away or overloaded."),
		looks:         counters("coldscope_aggregator_looks_total", "Instances looked at again in the store, for what other aggregators wrote of them, by what was read (facts, lines).", "read"),
		looksSkipped:  counter("coldscope_aggregator_looks_skipped_total", "Times that an instance was not noted to be looked at again, because too many are."),
		coldStarts: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coldscope_cold_start_duration_seconds", Help: "Starts of instances, from the demand to readiness.",
			Buckets: coldStartBuckets,
		}, []string{"namespace", "function", "initialization"}),
		phases: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coldscope_cold_start_phase_duration_seconds", Help: "Phases of the starts of instances.",
			Buckets: coldStartBuckets,
		}, []string{"namespace", "function", "phase"}),
	}
	for _, r := range []faas.GapReason{faas.GapVanished, faas.GapPinned, faas.GapTruncated, faas.GapSpool} {
		m.gaps.WithLabelValues(string(r)) // 0, not absent: an alert on an increase sees the first one
		m.gapBytes.WithLabelValues(string(r))
	}
	for _, protocol := range []string{protocolLoki, protocolLogs, protocolSpans, protocolEvents, protocolLambda} {
		for _, reason := range ingest.Reasons {
			m.rejected.WithLabelValues(protocol, string(reason))
		}
	}
	return m
}

// took counts what came of a batch.
func (m *metrics) took(protocol string, b *ingest.Batch) {
	m.accepted.WithLabelValues(protocol).Add(float64(b.Accepted))
	if b.Ignored > 0 {
		m.ignored.WithLabelValues(protocol).Add(float64(b.Ignored))
	}
	for reason, n := range b.Reasons {
		m.rejected.WithLabelValues(protocol, string(reason)).Add(float64(n))
	}
}

func (m *metrics) observe(out *correlate.Output) {
	for i := range out.Logs {
		m.lines.WithLabelValues(string(out.Logs[i].Attribution)).Inc()
	}
	m.corrections.Add(float64(out.Corrected))
	m.forgotten.Add(float64(out.Forgotten))
	m.ledgers.Add(float64(len(out.Ledgers)))
	for i := range out.Gaps {
		m.gaps.WithLabelValues(out.Gaps[i].Reason).Inc()
		m.gapBytes.WithLabelValues(out.Gaps[i].Reason).Add(float64(out.Gaps[i].Bytes))
	}
	for i := range out.Started {
		s := &out.Started[i]
		if s.Phase == "" {
			m.coldStarts.WithLabelValues(s.Ref.Namespace, s.Ref.Function, string(s.Initialization)).Observe(s.Duration.Seconds())
		} else {
			m.phases.WithLabelValues(s.Ref.Namespace, s.Ref.Function, string(s.Phase)).Observe(s.Duration.Seconds())
		}
	}
}

func (m *metrics) wrote(b *insert.Batch, took time.Duration) {
	m.insertSeconds.Observe(took.Seconds())
	for table, rows := range map[string]int{
		"logs": len(b.Logs), "invocations": len(b.Invocations), "cold_starts": len(b.ColdStarts), "phases": len(b.Phases), "layers": len(b.Layers),
		"ledgers": len(b.Ledgers), "gaps": len(b.Gaps),
	} {
		m.rows.WithLabelValues(table).Add(float64(rows))
	}
}
