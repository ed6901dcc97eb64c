// Package insert writes settled rows to ClickHouse: columnar blocks, one
// insert per table and day, each with a deduplication token, so that a retry
// whose first try did arrive adds nothing. It marks the minutes whose figures
// have to be computed again.
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
	// Lease is for how long minutes are marked ahead; DefaultLease if not changed
	// before the first use.
	Lease time.Duration

	target  target
	logger  *slog.Logger
	onRetry func()
	leases  []leases // by shard
}

// NewWriter writes through conn and calls onRetry before each further try.
// Where conn is a *clickhouse.Cluster it writes to the local tables of each
// row's shard.
func NewWriter(conn driver.Conn, logger *slog.Logger, onRetry func()) *Writer {
	w := &Writer{Lease: DefaultLease, target: targetOf(conn), logger: logger, onRetry: onRetry}
	w.leases = make([]leases, len(w.target.shards))
	return w
}

// Write returns when all of b is stored and its minutes are marked. While an
// engine is away it tries again for ever, until ctx ends; other errors are
// permanent. What is another shard's is stored meanwhile.
func (w *Writer) Write(ctx context.Context, b *Batch) error {
	g, ctx := errgroup.WithContext(ctx)
	for shard, part := range w.divide(b) {
		g.Go(func() error { return w.writeShard(ctx, shard, part) })
	}
	return g.Wait()
}

// work is what a batch brings to one shard.
type work struct {
	marks   map[mark]bool
	inserts []func(context.Context) error
}

func (w *Writer) writeShard(ctx context.Context, shard int, part *work) error {
	if err := w.cover(ctx, shard, part.marks); err != nil {
		return err
	}
	g, rows := errgroup.WithContext(ctx)
	for _, insert := range part.inserts {
		g.Go(func() error { return insert(rows) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return w.cover(ctx, shard, part.marks) // some leases may have ended meanwhile
}

// divide gives the work by shard.
func (w *Writer) divide(b *Batch) map[int]*work {
	all := map[int]*work{}
	each(all, w, &schema.ColdStarts, b.ColdStarts, func(r *schema.ColdStartRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(all, w, &schema.Phases, b.Phases, func(r *schema.PhaseRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.Start
	})
	each(all, w, &schema.Layers, b.Layers, func(r *schema.LayerRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(all, w, &schema.Invocations, b.Invocations, func(r *schema.InvocationRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.StartedAt
	})
	each(all, w, &schema.Ledgers, b.Ledgers, func(r *schema.LedgerRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(all, w, &schema.Gaps, b.Gaps, func(r *schema.GapRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(all, w, &schema.Logs, b.Logs, func(r *schema.LogRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.Time
	})
	for m := range touched(b) {
		all[w.target.shard(m.function)].marks[m] = true
	}
	return all
}

// each divides rows into one insert per shard and day: a token covers one
// partition of one table only. place says where a row belongs; the time is
// zero in a table without partitions.
func each[T any](all map[int]*work, w *Writer, t *schema.Table[T], rows []T, place func(*T) (function, time.Time)) {
	for p, part := range split(&w.target, rows, place) {
		if all[p.shard] == nil {
			all[p.shard] = &work{marks: map[mark]bool{}}
		}
		of := all[p.shard]
		of.inserts = append(of.inserts, func(ctx context.Context) error { return write(ctx, w, p.shard, t, part) })
	}
}

// write inserts rows as one, with a token that is the shard's, so that it does not
// matter which of its servers took a lost try.
func write[T any](ctx context.Context, w *Writer, shard int, t *schema.Table[T], rows []T) error {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{
		"insert_deduplication_token": uuid.NewString(), "async_insert": 0,
		"optimize_on_insert": 0, // folding rows is for merges and for FINAL: here it costs a fifth of an insert, for nothing
		"log_comment":        schema.Marked,
	}))
	local := *t
	local.Name = w.target.table(t.Name)
	return w.send(ctx, shard, t.Name, len(rows), func(server driver.Conn) error { return local.Insert(ctx, server, rows) })
}

// send does one insert until a server of the shard has taken it. It goes on to the
// shard's next server after each failure: one may be away.
func (w *Writer) send(ctx context.Context, shard int, table string, rows int, insert func(driver.Conn) error) error {
	servers := w.target.shards[shard]
	wait := firstWait
	for try := 1; ; try++ {
		err := insert(servers[(try-1)%len(servers)])
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("insert %d rows into %s: %w", rows, table, errors.Join(context.Cause(ctx), err))
		case !clickhouse.Retryable(err):
			return fmt.Errorf("insert %d rows into %s: %w", rows, table, err)
		}
		w.onRetry()
		if try%len(servers) != 0 {
			w.logger.WarnContext(ctx, "a server did not take an insert, trying another one", "table", table, "rows", rows, "shard", shard, "error", err)
			continue
		}
		jittered := wait/2 + rand.N(wait)
		w.logger.WarnContext(ctx, "the engine did not take an insert, trying again", "table", table, "rows", rows, "shard", shard, "wait", jittered, "error", err)
		select {
		case <-time.After(jittered):
		case <-ctx.Done():
		}
		wait = min(2*wait, maxWait)
	}
}
