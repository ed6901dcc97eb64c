package collector

import (
	"github.com/prometheus/client_golang/prometheus"
)

// laggardFiles is how many files have their own metrics: those that lag most.
// There may be thousands, and a short life makes each a series of its own.
const laggardFiles = 20

// laggards exports the files with the greatest lag.
type laggards struct {
	c              *Collector
	bytes, seconds *prometheus.Desc
}

func newLaggards(c *Collector) *laggards {
	labels := []string{"path", "function", "function_instance"} // instance is Prometheus' own
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("coldscope_collector_"+name, help, labels, nil)
	}
	return &laggards{
		c,
		desc("file_lag_bytes", "Bytes of a file that are not acknowledged, of the files with the greatest lag."),
		desc("file_lag_seconds", "For how long a file has had a lag without an acknowledgement, of the files with the greatest lag."),
	}
}

// Describe is prometheus.Collector's.
func (l *laggards) Describe(ch chan<- *prometheus.Desc) {
	ch <- l.bytes
	ch <- l.seconds
}

// Collect is prometheus.Collector's.
func (l *laggards) Collect(ch chan<- prometheus.Metric) {
	seen := map[string]bool{} // a rotated file's path may be another's by now
	for _, f := range l.c.Status().Files {
		if f.Lag == 0 || len(seen) == laggardFiles {
			return
		}
		if seen[f.Path] {
			continue
		}
		seen[f.Path] = true
		ch <- prometheus.MustNewConstMetric(l.bytes, prometheus.GaugeValue, float64(f.Lag), f.Path, f.Function, f.Instance)
		ch <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, f.LagSeconds, f.Path, f.Function, f.Instance)
	}
}
