package main

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/coldscope/coldscope/cmd/internal/collectorcmd"
	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/dashboards/console"
	"github.com/coldscope/coldscope/query"
	"github.com/coldscope/coldscope/query/scf"
)

func addStoreFlags(set *pflag.FlagSet, f *process.Flags) {
	f.Add(set)
	set.String("clickhouse", "", "`DSN` of a ClickHouse server (clickhouse://user:password@host:9000/db) instead of the embedded engine")
	set.String("cluster", "", "`NAME` of a cluster of that server's, over which the store is spread")
}

func setup(cmd *cobra.Command, c *process.Config, f *process.Flags) process.Setup {
	return process.Setup{
		Service: cmd.Name(), Version: version, DataDir: c.DataDir, Verbose: f.Verbose, Access: c.Access, TLS: c.TLS,
		Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
	}
}

// loader reads the configuration again.
type loader = func() (process.Config, error)

// service makes the command of a service over a store; build starts it.
func service(cmd *cobra.Command, build func(context.Context, *process.Process, *config, driver.Conn, loader) error) *cobra.Command {
	var f process.Flags
	addStoreFlags(cmd.Flags(), &f)
	profile := cmd.Flags().Bool("pprof", false, "serve Go's profiles at /debug/pprof/ of the HTTP port")
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(&f, cmd.Flags())
		if err != nil {
			return err
		}
		return process.Main(cmd.Context(), setup(cmd, &c.Config, &f), func(ctx context.Context, p *process.Process) error {
			conn, err := openStore(ctx, p, &c.Config)
			if err != nil {
				return err
			}
			load := func() (process.Config, error) { return f.Load(cmd.Flags()) }
			if err := build(ctx, p, &c, conn, load); err != nil {
				return err
			}
			if *profile {
				p.Profile()
			}
			if err := p.Serve(ctx, c.Listen); err != nil {
				return err
			}
			p.Ready()
			return nil
		})
	}
	return cmd
}

func aggregatorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "aggregator",
		Short: "Run the aggregator alone: takes lines and events in, merges them, writes them",
	}
	addAggregatorFlags(cmd.Flags())
	return service(cmd, func(ctx context.Context, p *process.Process, c *config, conn driver.Conn, _ loader) error {
		_, err := startAggregator(ctx, p, &c.Aggregator, conn)
		return err
	})
}

func queryService() *cobra.Command {
	cmd := &cobra.Command{Use: "query"}
	addQueryFlags(cmd.Flags())
	return service(cmd, func(ctx context.Context, p *process.Process, c *config, conn driver.Conn, _ loader) error {
		return startQuery(ctx, p, &c.Query, &c.SCF, conn)
	})
}

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: engine, aggregator, query service, console and this host's collector",
	}
	addAggregatorFlags(cmd.Flags())
	addQueryFlags(cmd.Flags())
	return service(cmd, func(ctx context.Context, p *process.Process, c *config, conn driver.Conn, load loader) error {
		if err := startQuery(ctx, p, &c.Query, &c.SCF, conn); err != nil {
			return err
		}
		a, err := startAggregator(ctx, p, &c.Aggregator, conn)
		if err != nil {
			return err
		}
		running, err := collectorcmd.Start(ctx, p, c.Config, load, collectorcmd.Into(a))
		if err != nil {
			return err
		}
		p.Mux.Handle("/api/v1/collector/", running.Handler())
		return nil
	})
}

func collectorCommand() *cobra.Command { return collectorcmd.New("collector", version) }

func addQueryFlags(set *pflag.FlagSet) {
	set.String("scf-keys", "", "`FILE` of keys for Tencent's SCF API, which is served on POST / with it")
}

func startQuery(ctx context.Context, p *process.Process, c *query.Config, api *process.SCF, conn driver.Conn) error {
	var keys *scf.Keys
	if api.Keys != "" {
		var err error
		if keys, err = scf.OpenKeys(api.Keys, p.Logger, p.Registry); err != nil {
			return err
		}
		p.Run(ctx, "SCF keys' watch", keys.Run)
	}
	q, err := query.New(*c, conn, keys, p.Logger, p.Registry)
	if err != nil {
		return err
	}
	p.OnLeave(q.EndTails)
	p.Mux.Handle("/api/v1/", q.Handler())
	p.Mux.Handle("/loki/api/v1/", q.Handler())
	p.Mux.Handle("/", q.SCF(console.Handler()))
	return nil
}
