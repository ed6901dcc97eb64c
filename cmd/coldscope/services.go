package main

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/cmd/internal/collectorcmd"
	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/dashboards/console"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query"
)

func addStoreFlags(set *pflag.FlagSet, f *process.Flags) {
	f.Add(set)
	set.String("clickhouse", "", "`DSN` of a ClickHouse server (clickhouse://user:password@host:9000/db) instead of the embedded engine")
	set.String("cluster", "", "`NAME` of a cluster of that server's, over which the store is spread")
}

func setup(cmd *cobra.Command, c *process.Config, f *process.Flags) process.Setup {
	return process.Setup{
		Service: cmd.Name(), Version: version, DataDir: c.DataDir, Verbose: f.Verbose,
		Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
	}
}

// loader reads the configuration again.
type loader = func() (process.Config, error)

// service makes the command of a service over a store; build starts it.
func service(cmd *cobra.Command, build func(context.Context, *process.Process, *process.Config, driver.Conn, loader) error) *cobra.Command {
	var f process.Flags
	addStoreFlags(cmd.Flags(), &f)
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := f.Load(cmd.Flags())
		if err != nil {
			return err
		}
		return process.Main(cmd.Context(), setup(cmd, &c, &f), func(ctx context.Context, p *process.Process) error {
			conn, err := openStore(ctx, p, &c)
			if err != nil {
				return err
			}
			load := func() (process.Config, error) { return f.Load(cmd.Flags()) }
			if err := build(ctx, p, &c, conn, load); err != nil {
				return err
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
	return service(&cobra.Command{
		Use:   "aggregator",
		Short: "Run the aggregator alone: takes lines and events in, merges them, writes them",
	}, func(ctx context.Context, p *process.Process, c *process.Config, conn driver.Conn, _ loader) error {
		startAggregator(ctx, p, c, conn)
		return nil
	})
}

func queryCommand() *cobra.Command {
	return service(&cobra.Command{Use: "query", Short: "Run the query service alone: the API and the console"},
		func(_ context.Context, p *process.Process, _ *process.Config, conn driver.Conn, _ loader) error {
			return startQuery(p, conn)
		})
}

func serveCommand() *cobra.Command {
	return service(&cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: engine, aggregator, query service, console and this host's collector",
	}, func(ctx context.Context, p *process.Process, c *process.Config, conn driver.Conn, load loader) error {
		if err := startQuery(p, conn); err != nil {
			return err
		}
		a := startAggregator(ctx, p, c, conn)
		running, err := collectorcmd.Start(ctx, p, *c, load, collectorcmd.Into(a))
		if err != nil {
			return err
		}
		p.Mux.Handle("/api/v1/collector/", running.Handler())
		return nil
	})
}

func collectorCommand() *cobra.Command { return collectorcmd.New("collector", version) }

func startAggregator(ctx context.Context, p *process.Process, c *process.Config, conn driver.Conn) *aggregator.Aggregator {
	cfg := aggregator.DefaultConfig()
	if c.ClickHouse != "" { // others may write to a server, too
		cfg = aggregator.Shared()
	}
	a := aggregator.New(cfg, conn, p.Logger, p.Registry, p.Tracing)
	p.Run(ctx, "aggregator", a.Run)
	intake := a.Handler()
	p.Mux.Handle("POST "+wire.PathPush, intake)
	p.Mux.Handle("POST "+wire.PathEvents, intake)
	return a
}

func startQuery(p *process.Process, conn driver.Conn) error {
	q, err := query.New(query.DefaultConfig(), conn, p.Logger, p.Registry)
	if err != nil {
		return err
	}
	p.Mux.Handle("/api/v1/", q.Handler())
	p.Mux.Handle("/", console.Handler())
	return nil
}
