package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/internal/conf"
)

// config is the configuration file of the services that use the store. The
// collector's is its own.
type config struct {
	DataDir    string `yaml:"data_dir"`   // for everything that has to survive a restart
	Listen     string `yaml:"listen"`     // HOST:PORT of the HTTP port
	ClickHouse string `yaml:"clickhouse"` // DSN of a server; empty: the embedded engine
}

// serviceFlags are those of every command that uses the store.
type serviceFlags struct {
	process.Flags
	clickhouse string
}

func (f *serviceFlags) add(set *pflag.FlagSet) {
	f.Add(set)
	set.StringVar(&f.clickhouse, "clickhouse", "", "`DSN` of a ClickHouse server (clickhouse://user:password@host:9000/db) instead of the embedded engine")
}

// load reads the configuration file under the flags: what a flag says on the
// command line wins.
func (f *serviceFlags) load(cmd *cobra.Command) error {
	var c config
	if err := conf.Load(f.Config, &c); err != nil {
		return err
	}
	for name, field := range map[string]struct{ flag, file *string }{
		"data-dir": {&f.DataDir, &c.DataDir}, "listen": {&f.Listen, &c.Listen}, "clickhouse": {&f.clickhouse, &c.ClickHouse},
	} {
		if *field.file != "" && !cmd.Flags().Changed(name) {
			*field.flag = *field.file
		}
	}
	return nil
}
