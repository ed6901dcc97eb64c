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
	conn    driver.Conn
	logger  *slog.Logger
	onRetry func()
}

// NewWriter writes through conn and calls onRetry before each further try.
func NewWriter(conn driver.Conn, logger *slog.Logger, onRetry func()) *Writer {
	return &Writer{conn, logger, onRetry}
}

// Write returns when all of b is stored. While the engine is away it tries
// again for ever, until ctx ends; other errors are permanent.
func (w *Writer) Write(ctx context.Context, b *Batch) error {
	g, ctx := errgroup.WithContext(ctx)
	each(g, ctx, w, &schema.ColdStarts, b.ColdStarts, nil)
	each(g, ctx, w, &schema.Phases, b.Phases, func(r *schema.PhaseRow) time.Time { return r.Start })
	each(g, ctx, w, &schema.Layers, b.Layers, nil)
	each(g, ctx, w, &schema.Invocations, b.Invocations, func(r *schema.InvocationRow) time.Time { return r.StartedAt })
	each(g, ctx, w, &schema.Ledgers, b.Ledgers, nil)
	each(g, ctx, w, &schema.Gaps, b.Gaps, nil)
	each(g, ctx, w, &schema.Logs, b.Logs, func(r *schema.LogRow) time.Time { return r.Time })
	return g.Wait()
}

// each writes rows in one insert per day: a token covers one partition only.
func each[T any](g *errgroup.Group, ctx context.Context, w *Writer, t *schema.Table[T], rows []T, at func(*T) time.Time) {
	for _, part := range byDay(rows, at) {
		g.Go(func() error { return write(ctx, w, t, part) })
	}
}

func byDay[T any](rows []T, at func(*T) time.Time) map[int64][]T {
	const day = 24 * 60 * 60
	days := map[int64][]T{}
	if len(rows) == 0 {
		return days
	}
	first := int64(0)
	one := true
	if at != nil {
		first = at(&rows[0]).Unix() / day
		for i := range rows {
			one = one && at(&rows[i]).Unix()/day == first
		}
	}
	if one {
		days[first] = rows
		return days
	}
	for i := range rows {
		d := at(&rows[i]).Unix() / day
		days[d] = append(days[d], rows[i])
	}
	return days
}

func write[T any](ctx context.Context, w *Writer, t *schema.Table[T], rows []T) error {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{
		"insert_deduplication_token": uuid.NewString(), "async_insert": 0,
		"optimize_on_insert": 0, // folding rows is for merges and for FINAL: here it costs a fifth of an insert, for nothing
		"deduplicate_blocks_in_dependent_materialized_views": 1, // or a second try does not mark what a first one did not come to
	}))
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := t.Insert(ctx, w.conn, rows)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("insert %d rows into %s: %w", len(rows), t.Name, errors.Join(context.Cause(ctx), err))
		case !clickhouse.Retryable(err):
			return fmt.Errorf("insert %d rows into %s: %w", len(rows), t.Name, err)
		}
		w.onRetry()
		jittered := wait/2 + rand.N(wait)
		w.logger.WarnContext(ctx, "the engine did not take an insert, trying again", "table", t.Name, "rows", len(rows), "wait", jittered, "error", err)
		select {
		case <-time.After(jittered):
		case <-ctx.Done():
		}
	}
}
