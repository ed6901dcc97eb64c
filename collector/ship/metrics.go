package ship

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/internal/faas"
)

type metrics struct {
	ackedBytes prometheus.Counter
	ackedLines map[faas.Stream]prometheus.Counter
	dead       *prometheus.CounterVec
	pushes     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	lines := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "coldscope_collector_acknowledged_lines_total",
		Help: "Lines and events that the sink has acknowledged or that went to the dead-letter file.",
	}, []string{"stream"})
	m := &metrics{
		ackedBytes: auto.NewCounter(prometheus.CounterOpts{
			Name: "coldscope_collector_acknowledged_bytes_total",
			Help: "Bytes of log files and journal over which the acknowledged offsets have moved.",
		}),
		ackedLines: map[faas.Stream]prometheus.Counter{},
		dead: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_collector_dead_letter_total",
			Help: "Entries that were given up and written to the dead-letter file.",
		}, []string{"reason"}),
		pushes: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_collector_pushes_total",
			Help: "Push attempts by the sink's answer: 2xx, an HTTP status, or error for none.",
		}, []string{"code"}),
	}
	m.dead.WithLabelValues("http_400") // the usual one is there from the start, so that its first increase can be seen
	for _, s := range faas.Streams {
		m.ackedLines[s] = lines.WithLabelValues(string(s))
	}
	return m
}
