package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
)

// Config is what the intake makes of what senders push, and what it refuses.
type Config struct {
	// BodyBytes is the longest body of a request as it is sent, and the longest
	// gRPC message. Default 16 MiB.
	BodyBytes int64 `yaml:"body_bytes"`
	// InflatedBytes is the longest body after decompression. Default, and at
	// most, 64 MiB.
	InflatedBytes int64 `yaml:"inflated_bytes"`
	// Labels says which labels of a Loki stream, or attributes of an OTLP
	// resource, name whose a line is.
	Labels Labels `yaml:"labels"`
	// Limits are those of every tenant.
	Limits Limits `yaml:"limits"`
	// Tenants are limits of single tenants by name, with the keys of Limits. What
	// is not set there is as for all; a negative reject_older, reject_newer or rate
	// means none.
	Tenants map[string]Limits `yaml:"tenants"`
	// FaaSSpans makes invocations of OTLP spans that have a faas.invocation_id.
	// Set it to false where the platform tells of invocations itself: they would
	// be shown twice. Default true.
	FaaSSpans bool `yaml:"faas_spans"`
}

// Labels are, for each fact, the labels that may name it beside Coldscope's own
// one, which is the key itself; the first that a stream has counts. OTLP attributes are compared with underscores for their
// dots: k8s_pod_name is k8s.pod.name. What names nothing is kept as an
// attribute of the lines.
type Labels struct {
	// Function names the function; without it a line is refused. Default
	// faas_name, then as Loki looks for a service's name: service_name, service,
	// app, application, app_name, name, app_kubernetes_io_name, container,
	// container_name, k8s_container_name, component, workload, job, k8s_job_name.
	Function []string `yaml:"function"`
	// Namespace is the function's. Default k8s_namespace_name,
	// kubernetes_namespace_name, namespace_name, service_namespace.
	Namespace []string `yaml:"namespace"`
	// Version is the function's. Default faas_version, service_version,
	// app_kubernetes_io_version.
	Version []string `yaml:"version"`
	// Instance names the container. Default faas_instance, container_id,
	// service_instance_id, pod, pod_name, k8s_pod_name, kubernetes_pod_name.
	Instance []string `yaml:"instance"`
	// Host is where the container runs. Default hostname, host_name,
	// node_name, k8s_node_name, node, kubernetes_host.
	Host []string `yaml:"host"`
	// Stream is stdout or stderr; any other value is refused, and no label at all
	// means stdout. Default log_iostream.
	Stream []string `yaml:"stream"`
}

// Limits bound what one tenant sends.
type Limits struct {
	// LineBytes is the longest body of a line; what is behind it is cut and
	// counted in the line. Default 1 MiB.
	LineBytes int `yaml:"line_bytes"`
	// LabelNames is how many labels a stream has at most. Default 64.
	LabelNames int `yaml:"label_names"`
	// LabelNameBytes is the longest name of a label or an attribute. Default 1024.
	LabelNameBytes int `yaml:"label_name_bytes"`
	// LabelValueBytes is the longest value of a label. Default 2048.
	LabelValueBytes int `yaml:"label_value_bytes"`
	// Attributes is how many attributes (Loki: structured metadata) a line has
	// at most, those of its stream or resource included. Default 128.
	Attributes int `yaml:"attributes"`
	// AttributeBytes bounds names and values of a line's attributes. Default 65536.
	AttributeBytes int `yaml:"attribute_bytes"`
	// RejectOlder refuses lines that are older when they arrive. Default 0: none.
	RejectOlder time.Duration `yaml:"reject_older"`
	// RejectNewer refuses lines that are further in the future. Default 10m;
	// 0 accepts all.
	RejectNewer time.Duration `yaml:"reject_newer"`
	// Rate is how many bytes of lines, attributes and events are taken a second;
	// requests above it are answered 429. Default 0: no limit.
	Rate int `yaml:"rate"`
	// Burst is how many bytes may come at once after a quiet time. A request
	// larger than that takes all of it, and what is missing of the next ones'.
	// Default 16 MiB.
	Burst int `yaml:"burst"`
}

// DefaultConfig serves the usual senders: Promtail, Alloy, Fluent Bit, Vector
// and the OpenTelemetry Collector.
func DefaultConfig() Config {
	return Config{
		BodyBytes: wire.MaxPushBytes, InflatedBytes: wire.MaxPushInflated, FaaSSpans: true,
		Labels: Labels{
			Function: []string{
				"faas_name", "service_name", "service", "app", "application", "app_name", "name",
				"app_kubernetes_io_name", "container", "container_name", "k8s_container_name", "component", "workload",
				"job", "k8s_job_name",
			},
			Namespace: []string{"k8s_namespace_name", "kubernetes_namespace_name", "namespace_name", "service_namespace"},
			Version:   []string{"faas_version", "service_version", "app_kubernetes_io_version"},
			Instance: []string{
				"faas_instance", "container_id", "service_instance_id",
				"pod", "pod_name", "k8s_pod_name", "kubernetes_pod_name",
			},
			Host:   []string{"hostname", "host_name", "node_name", "k8s_node_name", "node", "kubernetes_host"},
			Stream: []string{"log_iostream"},
		},
		Limits: Limits{
			LineBytes: 1 << 20, LabelNames: 64, LabelNameBytes: 1024, LabelValueBytes: 2048,
			Attributes: 128, AttributeBytes: 64 << 10, RejectNewer: 10 * time.Minute, Burst: 16 << 20,
		},
	}
}

// Validate tells all that is wrong with c, nil if nothing is. Each problem
// begins with the key that it is about.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.BodyBytes < 1<<10 || c.BodyBytes > wire.MaxPushInflated {
		bad("body_bytes", "%d is not between 1024 and %d", c.BodyBytes, wire.MaxPushInflated)
	}
	if c.InflatedBytes < 1<<10 || c.InflatedBytes > wire.MaxPushInflated {
		bad("inflated_bytes", "%d is not between 1024 and %d", c.InflatedBytes, wire.MaxPushInflated)
	}
	c.Limits.validate("limits", 1, bad)
	if l := &c.Limits; l.RejectOlder < 0 || l.RejectNewer < 0 || l.Rate < 0 {
		bad("limits", "reject_older, reject_newer and rate are not negative; 0 is for no limit")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tenants)) {
		own := c.Tenants[name]
		own.validate("tenants."+name, 0, bad)
	}
	return errors.Join(errs...)
}

// validate checks the limits that are sizes: each is at least least, unless it
// is to be as for all.
func (l *Limits) validate(at string, least int, bad func(key, format string, args ...any)) {
	for _, f := range []struct {
		key        string
		value, max int
	}{
		{"line_bytes", l.LineBytes, wire.MaxPushInflated},
		{"label_names", l.LabelNames, wire.MaxLabels},
		{"label_name_bytes", l.LabelNameBytes, 64 << 10},
		{"label_value_bytes", l.LabelValueBytes, 64 << 10},
		{"attributes", l.Attributes, 1 << 10},
		{"attribute_bytes", l.AttributeBytes, 1 << 20},
		{"burst", l.Burst, 1 << 40},
	} {
		if f.value < least || f.value > f.max {
			bad(at+"."+f.key, "%d is not between 1 and %d", f.value, f.max)
		}
	}
}

// limits gives the limits of a tenant.
func (c *Config) limits(tenant string) Limits {
	own, ok := c.Tenants[tenant]
	if !ok {
		return c.Limits
	}
	all := &c.Limits
	return Limits{
		LineBytes: cmp.Or(own.LineBytes, all.LineBytes), LabelNames: cmp.Or(own.LabelNames, all.LabelNames),
		LabelNameBytes: cmp.Or(own.LabelNameBytes, all.LabelNameBytes), LabelValueBytes: cmp.Or(own.LabelValueBytes, all.LabelValueBytes),
		Attributes: cmp.Or(own.Attributes, all.Attributes), AttributeBytes: cmp.Or(own.AttributeBytes, all.AttributeBytes),
		RejectOlder: max(cmp.Or(own.RejectOlder, all.RejectOlder), 0), RejectNewer: max(cmp.Or(own.RejectNewer, all.RejectNewer), 0),
		Rate: max(cmp.Or(own.Rate, all.Rate), 0), Burst: cmp.Or(own.Burst, all.Burst),
	}
}
