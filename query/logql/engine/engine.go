// Package engine answers LogQL from the store: what SQL means exactly is left
// to SQL (package plan), the rest is evaluated over lines that are read in
// batches (package eval). A query ends with its context, and so does what it
// has asked of the store.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/plan"
	"github.com/coldscope/coldscope/query/read"
)

// Limits bound what one query may take.
type Limits struct {
	// Query is what one SQL query may cost.
	Query limit.Query
	// MaxTime is how long a query of LogQL may take, with all that it asks of
	// the store.
	MaxTime time.Duration
	// MaxLines is how many lines may be read for one query where they have to
	// be read one by one.
	MaxLines int
	// MaxCells is how many numbers the store may give for one range aggregation.
	MaxCells int
	// Eval are the evaluation's own limits.
	Eval eval.Limits
}

// WithLimits are limits for SQL queries that may cost q.
func WithLimits(q limit.Query) Limits {
	return Limits{Query: q, MaxTime: q.Time, MaxLines: 5_000_000, MaxCells: 1_000_000}
}

// LinesError says that a query would have to read more lines than it may. The
// query has to be narrowed.
type LinesError struct{ Limit int }

func (e *LinesError) Error() string {
	return fmt.Sprintf("the query would read more than %d lines one by one; consider a shorter time range, a more specific selector, line filters, "+
		"or an aggregation by labels that lines have without a parser", e.Limit)
}

// TimeError says that a query has taken too long.
type TimeError struct{ Limit time.Duration }

func (e *TimeError) Error() string {
	return fmt.Sprintf("the query took longer than %s; consider a shorter time range or a more specific selector", e.Limit)
}

// Stats say what a query has cost.
type Stats struct {
	Rows, Bytes uint64        // that the store has read
	Lines       uint64        // that were given to the evaluation one by one
	LineBytes   uint64        // of their texts
	Queries     uint64        // of SQL
	Time        time.Duration // of it all
}

// Engine answers queries of one store. It is safe for concurrent use.
type Engine struct {
	conn   driver.Conn
	reader *read.Reader // of figures
	limits Limits

	densities densities
}

// Limits are the engine's limits.
func (e *Engine) Limits() Limits { return e.limits }

// New returns an engine over conn, which the caller closes after it.
func New(conn driver.Conn, limits Limits) *Engine {
	return &Engine{conn: conn, reader: read.NewLimited(conn, limits.Query), limits: limits}
}

// Query is one query of one tenant while it is answered.
type Query struct {
	engine *Engine
	tenant string
	expr   logql.Expr
	began  time.Time

	rows, bytes, lines, lineBytes, queries atomic.Uint64
}

// Query begins a query.
func (e *Engine) Query(tenant string, expr logql.Expr) *Query {
	return &Query{engine: e, tenant: tenant, expr: expr, began: time.Now()}
}

// Stats are the costs so far.
func (q *Query) Stats() Stats {
	return Stats{q.rows.Load(), q.bytes.Load(), q.lines.Load(), q.lineBytes.Load(), q.queries.Load(), time.Since(q.began)}
}

// source is where the evaluation of q has its lines from.
func (q *Query) source() *source {
	wanted := plan.Wanted(q.expr)
	_, log := q.expr.(*logql.LogExpr)
	return &source{q: q, wanted: wanted, facts: log || plan.NamesFacts(q.expr), body: log || countsBytes(q.expr)}
}

// countsBytes says whether e is about how long lines are.
func countsBytes(e logql.Expr) bool {
	switch e := e.(type) {
	case *logql.RangeAggregation:
		return e.Op == logql.BytesOverTime || e.Op == logql.BytesRate
	case *logql.VectorAggregation:
		return countsBytes(e.Expr)
	case *logql.BinaryExpr:
		return countsBytes(e.Left) || countsBytes(e.Right)
	case *logql.LabelReplace:
		return countsBytes(e.Expr)
	}
	return false
}

// bounded gives ctx the query's time, and says afterwards whether that was why
// it ended.
func (q *Query) bounded(ctx context.Context, do func(context.Context) error) error {
	bounded, cancel := context.WithTimeoutCause(ctx, q.engine.limits.MaxTime, &TimeError{q.engine.limits.MaxTime})
	defer cancel()
	err := do(bounded)
	if late, ok := errors.AsType[*TimeError](context.Cause(bounded)); ok && err != nil && ctx.Err() == nil {
		return late
	}
	return err
}

// Logs gives the lines of a query for lines to yield, until it returns an
// error, which Logs returns, too.
func (q *Query) Logs(ctx context.Context, l eval.LogQuery, yield func(eval.LogEntry) error) error {
	log, ok := q.expr.(*logql.LogExpr)
	if !ok {
		return fmt.Errorf("read lines of %s: it gives numbers", q.expr)
	}
	return q.bounded(ctx, func(ctx context.Context) error {
		return eval.New(q.source(), q.engine.limits.Eval).Logs(ctx, log, l, yield)
	})
}

// Range evaluates a query for numbers at each of the steps.
func (q *Query) Range(ctx context.Context, s eval.Steps) (m eval.Matrix, err error) {
	metric, ok := q.expr.(logql.MetricExpr)
	if !ok {
		return nil, fmt.Errorf("evaluate %s: it gives lines", q.expr)
	}
	err = q.bounded(ctx, func(ctx context.Context) error {
		m, err = eval.New(q.source(), q.engine.limits.Eval).Range(ctx, metric, s)
		return err
	})
	return m, err
}

// Instant evaluates a query for numbers at one time, in nanoseconds since 1970.
func (q *Query) Instant(ctx context.Context, t int64) (v eval.Value, err error) {
	metric, ok := q.expr.(logql.MetricExpr)
	if !ok {
		return v, fmt.Errorf("evaluate %s: it gives lines", q.expr)
	}
	err = q.bounded(ctx, func(ctx context.Context) error {
		v, err = eval.New(q.source(), q.engine.limits.Eval).Instant(ctx, metric, t)
		return err
	})
	return v, err
}

// ask runs SQL with the limits of the query. Ending the rows cancels
// what is not read.
func (q *Query) ask(ctx context.Context, sql plan.Query) (*rows, error) {
	ctx, cancel := context.WithCancel(ctx)
	args := make([]any, 0, len(sql.Args))
	for name, v := range sql.Args {
		args = append(args, clickhouse.Named(name, v))
	}
	q.queries.Add(1)
	settings := q.engine.limits.Query.Settings(0)
	settings["precise_float_parsing"] = 1 // a number is the one that its text says, to the last digit
	bounded := clickhouse.Context(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) {
		q.rows.Add(p.Rows)
		q.bytes.Add(p.Bytes)
	}), clickhouse.WithSettings(settings))
	r, err := q.engine.conn.Query(bounded, sql.SQL, args...)
	if err != nil {
		cancel()
		return nil, err
	}
	return &rows{r, cancel}, nil
}

// rows are those of one SQL query. They have to be ended.
type rows struct {
	driver.Rows
	cancel context.CancelFunc
}

// end ends the query, whether it was read to its end or not.
func (r *rows) end() {
	r.cancel()
	_ = r.Close() // that it was cancelled is no news
}
