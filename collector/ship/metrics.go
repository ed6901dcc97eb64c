package ship

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/internal/faas"
)

// maxTenants is how many tenants have time series of their own; the rest is
// counted as other.
const (
	maxTenants = 100
	other      = "other"
)

type metrics struct {
	ackedBytes prometheus.Counter
	acked      map[faas.Stream]shipped
	tenants    *prometheus.CounterVec
	dead       *prometheus.CounterVec
	pushes     *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	batchBytes prometheus.Histogram
	batchLines prometheus.Histogram
	age        prometheus.Histogram

	mu     sync.Mutex
	labels map[string]string // of tenants: the first ones have their own
}

type shipped struct{ lines, bytes prometheus.Counter }

func newMetrics(reg prometheus.Registerer, s *Shipper) *metrics {
	auto := promauto.With(reg)
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: "coldscope_collector_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Name: "coldscope_collector_" + name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}
	}
	lines := counters("acknowledged_lines_total", "Lines and events that a target has acknowledged or that went to the dead-letter file.", "stream")
	bytes := counters("acknowledged_push_bytes_total", "Bytes of push requests, before compression, that were acknowledged.", "stream")
	m := &metrics{
		ackedBytes: auto.NewCounter(prometheus.CounterOpts{
			Name: "coldscope_collector_acknowledged_bytes_total",
			Help: "Bytes of log files and journal over which the acknowledged offsets have moved.",
		}),
		acked:   map[faas.Stream]shipped{},
		tenants: counters("tenant_acknowledged_lines_total", "As acknowledged_lines_total, by tenant: the first 100, and other.", "tenant"),
		dead:    counters("dead_letter_total", "Entries that were given up and written to the dead-letter file.", "reason"),
		pushes:  counters("pushes_total", "Push attempts by target and its answer: 2xx, an HTTP status, or error for none.", "target", "code"),
		latency: auto.NewHistogramVec(histogram("push_seconds", "How long push attempts took, with any answer.",
			[]float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}), []string{"target"}),
		batchBytes: auto.NewHistogram(histogram("batch_bytes", "Bytes of acknowledged batches, before compression.", prometheus.ExponentialBuckets(1<<10, 4, 8))),
		batchLines: auto.NewHistogram(histogram("batch_lines", "Lines and events of acknowledged batches.", prometheus.ExponentialBuckets(1, 4, 8))),
		age: auto.NewHistogram(histogram("acknowledged_age_seconds", "How old a batch's oldest line was when the batch was acknowledged.",
			[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600})),
		labels: map[string]string{},
	}
	m.dead.WithLabelValues("http_400") // the usual one is there from the start, so that its first increase can be seen
	for _, kind := range faas.Streams {
		m.acked[kind] = shipped{lines.WithLabelValues(string(kind)), bytes.WithLabelValues(string(kind))}
	}
	if reg != nil {
		reg.MustRegister(newLaneCollector(s))
	}
	return m
}

// pushed counts one attempt.
func (m *metrics) pushed(target, code string, took time.Duration) {
	m.pushes.WithLabelValues(target, code).Inc()
	m.latency.WithLabelValues(target).Observe(took.Seconds())
}

// acknowledged counts a batch, with which offsets moved by so many bytes.
func (m *metrics) acknowledged(b *batch, moved int64, now time.Time) {
	m.ackedBytes.Add(float64(moved))
	lines := 0
	for kind, sum := range b.kinds {
		m.acked[kind].lines.Add(float64(sum.lines))
		m.acked[kind].bytes.Add(float64(sum.bytes))
		lines += sum.lines
	}
	m.tenants.WithLabelValues(m.label(b.lane.tenant)).Add(float64(lines))
	m.batchBytes.Observe(float64(b.bytes))
	m.batchLines.Observe(float64(lines))
	m.age.Observe(max(0, now.Sub(b.oldest).Seconds()))
}

// label gives a tenant's label.
func (m *metrics) label(tenant string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.labels[tenant]; ok {
		return l
	}
	if len(m.labels) >= maxTenants {
		return other
	}
	m.labels[tenant] = strings.ToValidUTF8(tenant, "\uFFFD")
	return m.labels[tenant]
}

// laneCollector tells what is on its way when it is asked.
type laneCollector struct {
	s *Shipper
	// bytes, inFlight and throttled are by tenant and target, up by target.
	bytes, inFlight, throttled, up, waiting *prometheus.Desc
}

func newLaneCollector(s *Shipper) *laneCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("coldscope_collector_"+name, help, labels, nil)
	}
	return &laneCollector{
		s:         s,
		bytes:     desc("unacknowledged_bytes", "Bytes in memory that are not acknowledged, by tenant: the 100 with the most, and other.", "tenant", "target"),
		inFlight:  desc("pushes_in_flight", "Batches that are on their way or are sent again.", "tenant", "target"),
		throttled: desc("throttled_lanes", "Lanes that send less than they may, since the target does not take more.", "tenant", "target"),
		up:        desc("target_up", "Whether the target took or refused the last push, 0 if it did not answer or could not.", "target"),
		waiting:   desc("waiting_writers", "Files that are not read since too much is unacknowledged."),
	}
}

// Describe implements prometheus.Collector.
func (c *laneCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.bytes, c.inFlight, c.throttled, c.up, c.waiting} {
		ch <- d
	}
}

// laneState is a lane's figures, or those of several.
type laneState struct {
	tenant, target             string
	bytes, inFlight, throttled float64
}

// Collect implements prometheus.Collector.
func (c *laneCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	up, waiting, lanes := c.s.state(time.Now())
	for target, v := range up {
		gauge(c.up, v, target)
	}
	gauge(c.waiting, float64(waiting))
	for _, l := range bounded(lanes) {
		gauge(c.bytes, l.bytes, l.tenant, l.target)
		gauge(c.inFlight, l.inFlight, l.tenant, l.target)
		gauge(c.throttled, l.throttled, l.tenant, l.target)
	}
}

// state gives how targets and lanes are.
func (s *Shipper) state(now time.Time) (up map[string]float64, waiting int, lanes []laneState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	up = map[string]float64{}
	for _, t := range s.targets {
		up[t.name] = 1
		if !t.downSince.IsZero() {
			up[t.name] = 0
		}
	}
	for key, ln := range s.lanes {
		l := laneState{
			tenant: strings.ToValidUTF8(key.tenant, "\uFFFD"), target: key.target.name,
			bytes: float64(ln.bytes), inFlight: float64(ln.inFlight),
		}
		if ln.throttled(s.opts.InFlight, now) {
			l.throttled = 1
		}
		lanes = append(lanes, l)
	}
	return up, len(s.waiting), lanes
}

// bounded adds up the lanes behind the first hundred, by target. What other
// tenants have in common is their name, so nobody may be called the same twice.
func bounded(lanes []laneState) []laneState {
	slices.SortFunc(lanes, func(a, b laneState) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.target, b.target))
	})
	type key struct{ tenant, target string }
	sums := map[key]*laneState{}
	var out []*laneState
	for i, l := range lanes {
		if i >= maxTenants {
			l.tenant = other
		}
		k := key{l.tenant, l.target}
		if sum := sums[k]; sum != nil {
			sum.bytes += l.bytes
			sum.inFlight += l.inFlight
			sum.throttled += l.throttled
			continue
		}
		sums[k] = &l
		out = append(out, &l)
	}
	flat := make([]laneState, len(out))
	for i, l := range out {
		flat[i] = *l
	}
	return flat
}
