package aggregator

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/faas"
)

// Metrics bounds what the aggregator tells of itself.
type Metrics struct {
	// Functions is how many functions have series of their own; those that come
	// after them are counted as function "other" of namespace "other", until the
	// process ends. Each takes some 50 KiB of memory.
	// Default: 1000.
	Functions int `yaml:"functions"`
}

// Validate says what is wrong with m.
func (m *Metrics) Validate() error {
	if m.Functions < 0 {
		return errors.New("functions: it cannot be less than 0")
	}
	return nil
}

// Buckets of the classic histograms. Scrapers that ask for it get native ones beside them.
var (
	// coldStartBuckets reach from a warm host's fork to the pull of gigabytes, in
	// seconds. OpenTelemetry's own advice for FaaS ends at 10 s.
	coldStartBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300}
	storeBuckets     = prometheus.ExponentialBuckets(.002, 2, 14) // seconds
	waitBuckets      = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
)

// metrics is what the aggregator tells of itself. observe is for the merger's
// goroutine only.
type metrics struct {
	pushes         *prometheus.CounterVec
	accepted       *prometheus.CounterVec
	rejected       *prometheus.CounterVec
	ignored        *prometheus.CounterVec
	roomWaits      prometheus.Histogram
	events         *prometheus.CounterVec
	lines          []prometheus.Counter // by index in faas.Attributions
	held           prometheus.Histogram
	corrections    prometheus.Counter
	forgotten      prometheus.Counter
	recalled       *prometheus.CounterVec
	recallSeconds  prometheus.Histogram
	rechecked      prometheus.Counter
	recheckedLines prometheus.Counter
	recheckSeconds prometheus.Histogram
	rows           *prometheus.CounterVec
	ledgers        prometheus.Counter
	gaps           *prometheus.CounterVec
	gapBytes       *prometheus.CounterVec
	batchRows      prometheus.Histogram
	batchBytes     prometheus.Histogram
	insertSeconds  prometheus.Histogram
	insertRetries  prometheus.Counter
	insertFailures prometheus.Counter
	looks          *prometheus.CounterVec
	looksSkipped   prometheus.Counter
	coldStarts     *prometheus.HistogramVec
	phases         *prometheus.HistogramVec
	functions      functions
}

// newMetrics registers them; pending gives the bytes that wait to be stored.
func newMetrics(reg prometheus.Registerer, cfg *Config, pending func() int64) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(histogramOpts(name, help, buckets))
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return f.NewHistogramVec(histogramOpts(name, help, buckets), labels)
	}
	m := &metrics{
		pushes:         counters("coldscope_aggregator_push_requests_total", "Requests to the intake's endpoints by HTTP status code; those over gRPC by the one that HTTP would have had.", "endpoint", "code"),
		accepted:       counters("coldscope_aggregator_accepted_entries_total", "Entries that were sent and are stored: lines, events, spans; one that is sent twice counts twice.", "protocol"),
		rejected:       counters("coldscope_aggregator_rejected_entries_total", "Entries that were sent and can never be stored.", "protocol", "reason"),
		ignored:        counters("coldscope_aggregator_ignored_entries_total", "Entries that say nothing about functions, such as spans that are no invocations.", "protocol"),
		roomWaits:      histogram("coldscope_aggregator_room_wait_seconds", "How long requests waited for room in memory before they were taken in, or sent away; of those only that found none at once.", waitBuckets),
		events:         counters("coldscope_aggregator_events_total", "Events taken in by type.", "type"),
		held:           histogram("coldscope_aggregator_hold_seconds", "How long lines waited for an event that explains them; of those only that did.", waitBuckets),
		corrections:    counter("coldscope_aggregator_corrections_total", "Lines written again because later facts gave them another request."),
		forgotten:      counter("coldscope_aggregator_forgotten_instances_total", "Instances that did not fit the memory; they are read back from the store when they come again."),
		recalled:       counters("coldscope_aggregator_recalled_instances_total", "Instances asked for in the store since nothing was remembered of them, by whether it knew them; new ones are not.", "found"),
		recallSeconds:  histogram("coldscope_aggregator_recall_duration_seconds", "Time to ask the store for instances, several at once. Merging waits for it.", storeBuckets),
		rechecked:      counter("coldscope_aggregator_rechecked_spans_total", "Times that lines of an instance were read from the store, since facts that came late changed them, or may have."),
		recheckedLines: counter("coldscope_aggregator_rechecked_lines_total", "Lines read so; what of them had to be written again is among the corrections."),
		recheckSeconds: histogram("coldscope_aggregator_recheck_duration_seconds", "Time to read lines from the store again, of several instances at once, after what was on its way there. Merging waits for it.", storeBuckets),
		rows:           counters("coldscope_aggregator_rows_total", "Rows written by table.", "table"),
		ledgers:        counter("coldscope_aggregator_ledgers_total", "Accounts of log files taken in, each minute anew while a file is written to."),
		gaps:           counters("coldscope_aggregator_gaps_total", "Gaps in log files that collectors told, by reason; one that is sent twice counts twice.", "reason"),
		gapBytes:       counters("coldscope_aggregator_gap_bytes_total", "Bytes of those gaps whose size is known, by reason.", "reason"),
		batchRows:      histogram("coldscope_aggregator_batch_rows", "Rows of all tables that were written at once.", prometheus.ExponentialBuckets(1, 4, 10)),
		batchBytes:     histogram("coldscope_aggregator_batch_bytes", "Bytes of bodies, attributes and events of the requests that a batch acknowledges.", prometheus.ExponentialBuckets(1<<10, 4, 10)),
		insertSeconds:  histogram("coldscope_aggregator_insert_duration_seconds", "Time to write one batch to all tables.", storeBuckets),
		insertRetries:  counter("coldscope_aggregator_insert_retries_total", "Inserts tried again because the engine was away or overloaded."),
		insertFailures: counter("coldscope_aggregator_insert_failures_total", "Batches that could not be written. Their senders send them again."),
		looks:          counters("coldscope_aggregator_looks_total", "Instances looked at again in the store, for what other aggregators wrote of them, by what was read (facts, lines).", "read"),
		looksSkipped:   counter("coldscope_aggregator_looks_skipped_total", "Times that an instance was not noted to be looked at again, because too many are."),
		coldStarts:     histograms("coldscope_cold_start_duration_seconds", "Starts of instances, from the demand to readiness.", coldStartBuckets, "namespace", "function", "initialization"),
		phases:         histograms("coldscope_cold_start_phase_duration_seconds", "Phases of the starts of instances.", coldStartBuckets, "namespace", "function", "phase"),
		functions:      functions{limit: cfg.Metrics.Functions, own: map[function]function{}},
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "coldscope_aggregator_pending_bytes", Help: "Bytes that are taken in and not stored yet."},
		func() float64 { return float64(pending()) })
	f.NewGauge(prometheus.GaugeOpts{Name: "coldscope_aggregator_pending_limit_bytes", Help: "Their limit (pending_bytes), above which senders are told to come again."}).
		Set(float64(cfg.Pending))
	lines := counters("coldscope_aggregator_lines_total", "Lines settled by attribution, corrections included.", "attribution")
	for _, a := range faas.Attributions {
		m.lines = append(m.lines, lines.WithLabelValues(string(a)))
	}
	for _, found := range []string{"true", "false"} {
		m.recalled.WithLabelValues(found)
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

// histogramOpts describe a histogram that is native as well: its buckets are a
// tenth apart, or more where that would make too many. There is one of each
// function's, so that it has to be small.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 40, NativeHistogramMinResetDuration: time.Hour,
		NativeHistogramMaxExemplars: 2,
	}
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
	m.settled(out)
	for _, waited := range out.Held {
		m.held.Observe(waited.Seconds())
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
		of := m.functions.bounded(s.Ref)
		started := m.coldStarts.WithLabelValues
		kind := string(s.Initialization)
		if s.Phase != "" {
			started, kind = m.phases.WithLabelValues, string(s.Phase)
		}
		observe(started(of.namespace, of.name, kind), s.Duration, exemplar(s.RequestID, s.TraceID))
	}
}

// settled counts lines by attribution.
func (m *metrics) settled(out *correlate.Output) {
	counts := make([]int, len(m.lines))
	for i := range out.Logs {
		if n := slices.Index(faas.Attributions, out.Logs[i].Attribution); n >= 0 {
			counts[n]++
		}
	}
	for n, lines := range counts {
		if lines > 0 {
			m.lines[n].Add(float64(lines))
		}
	}
}

func observe(o prometheus.Observer, d time.Duration, e prometheus.Labels) {
	if with, ok := o.(prometheus.ExemplarObserver); ok && e != nil {
		with.ObserveWithExemplar(d.Seconds(), e)
		return
	}
	o.Observe(d.Seconds())
}

// exemplar names a request as far as OpenMetrics has room for it, nil if it has
// none: a part of an ID leads nowhere.
func exemplar(requestID, traceID string) prometheus.Labels {
	labels := prometheus.Labels{}
	left := prometheus.ExemplarMaxRunes
	for _, l := range []struct{ name, value string }{{"request_id", requestID}, {"trace_id", traceID}} {
		n := len(l.name) + utf8.RuneCountInString(l.value)
		if l.value == "" || n > left || !utf8.ValidString(l.value) {
			continue
		}
		left -= n
		labels[l.name] = strings.Clone(l.value) // the request's body is not to live as long
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// function is one as series name it.
type function struct{ namespace, name string }

// functions are those that have series of their own.
type functions struct {
	limit int
	own   map[function]function // to what the series keep of it
}

func (f *functions) bounded(ref faas.Ref) function {
	k := function{ref.Namespace, ref.Function}
	if own, ok := f.own[k]; ok {
		return own
	}
	if len(f.own) >= f.limit {
		return function{"other", "other"}
	}
	k = function{strings.Clone(k.namespace), strings.Clone(k.name)}
	f.own[k] = k
	return k
}

// wrote counts a batch that is stored.
func (m *metrics) wrote(b *batch, took time.Duration) {
	m.insertSeconds.Observe(took.Seconds())
	m.batchRows.Observe(float64(b.Rows()))
	bytes := 0
	for _, s := range b.waiting {
		if !s.stored { // else it is only corrected
			bytes += s.Bytes
		}
	}
	m.batchBytes.Observe(float64(bytes))
	for table, rows := range map[string]int{
		"logs": len(b.Logs), "invocations": len(b.Invocations), "cold_starts": len(b.ColdStarts), "phases": len(b.Phases), "layers": len(b.Layers),
		"ledgers": len(b.Ledgers), "gaps": len(b.Gaps),
	} {
		m.rows.WithLabelValues(table).Add(float64(rows))
	}
}
