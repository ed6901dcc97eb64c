package deliver

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// DefaultURL is where an aggregator listens on the same host.
const DefaultURL = "http://127.0.0.1:9480"

// Config says where records go and which of their keys mean what.
type Config struct {
	URL     string        // of the aggregator, without a path
	Tenant  string        // owns every line
	Timeout time.Duration // of one push
	LogKeys []string      // of the record's text; a record without one is sent whole, as JSON

	Namespace, Function, Version, Instance, Stream, Host, RequestID Field
}

// Field says where a line's property comes from.
type Field struct {
	Keys  []string // of the record, the first one that is there counts; a dot goes one map down
	Value string   // of a record that has none of Keys
}

// defaults are the keys of Fluent Bit's kubernetes filter, then those of
// Docker's fluentd log driver.
func defaults() Config {
	return Config{
		URL: DefaultURL, Tenant: faas.DefaultTenant, Timeout: 30 * time.Second,
		LogKeys:   []string{"log"},
		Namespace: Field{Keys: []string{"kubernetes.namespace_name"}},
		Function:  Field{Keys: []string{"kubernetes.container_name", "container_name"}},
		Version:   Field{Keys: []string{"kubernetes.pod_name"}},
		Instance:  Field{Keys: []string{"kubernetes.pod_id", "container_id"}},
		Stream:    Field{Keys: []string{"stream", "source"}, Value: string(faas.Stdout)},
		Host:      Field{Keys: []string{"kubernetes.host"}},
	}
}

// ParseConfig reads the plugin's section of Fluent Bit's configuration through
// get, which gives "" for a property that is not there. Its error names every
// problem.
//
// A property NAME (namespace, function, version, instance, stream, host,
// request_id) holds a value for all records; NAME_key holds the keys to take
// it from, separated by commas. With both, the value stands in for a missing key.
func ParseConfig(get func(string) string) (Config, error) {
	c := defaults()
	var errs []error
	if v := get("url"); v != "" {
		c.URL = strings.TrimRight(v, "/")
	}
	if u, err := url.Parse(c.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	} else if strings.HasSuffix(u.Path, wire.PathPush) {
		errs = append(errs, fmt.Errorf("url %s: leave %s out, it is added", c.URL, wire.PathPush))
	}
	if v := get("tenant"); v != "" {
		c.Tenant = v
	}
	if v := get("timeout"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			errs = append(errs, fmt.Errorf("timeout %q: want a duration such as 30s", v))
		}
		c.Timeout = d
	}
	if v := get("log_key"); v != "" {
		c.LogKeys = keys(v)
	}
	if host, err := os.Hostname(); err == nil {
		c.Host.Value = host
	}
	for name, f := range map[string]*Field{
		wire.LabelNamespace: &c.Namespace, wire.LabelFunction: &c.Function, wire.LabelVersion: &c.Version,
		wire.LabelInstance: &c.Instance, wire.LabelStream: &c.Stream, wire.LabelHost: &c.Host, wire.MetaRequestID: &c.RequestID,
	} {
		value, key := get(name), get(name+"_key")
		if value != "" {
			*f = Field{Value: value}
		}
		if key != "" {
			f.Keys = keys(key)
		}
	}
	if s := c.Stream.Value; s != string(faas.Stdout) && s != string(faas.Stderr) {
		errs = append(errs, fmt.Errorf("stream %q: want stdout or stderr", s))
	}
	return c, errors.Join(errs...)
}

// keys splits a list of keys.
func keys(list string) []string {
	var ks []string
	for k := range strings.SplitSeq(list, ",") {
		if k = strings.TrimSpace(k); k != "" {
			ks = append(ks, k)
		}
	}
	return ks
}

// of gives the field's value in a record, and whether it came from a key.
func (f *Field) of(body mapping) (value string, fromKey bool) {
	for _, k := range f.Keys {
		if v, ok := body.lookup(k); ok {
			if s, ok := scalarText(v); ok && s != "" {
				return strings.ToValidUTF8(s, "\uFFFD"), true
			}
		}
	}
	return f.Value, false
}

// lookup finds a value by a key, or by keys with dots between them.
func (m mapping) lookup(path string) (any, bool) {
	for _, p := range m {
		if p.key == path {
			return p.value, true
		}
	}
	head, rest, dotted := strings.Cut(path, ".")
	if !dotted {
		return nil, false
	}
	for _, p := range m {
		if p.key == head {
			if inner, ok := p.value.(mapping); ok {
				return inner.lookup(rest)
			}
		}
	}
	return nil, false
}
