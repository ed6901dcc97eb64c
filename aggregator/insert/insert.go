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
	"slices"
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
	Logs        []schema.LogRow // those that are not packed
	Invocations []schema.InvocationRow
	ColdStarts  []schema.ColdStartRow
	Phases      []schema.PhaseRow
	Layers      []schema.LayerRow
	Ledgers     []schema.LedgerRow
	Gaps        []schema.GapRow

	packed packed
}

// packed is lines as they are sent: a third of the memory that they take as they
// are, and nothing in it for the garbage collector to look at.
type packed struct {
	blocks map[part][]schema.Block
	marks  map[mark]bool
	rows   int
	err    error
}

// Rows counts the rows of all tables.
func (b *Batch) Rows() int {
	return b.packed.rows + len(b.Logs) + len(b.Invocations) + len(b.ColdStarts) + len(b.Phases) + len(b.Layers) + len(b.Ledgers) + len(b.Gaps)
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

// Pack packs b's lines if there are enough of them for blocks of the usual size,
// and reports whether it did. Nothing of them is kept then but in the blocks.
func (w *Writer) Pack(b *Batch) bool {
	if len(b.Logs) < schema.BlockRows*len(w.target.shards) {
		return false
	}
	p := &b.packed
	if p.blocks == nil {
		p.blocks, p.marks = map[part][]schema.Block{}, map[mark]bool{}
	}
	p.err = errors.Join(p.err, w.pack(p.blocks, b.Logs))
	touchedByLines(p.marks, b.Logs)
	p.rows += len(b.Logs)
	clear(b.Logs)
	b.Logs = b.Logs[:0]
	return true
}

// pack adds the blocks of lines.
func (w *Writer) pack(blocks map[part][]schema.Block, lines []schema.LogRow) error {
	var errs []error
	for at, rows := range split(&w.target, lines, func(r *schema.LogRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.Time
	}) {
		more, err := schema.Logs.Encode(rows)
		blocks[at] = append(blocks[at], more...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Write returns when all of b is stored and its minutes are marked. While an
// engine is away it tries again for ever, until ctx ends; other errors are
// permanent. What is another shard's is stored meanwhile.
func (w *Writer) Write(ctx context.Context, b *Batch) error {
	all, err := w.divide(b)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for shard, part := range all {
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
func (w *Writer) divide(b *Batch) (map[int]*work, error) {
	blocks := map[part][]schema.Block{}
	for p, packed := range b.packed.blocks {
		blocks[p] = slices.Clone(packed)
	}
	d := division{w, map[int]*work{}, errors.Join(b.packed.err, w.pack(blocks, b.Logs))}
	each(&d, &schema.ColdStarts, b.ColdStarts, func(r *schema.ColdStartRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(&d, &schema.Phases, b.Phases, func(r *schema.PhaseRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.Start
	})
	each(&d, &schema.Layers, b.Layers, func(r *schema.LayerRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(&d, &schema.Invocations, b.Invocations, func(r *schema.InvocationRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, r.StartedAt
	})
	each(&d, &schema.Ledgers, b.Ledgers, func(r *schema.LedgerRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	each(&d, &schema.Gaps, b.Gaps, func(r *schema.GapRow) (function, time.Time) {
		return function{r.Tenant, r.Namespace, r.Function}, time.Time{}
	})
	for p, list := range blocks {
		add(&d, p, &schema.Logs, list)
	}
	for _, marks := range []map[mark]bool{b.packed.marks, touched(b)} {
		for m := range marks {
			d.of(w.target.shard(m.function)).marks[m] = true
		}
	}
	return d.all, d.err
}

// division is a batch that is being divided.
type division struct {
	*Writer
	all map[int]*work
	err error
}

func (d *division) of(shard int) *work {
	if d.all[shard] == nil {
		d.all[shard] = &work{marks: map[mark]bool{}}
	}
	return d.all[shard]
}

// each divides rows into one insert per shard and day: a token covers one
// partition of one table only. place says where a row belongs; the time is
// zero in a table without partitions.
func each[T any](d *division, t *schema.Table[T], rows []T, place func(*T) (function, time.Time)) {
	for p, part := range split(&d.target, rows, place) {
		blocks, err := t.Encode(part)
		d.err = errors.Join(d.err, err)
		add(d, p, t, blocks)
	}
}

func add[T any](d *division, p part, t *schema.Table[T], blocks []schema.Block) {
	of := d.of(p.shard)
	of.inserts = append(of.inserts, func(ctx context.Context) error { return write(ctx, d.Writer, p.shard, t, blocks) })
}

// write inserts blocks as one, with a token that is the shard's, so that it does not
// matter which of its servers took a lost try.
func write[T any](ctx context.Context, w *Writer, shard int, t *schema.Table[T], blocks []schema.Block) error {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{
		"insert_deduplication_token": uuid.NewString(), "async_insert": 0,
		"optimize_on_insert": 0, // folding rows is for merges and for FINAL: here it costs a fifth of an insert, for nothing
		"log_comment":        schema.Marked,
	}))
	local := *t
	local.Name = w.target.table(t.Name)
	rows := 0
	for i := range blocks {
		rows += blocks[i].Rows()
	}
	return w.send(ctx, shard, t.Name, rows, func(server driver.Conn) error { return local.InsertBlocks(ctx, server, blocks) })
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
