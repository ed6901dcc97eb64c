package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/storage"
)

// openStore gives a connection to a migrated store: the server or cluster that the configuration
// names, else an embedded engine of this process's own.
func openStore(ctx context.Context, p *process.Process, c *process.Config) (driver.Conn, error) {
	dsn := c.ClickHouse
	if dsn == "" {
		cold, err := coldPlace(&c.Tiering)
		if err != nil {
			return nil, err
		}
		engine, err := embedded.Start(ctx, embedded.Options{DataDir: filepath.Join(c.DataDir, "clickhouse"), Cold: cold, Logger: p.Logger})
		if err != nil {
			return nil, err
		}
		p.OnStop("engine", engine.Close)
		p.Run(ctx, "engine's watch", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-engine.Done():
				return engine.Err()
			}
		})
		dsn = engine.DSN()
	}
	conn, err := prepare(ctx, dsn, schema.Cluster(c.Cluster))
	if err != nil {
		return nil, err
	}
	p.OnStop("store", func(context.Context) error { return conn.Close() })
	if c.Tiering.On() {
		if err := schema.Tier(ctx, conn, c.Tiering.Days()); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// coldPlace is where the embedded engine's older data goes; nil: nowhere.
func coldPlace(t *storage.Tiering) (*embedded.Cold, error) {
	if !t.On() {
		return nil, nil
	}
	cold := &embedded.Cold{Path: t.Path, Endpoint: t.Endpoint, Region: t.Region, AccessKeyID: t.AccessKeyID}
	if t.SecretAccessKeyFile != "" {
		secret, err := os.ReadFile(t.SecretAccessKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read tiering.secret_access_key_file: %w", err)
		}
		cold.Secret = strings.TrimSpace(string(secret))
	}
	return cold, nil
}

func prepare(ctx context.Context, dsn string, cluster schema.Cluster) (driver.Conn, error) {
	if cluster.Name == "" {
		return schema.Prepare(ctx, dsn)
	}
	return schema.PrepareCluster(ctx, dsn, cluster)
}

func migrateCommand() *cobra.Command {
	var f process.Flags
	var move bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store to this binary's schema, and end",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.Load(cmd.Flags())
			if err != nil {
				return err
			}
			return process.Once(cmd.Context(), setup(cmd, &c, &f), func(ctx context.Context, p *process.Process) error {
				conn, err := openStore(ctx, p, &c)
				if err != nil {
					return err
				}
				if move {
					if err := moveRows(ctx, p, conn); err != nil {
						return err
					}
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "the store is at schema version %d\n", schema.Version())
				return err
			})
		},
	}
	addStoreFlags(cmd.Flags(), &f)
	cmd.Flags().BoolVar(&move, "move", false, "then move rows to the shards that they belong to, after the cluster's shards were changed and all aggregators were started again")
	return cmd
}

func moveRows(ctx context.Context, p *process.Process, conn driver.Conn) error {
	cluster, ok := conn.(*clickhouse.Cluster)
	if !ok {
		return errors.New("--move needs a cluster: say --cluster, too")
	}
	return schema.Move(ctx, cluster, func(table, partition string, shard int, rows uint64) {
		p.Logger.InfoContext(ctx, "moved rows to other shards", "table", table, "partition", partition, "from_shard", shard, "rows", rows)
	})
}

func engineCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "engine", Short: "Manage the embedded ClickHouse engine (libchdb)"}
	cmd.AddCommand(&cobra.Command{
		Use:   "install",
		Short: "Install the pinned engine into the user's cache; does nothing if it is there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := embedded.Install(cmd.Context(), cmd.ErrOrStderr())
			return err
		},
	})
	return cmd
}
