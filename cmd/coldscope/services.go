package main

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/dashboards/console"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query"
)

// service makes the command of a service that uses the store.
func service(use, short string, build func(context.Context, *process.Process, driver.Conn) error) *cobra.Command {
	var f serviceFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.load(cmd); err != nil {
				return err
			}
			return process.Main(cmd.Context(), &f.Flags, use, version, cmd.OutOrStdout(), cmd.ErrOrStderr(), func(ctx context.Context, p *process.Process) error {
				conn, err := openStore(ctx, p, f.DataDir, f.clickhouse)
				if err != nil {
					return err
				}
				if err := build(ctx, p, conn); err != nil {
					return err
				}
				if err := p.Serve(ctx, f.Listen); err != nil {
					return err
				}
				p.Ready()
				return nil
			})
		},
	}
	f.add(cmd.Flags())
	return cmd
}

func aggregatorCommand() *cobra.Command {
	return service("aggregator", "Run the aggregator alone: takes lines and events in, merges them, writes them",
		func(ctx context.Context, p *process.Process, conn driver.Conn) error {
			startAggregator(ctx, p, conn)
			return nil
		})
}

func queryCommand() *cobra.Command {
	return service("query", "Run the query service alone: the API and the console", startQuery)
}

func startAggregator(ctx context.Context, p *process.Process, conn driver.Conn) *aggregator.Aggregator {
	a := aggregator.New(aggregator.DefaultConfig(), conn, p.Logger, p.Registry, p.Tracing)
	p.Run(ctx, "aggregator", a.Run)
	intake := a.Handler()
	p.Mux.Handle("POST "+wire.PathPush, intake)
	p.Mux.Handle("POST "+wire.PathEvents, intake)
	return a
}

func startQuery(_ context.Context, p *process.Process, conn driver.Conn) error {
	q, err := query.New(query.DefaultConfig(), conn, p.Logger, p.Registry)
	if err != nil {
		return err
	}
	p.Mux.Handle("/api/v1/", q.Handler())
	p.Mux.Handle("/", console.Handler())
	return nil
}
