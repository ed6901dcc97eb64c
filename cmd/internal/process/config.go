package process

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/conf"
	"github.com/coldscope/coldscope/internal/storage"
	"github.com/coldscope/coldscope/internal/wire"
)

// Config is the configuration file, the same for all commands. What a command
// does not use it ignores; a key that nobody knows is refused.
type Config struct {
	// DataDir is for everything that has to survive a restart. Default
	// /var/lib/coldscope for root, else ~/.local/state/coldscope.
	DataDir string `yaml:"data_dir"`
	// Listen is HOST:PORT of the HTTP port. Default 127.0.0.1:9480.
	Listen string `yaml:"listen"`
	// Access says who may use the HTTP port, and any other of the process.
	Access access.Config `yaml:"access"`
	// TLS is what the HTTP port speaks, and any other.
	TLS wire.ServerTLS `yaml:"tls"`
	// ClickHouse is the DSN of a server. Default: the embedded engine.
	ClickHouse string `yaml:"clickhouse"`
	// Cluster spreads the store over the servers of one of its clusters.
	Cluster Cluster `yaml:"cluster"`
	// SCF says who may ask the query service as they ask Tencent Cloud.
	SCF SCF `yaml:"scf"`
	// Target is the URL of the aggregator, for a collector alone.
	Target string `yaml:"target"`
	// Targets are several instead, or one about which there is more to say.
	Targets []wire.Options `yaml:"targets"`
	// Collector is the collector's section.
	Collector collector.Config `yaml:"collector"`
	// Aggregator is the aggregator's section. A collector's binary, which must not
	// link the aggregator, does not look into it.
	Aggregator any `yaml:"aggregator"`
	// Query is the query service's section.
	Query any `yaml:"query"`
	// Retention says for how long data is kept.
	Retention storage.Retention `yaml:"retention"`
	// Tiering says where older data moves.
	Tiering storage.Tiering `yaml:"tiering"`
}

// SCF is what Tencent Cloud's SDKs and command lines ask.
type SCF struct {
	// Keys is the file of the keys that they sign with, and whose data each
	// reads. It is read again when it changes and on SIGHUP; one that is wrong
	// changes nothing. Default none: the API is not served.
	Keys string `yaml:"keys"`
}

// Cluster is over which servers the store is spread.
type Cluster struct {
	// Name is the cluster's in the servers' remote_servers. Default: one server.
	Name string `yaml:"name"`
	// Replicated is on for replicated tables, which need Keeper and the macros
	// shard and replica; off for one server a shard; auto for on where the
	// servers have Keeper. Default auto.
	Replicated string `yaml:"replicated"`
}

func (c *Config) validate() error {
	problems := append(under("access", c.Access.Validate()), under("tls", c.TLS.Validate())...)
	problems = append(problems, c.Collector.Validate(), c.Retention.Validate(), c.Tiering.Validate())
	for i, t := range c.Targets {
		if err := t.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("targets[%d]: %w", i, err))
		}
	}
	if c.Cluster.Name != "" && c.ClickHouse == "" {
		problems = append(problems, errors.New("cluster.name: a cluster needs the DSN of one of its servers: say clickhouse (--clickhouse), too"))
	}
	if !slices.Contains([]string{"", "auto", "on", "off"}, c.Cluster.Replicated) {
		problems = append(problems, fmt.Errorf("cluster.replicated: %q is none of auto, on, off", c.Cluster.Replicated))
	}
	return errors.Join(problems...)
}

// Load reads the configuration file and lays the flags over it: a flag on the
// command line wins, then the file, then the flag's default.
func (f *Flags) Load(set *pflag.FlagSet) (Config, error) {
	var c Config
	if err := conf.Load(f.Config, &c); err != nil {
		return Config{}, err
	}
	for name, value := range map[string]*string{
		"data-dir": &c.DataDir, "listen": &c.Listen, "clickhouse": &c.ClickHouse, "cluster": &c.Cluster.Name, "target": &c.Target, "access": &c.Access.File, "scf-keys": &c.SCF.Keys,
		"socket": &c.Collector.Socket, "collector-socket": &c.Collector.Socket, "host": &c.Collector.Host,
	} {
		if flag := set.Lookup(name); flag != nil && (flag.Changed || *value == "") {
			*value = flag.Value.String()
		}
	}
	if err := conf.Locate(f.Config, c.validate()); err != nil {
		return Config{}, err
	}
	return c, nil
}

// under gives the errors of a section's Validate the section's key.
func under(section string, err error) (out []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{fmt.Errorf("%s.%w", section, err)}
	}
	for _, e := range joined.Unwrap() {
		out = append(out, fmt.Errorf("%s.%w", section, e))
	}
	return out
}
