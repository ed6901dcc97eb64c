package collector

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/internal/faas"
)

type metrics struct {
	readBytes  prometheus.Counter
	readLines  map[faas.Stream]prometheus.Counter
	truncated  prometheus.Counter
	restarts   *prometheus.CounterVec
	sameID     prometheus.Counter
	readErrors prometheus.Counter
	missed     prometheus.Counter
	lag        prometheus.Gauge
	files      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: "coldscope_collector_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return auto.NewGauge(prometheus.GaugeOpts{Name: "coldscope_collector_" + name, Help: help})
	}
	lines := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "coldscope_collector_read_lines_total",
		Help: "Lines and events that were read from log files and journal.",
	}, []string{"stream"})
	m := &metrics{
		readBytes: counter("read_bytes_total", "Bytes of log files and journal that were read, without what is read again."),
		readLines: map[faas.Stream]prometheus.Counter{},
		truncated: counter("truncated_lines_total", "Lines that were longer than the limit and were cut."),
		restarts: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_collector_file_restarts_total",
			Help: "Files that are read from their beginning again, by reason: truncated, or guard if they do not fit the checkpoint.",
		}, []string{"reason"}),
		sameID:     counter("same_id_files_total", "Files that begin like another open file, and so have its ID: copies."),
		readErrors: counter("read_errors_total", "Failed attempts to read a file."),
		missed:     counter("missed_bytes_total", "Bytes of files that vanished while the collector was not running, before they were acknowledged."),
		lag:        gauge("lag_bytes", "Bytes of all files that are not acknowledged yet."),
		files:      gauge("files", "Files that are open."),
	}
	for _, s := range faas.Streams {
		m.readLines[s] = lines.WithLabelValues(string(s))
	}
	return m
}
