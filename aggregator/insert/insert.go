// Package insert writes settled rows to ClickHouse: columnar blocks, one
// insert per table and day, each with a deduplication token, so that a retry
// whose first try did arrive adds nothing.
package insert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/schema"
)

// Batch is what is written together.
type Batch struct {
	Logs        []schema.LogRow
	Invocations []schema.InvocationRow
	ColdStarts  []schema.ColdStartRow
	Phases      []schema.PhaseRow
	Layers      []schema.LayerRow
	Ledgers     []schema.LedgerRow
	Gaps        []schema.GapRow
}

// Rows counts the rows of all tables.
func (b *Batch) Rows() int {
	return len(b.Logs) + len(b.Invocations) + len(b.ColdStarts) + len(b.Phases) + len(b.Layers) + len(b.Ledgers) + len(b.Gaps)
}

// Backoff between two tries.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 5 * time.Second
)

// Writer writes batches. It is safe for concurrent use.
type Writer struct {
	target  target
	logger  *slog.Logger
	onRetry func()
}

// NewWriter writes through conn and calls onRetry before each further try.
// Where conn is a *clickhouse.Cluster it writes to the local tables of each
// row's shard.
func NewWriter(conn driver.Conn, logger *slog.Logger, onRetry func()) *Writer {
	return &Writer{targetOf(conn), logger, onRetry}
}

// Write returns when all of b is stored. While an engine is away it tries
// again for ever, until ctx ends; other errors are permanent.
func (w *Writer) Write(ctx context.Context, b *Batch) error {
	g, ctx := errgroup.WithContext(ctx)
	each(g, ctx, w, &schema.ColdStarts, b.ColdStarts, func(r *schema.ColdStartRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(g, ctx, w, &schema.Phases, b.Phases, func(r *schema.PhaseRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.Start
	})
	each(g, ctx, w, &schema.Layers, b.Layers, func(r *schema.LayerRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(g, ctx, w, &schema.Invocations, b.Invocations, func(r *schema.InvocationRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.StartedAt
	})
	each(g, ctx, w, &schema.Ledgers, b.Ledgers, func(r *schema.LedgerRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(g, ctx, w, &schema.Gaps, b.Gaps, func(r *schema.GapRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(g, ctx, w, &schema.Logs, b.Logs, func(r *schema.LogRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.Time
	})
	return g.Wait()
}

// each writes rows in one insert per shard and day: a token covers one
// partition of one table only. place says where a row belongs; the time is
// zero in a table without partitions.
func each[T any](g *errgroup.Group, ctx context.Context, w *Writer, t *schema.Table[T], rows []T, place func(*T) (function, time.Time)) {
	for p, part := range split(&w.target, rows, place) {
		g.Go(func() error { return write(ctx, w, p.shard, t, part) })
	}
}

// write sends rows until a server of the shard has them. It goes on to the
// shard's next server after each failure: one may be away, and the token
// is the shard's, so that it does not matter which of them took a lost try.
func write[T any](ctx context.Context, w *Writer, shard int, t *schema.Table[T], rows []T) error {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{
		"insert_deduplication_token": uuid.NewString(), "async_insert": 0,
		"optimize_on_insert": 0, // folding rows is for merges and for FINAL: here it costs a fifth of an insert, for nothing
		"deduplicate_blocks_in_dependent_materialized_views": 1, // or a second try does not mark what a first one did not come to
	}))
	local := *t
	local.Name = w.target.table(t.Name)
	servers := w.target.shards[shard]
	wait := firstWait
	for try := 1; ; try++ {
		err := local.Insert(ctx, servers[(try-1)%len(servers)], rows)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("insert %d rows into %s: %w", len(rows), t.Name, errors.Join(context.Cause(ctx), err))
		case !clickhouse.Retryable(err):
			return fmt.Errorf("insert %d rows into %s: %w", len(rows), t.Name, err)
		}
		w.onRetry()
		if try%len(servers) != 0 {
			w.logger.WarnContext(ctx, "a server did not take an insert, trying another one", "table", t.Name, "rows", len(rows), "shard", shard, "error", err)
			continue
		}
		jittered := wait/2 + rand.N(wait)
		w.logger.WarnContext(ctx, "the engine did not take an insert, trying again", "table", t.Name, "rows", len(rows), "shard", shard, "wait", jittered, "error", err)
		select {
		case <-time.After(jittered):
		case <-ctx.Done():
		}
		wait = min(2*wait, maxWait)
	}
}
