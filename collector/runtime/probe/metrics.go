package probe

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/internal/faas"
)

type metrics struct {
	starting    prometheus.Gauge
	ready       prometheus.Counter
	missed      prometheus.Counter
	diagnoses   *prometheus.CounterVec
	failures    *prometheus.CounterVec
	dropped     *prometheus.CounterVec
	degraded    *prometheus.GaugeVec
	ebpf        prometheus.Gauge
	open        prometheus.Gauge
	invocations *prometheus.CounterVec
	looks       struct{ quick, full, proc prometheus.Counter }
}

// The results of an invocation's measurement.
const (
	resultMeasured  = "measured"
	resultLate      = "late"      // its events came too long after the fact
	resultUnmatched = "unmatched" // only one of its events came, or for an instance that is not known
	resultDropped   = "dropped"   // too many were open
	resultFailed    = "failed"    // the control groups could not be read
)

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	const prefix = "coldscope_collector_probe_"
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	counters := func(name, help, label string, values ...string) *prometheus.CounterVec {
		c := auto.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{label})
		for _, v := range values { // from the start, so that the first increase can be seen
			c.WithLabelValues(v)
		}
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		return auto.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
	}
	m := &metrics{
		starting:  gauge("starting_instances", "Instances that are looked at until one of their ports listens."),
		ready:     counter("ready_total", "Instances that were seen to become ready."),
		missed:    counter("missed_total", "Instances that were ready, or too old to tell, when they were seen first: no readiness is told of them."),
		diagnoses: counters("diagnoses_total", "Starts that were not ready in time, by what was found.", "diagnosis", diagnoses...),
		failures:  counters("failures_total", "Reads of the host that failed.", "what", "cgroup", "exit", "socket", "usage"),
		dropped: counters("dropped_events_total", "Events that were given up since too many waited for the journal.", "type",
			string(faas.TypeReady), string(faas.TypePhase), string(faas.TypeInvocationUsage)),
		degraded: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "degraded", Help: "1 for each thing that a missing capability or kernel feature takes away.",
		}, []string{"lost"}),
		ebpf: gauge("ebpf_attached", "1 while the kernel tells when a process listens."),
		open: gauge("open_invocations", "Invocations whose end is awaited for their usage."),
		invocations: counters("invocations_total", "Invocations by how the measurement of their usage went.", "result",
			resultMeasured, resultLate, resultUnmatched, resultDropped, resultFailed),
	}
	looks := counters("looks_total", "Looks at sockets: quick for one port, full for a list, proc without the capability for those.", "kind")
	m.looks.quick, m.looks.full, m.looks.proc = looks.WithLabelValues("quick"), looks.WithLabelValues("full"), looks.WithLabelValues("proc")
	return m
}
