// Package rollup keeps the figures by the minute: it recomputes the minutes
// that inserts have marked as dirty from the rows themselves, so that
// duplicates, corrections and late lines count as they should.
//
// All its state is in the store. A batch of minutes is rolled in three inserts,
// each of which may be the last before a crash:
//
//  1. the minutes are marked dirty once more, with the batch's generation, so
//     that nobody takes figures from them while they are replaced;
//  2. their figures are written, of that generation;
//  3. the minutes are marked as rolled by that generation.
//
// A generation is a time on the server's clock before which no insert is under
// way any more: figures of a generation hold all that was inserted before it,
// and what is inserted after it marks the minute as dirty again, or has it marked
// with a time that is still to come (package insert): such a minute waits. So any number
// of rollers may work at once, on the same minutes, and die at any moment: the
// highest generation was read last, and until it is published its minutes are
// dirty and read from the rows. Readers (query/read) ask first which minutes are
// dirty, and take the figures of the highest generation of all others: figures
// that another roller puts in their place meanwhile say the same.
package rollup

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coldscope/coldscope/internal/schema"
)

//go:embed sql/*.sql
var files embed.FS

// Config tunes a Roller.
type Config struct {
	// Interval is the time between two looks at what is dirty.
	Interval time.Duration
	// Settle is how long a minute has to be over and quiet. It has to be longer
	// than the clocks of a cluster's servers differ.
	Settle time.Duration
	// Cutoff gives the time before which rows of a tenant may be deleted already.
	// Figures from before it stay what they are, whatever arrives. Nil: nothing is deleted.
	Cutoff func(tenant string) time.Time
}

// DefaultConfig has a minute's figures ready half a minute after its end.
func DefaultConfig() Config { return Config{Interval: 10 * time.Second, Settle: 10 * time.Second} }

// Bounds of one batch, and of one look.
const (
	maxBatch = 5_000
	maxLook  = 50_000
)

// uncertainty is by how much generations of one moment differ, so that no two
// are the same, in nanoseconds.
const uncertainty = 1000

// rollups are what is rolled up, with the table of the figures, and where the rows
// are from that were there before the marks.
var rollups = []struct{ name, table, pending, backfill string }{
	{"lines", "line_minutes", "pending", `INSERT INTO rollup_marks (kind, tenant, namespace, function, minute, dirtied)
SELECT 'lines', tenant, namespace, function, toStartOfMinute(toDateTime(ts, 'UTC')) AS minute, 1 FROM logs GROUP BY tenant, namespace, function, minute`},
	{"invocations", "invocation_minutes", "pending", `INSERT INTO rollup_marks (kind, tenant, namespace, function, minute, dirtied)
SELECT 'invocations', tenant, namespace, function, toStartOfMinute(toDateTime(started_at, 'UTC')) AS minute, 1 FROM invocations GROUP BY tenant, namespace, function, minute`},
	{"starts", "start_minutes", "pending_starts", `INSERT INTO rollup_instances (tenant, namespace, function, instance, dirtied, minutes)
SELECT tenant, namespace, function, instance, 1, [toStartOfMinute(toDateTime(assumeNotNull(demanded_at), 'UTC'))] FROM cold_starts WHERE demanded_at IS NOT NULL`},
}

// Roller rolls minutes up. One goroutine uses it.
type Roller struct {
	cfg     Config
	conn    driver.Conn
	logger  *slog.Logger
	rolled  *prometheus.CounterVec
	seconds prometheus.Counter

	cursors map[string]uint64 // by rollup: nothing dirty is from before it
	marked  bool              // all rows have their marks
	blind   bool              // we may not see which inserts are under way
}

// New makes a roller over conn, which stays the caller's.
func New(cfg Config, conn driver.Conn, logger *slog.Logger, reg prometheus.Registerer) *Roller {
	f := promauto.With(reg)
	return &Roller{
		cfg: cfg, conn: conn, logger: logger, cursors: map[string]uint64{},
		rolled: f.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_aggregator_rolled_minutes_total", Help: "Minutes of functions whose figures were computed, by rollup; again when rows arrived late.",
		}, []string{"rollup"}),
		seconds: f.NewCounter(prometheus.CounterOpts{
			Name: "coldscope_aggregator_rollup_seconds_total", Help: "Time spent on computing figures by the minute.",
		}),
	}
}

// Run rolls until ctx ends. While the store is away, the minutes wait.
func (r *Roller) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.cfg.Interval/2 + rand.N(r.cfg.Interval)): // apart from the other aggregators
		}
		started := time.Now()
		if _, err := r.Roll(ctx); err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "figures by the minute could not be computed, trying again", "error", err)
		}
		r.seconds.Add(time.Since(started).Seconds())
	}
}

// Roll rolls up what is dirty, closed and quiet, and says how many minutes that was.
func (r *Roller) Roll(ctx context.Context) (int, error) {
	// Beside the inserts and queries: one thread, bounded in memory.
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{
		"max_threads": 1, "max_memory_usage": 1 << 30, "do_not_merge_across_partitions_select_final": 1,
		"max_bytes_before_external_group_by": 256 << 20, "optimize_move_to_prewhere_if_final": 0,
		// In a cluster all that concerns a function is on one shard. There subqueries
		// read their own shard's tables; but no shard runs the text of an INSERT …
		// SELECT by itself, in which its tables have other names.
		"distributed_product_mode": "local", "parallel_distributed_insert_select": 0,
	}))
	if err := r.backfill(ctx); err != nil {
		return 0, err
	}
	total := 0
	for _, u := range rollups {
		n, err := r.rollAll(ctx, u.name, u.table, u.pending)
		total += n
		r.rolled.WithLabelValues(u.name).Add(float64(n))
		if err != nil {
			return total, fmt.Errorf("roll up %s: %w", u.name, err)
		}
	}
	return total, nil
}

// backfill marks the rows from before there were marks. What is marked twice is rolled once.
func (r *Roller) backfill(ctx context.Context) error {
	if r.marked {
		return nil
	}
	var done []string
	const look = "SELECT groupUniqArray(toString(kind)) FROM rollup_marks WHERE tenant = '' AND rolled > 0"
	if err := r.conn.QueryRow(ctx, look).Scan(&done); err != nil {
		return fmt.Errorf("look which rollups are complete: %w", err)
	}
	for _, u := range rollups {
		if slices.Contains(done, u.name) {
			continue
		}
		if err := r.conn.Exec(ctx, u.backfill); err != nil {
			return fmt.Errorf("mark %s that are stored already: %w", u.name, err)
		}
		const complete = "INSERT INTO rollup_marks (kind, tenant, namespace, function, minute, dirtied, rolled) SELECT $1, '', '', '', toDateTime(0, 'UTC'), 0, 1"
		if err := r.conn.Exec(ctx, complete, u.name); err != nil {
			return fmt.Errorf("note that all %s are marked: %w", u.name, err)
		}
	}
	r.marked = true
	return nil
}

// minute is one minute of one function.
type minute struct {
	Tenant    string    `ch:"tenant"`
	Namespace string    `ch:"namespace"`
	Function  string    `ch:"function"`
	Minute    time.Time `ch:"minute"`
	Dirtied   uint64    `ch:"dirtied"`
}

func (r *Roller) rollAll(ctx context.Context, rollup, table, pending string) (total int, err error) {
	for {
		now, safe, err := r.horizon(ctx)
		if err != nil {
			return total, err
		}
		dirty, err := r.pending(ctx, rollup, pending)
		if err != nil {
			return total, err
		}
		full := len(dirty) == maxLook
		cursor := safe
		var fresh, expired []minute
		for _, m := range dirty {
			switch {
			case m.Dirtied >= safe || m.Minute.Add(time.Minute+r.cfg.Settle).After(now):
				cursor = min(cursor, m.Dirtied)
			case r.cfg.Cutoff != nil && m.Minute.Before(r.cfg.Cutoff(m.Tenant)):
				expired = append(expired, m)
			default:
				fresh = append(fresh, m)
			}
		}
		for _, work := range []struct {
			minutes []minute
			write   func(context.Context, uint64, []minute) error
		}{
			{fresh, func(ctx context.Context, g uint64, b []minute) error { return r.compute(ctx, rollup, g, b) }},
			{expired, func(ctx context.Context, g uint64, _ []minute) error { return r.carry(ctx, rollup, table, g) }},
		} {
			for batch := range slices.Chunk(work.minutes, maxBatch) {
				if err := r.batch(ctx, rollup, safe+rand.N(uint64(uncertainty)), batch, work.write); err != nil {
					return total, err
				}
				total += len(batch)
			}
		}
		if !full {
			r.cursors[rollup] = cursor - 1
			return total, nil
		}
		if len(fresh)+len(expired) == 0 {
			return total, nil // more than we look at is not quiet yet
		}
	}
}

// horizon gives the server's time, and the time before which all inserts are
// complete, less what generations differ by.
func (r *Roller) horizon(ctx context.Context) (now time.Time, safe uint64, err error) {
	var clock, oldest int64
	query, err := files.ReadFile("sql/horizon.sql")
	if err != nil {
		return now, 0, err
	}
	const notAllowed = 497
	if !r.blind {
		err = r.conn.QueryRow(ctx, string(query)).Scan(&clock, &oldest)
		if exception, ok := errors.AsType[*ch.Exception](err); ok && exception.Code == notAllowed {
			r.blind = true
			r.logger.WarnContext(ctx, "the store's user may not see running inserts (grant it SELECT on system.processes): one that takes longer than the settle time may be missing in figures by the minute",
				"settle", r.cfg.Settle, "error", err)
		}
	}
	if r.blind {
		err = r.conn.QueryRow(ctx, "SELECT toUnixTimestamp64Nano(now64(9))").Scan(&clock)
	}
	if err != nil {
		return now, 0, fmt.Errorf("ask for the server's time: %w", err)
	}
	horizon := clock - int64(r.cfg.Settle)
	if oldest > 0 {
		horizon = min(horizon, oldest-int64(time.Millisecond))
	}
	return time.Unix(0, clock), uint64(horizon) - uncertainty, nil
}

func (r *Roller) pending(ctx context.Context, rollup, query string) ([]minute, error) {
	sql, err := files.ReadFile("sql/" + query + ".sql")
	if err != nil {
		return nil, err
	}
	var dirty []minute
	err = r.conn.Select(ctx, &dirty, string(sql), ch.Named("kind", rollup), ch.Named("cursor", r.cursors[rollup]), ch.Named("limit", maxLook))
	if err != nil {
		return nil, fmt.Errorf("look for dirty minutes: %w", err)
	}
	return dirty, nil
}

// batch rolls minutes in the three steps.
func (r *Roller) batch(ctx context.Context, rollup string, generation uint64, minutes []minute, write func(context.Context, uint64, []minute) error) error {
	if err := r.mark(ctx, minutes, func(m *schema.MarkRow) { m.Kind, m.Dirtied = rollup, generation }); err != nil {
		return err
	}
	if err := write(ctx, generation, minutes); err != nil {
		return err
	}
	return r.mark(ctx, minutes, func(m *schema.MarkRow) { m.Kind, m.Rolled = rollup, generation })
}

func (r *Roller) mark(ctx context.Context, minutes []minute, as func(*schema.MarkRow)) error {
	rows := make([]schema.MarkRow, len(minutes))
	for i, m := range minutes {
		rows[i] = schema.MarkRow{Tenant: m.Tenant, Namespace: m.Namespace, Function: m.Function, Minute: m.Minute}
		as(&rows[i])
	}
	if err := schema.Marks.Insert(ctx, r.conn, rows); err != nil {
		return fmt.Errorf("mark %d minutes: %w", len(minutes), err)
	}
	return nil
}

// compute writes the figures of the marked minutes from the rows.
func (r *Roller) compute(ctx context.Context, rollup string, generation uint64, minutes []minute) error {
	sql, err := files.ReadFile("sql/" + rollup + ".sql")
	if err != nil {
		return err
	}
	since, until := minutes[0].Minute, minutes[0].Minute
	for _, m := range minutes {
		if m.Minute.Before(since) {
			since = m.Minute
		}
		if m.Minute.After(until) {
			until = m.Minute
		}
	}
	err = r.conn.Exec(ctx, string(sql), ch.Named("generation", generation),
		ch.Named("since", since.UnixNano()), ch.Named("until", until.Add(time.Minute).UnixNano()))
	if err != nil {
		return fmt.Errorf("compute the figures of %d minutes: %w", len(minutes), err)
	}
	return nil
}

// carry writes the figures that are there once more, under a new generation.
// Those that a crashed carry wrote are the same.
func (r *Roller) carry(ctx context.Context, rollup, table string, generation uint64) error {
	sql := `INSERT INTO ` + table + ` SELECT figures.* REPLACE ({generation:UInt64} AS generation) FROM ` + table + ` AS figures FINAL
INNER JOIN
(
    SELECT tenant, namespace, function, minute, rolled
    FROM rollup_state
    WHERE kind = {kind:String} AND dirtied = {generation:UInt64}
) AS state USING (tenant, namespace, function, minute)
WHERE figures.generation >= state.rolled AND state.rolled > 0`
	if err := r.conn.Exec(ctx, sql, ch.Named("generation", generation), ch.Named("kind", rollup)); err != nil {
		return fmt.Errorf("carry figures over: %w", err)
	}
	return nil
}
