// Package read reads the store: requests with their lines and starts, lists
// and figures. Every query has the tenant as its first condition, takes its
// values as parameters, and is bounded in time, memory and rows. The SQL is in
// the files of sql/.
package read

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/query/limit"
)

// ErrNotFound means that the tenant has nothing of that name.
var ErrNotFound = errors.New("not found")

//go:embed columns.sql sql/*.sql
var files embed.FS

// Reader reads one store. It is safe for concurrent use.
type Reader struct {
	conn   driver.Conn
	limits limit.Query
	marked sync.Map // kinds of figures that are complete
}

// New returns a reader on conn, which the caller closes after it, with the
// default limits.
func New(conn driver.Conn) *Reader { return NewLimited(conn, limit.DefaultQuery()) }

// NewLimited is New with other limits of each query.
func NewLimited(conn driver.Conn, limits limit.Query) *Reader {
	return &Reader{conn: conn, limits: limits}
}

// Limits are those of each query.
func (r *Reader) Limits() limit.Query { return r.limits }

// args are the parameters of a query.
type args map[string]any

// selectRows runs the named query and returns its rows, which it bounds to rows.
func selectRows[T any](ctx context.Context, r *Reader, name string, rows int, a args) ([]T, error) {
	return selectWhere[T](ctx, r, name, nil, rows, a)
}

// selectWhere is selectRows for a query whose text depends on what is asked.
func selectWhere[T any](ctx context.Context, r *Reader, name string, choices any, rows int, a args) ([]T, error) {
	sql, err := query(name, choices)
	if err != nil {
		return nil, err
	}
	list := []T{}
	if err := r.conn.Select(r.limits.Context(ctx, rows), &list, sql, named(a)...); err != nil {
		return nil, fmt.Errorf("query %s: %w", name, err)
	}
	return list, nil
}

// with is a and more.
func with(a, more args) args {
	all := maps.Clone(a)
	maps.Copy(all, more)
	return all
}

func named(a args) []any {
	list := make([]any, 0, len(a))
	for name, value := range a {
		list = append(list, clickhouse.Named(name, value))
	}
	return list
}

// Range is a span of time: Since is in it, Until is not. A zero Since is the
// beginning, a zero Until the end of all that is stored.
type Range struct{ Since, Until time.Time }

// The first and the last time that a 64-bit count of nanoseconds holds.
const (
	firstNS = 0
	lastNS  = math.MaxInt64
)

func (r Range) nanos() (since, until int64) {
	since, until = firstNS, lastNS
	if !r.Since.IsZero() {
		since = nanos(r.Since)
	}
	if !r.Until.IsZero() {
		until = nanos(r.Until)
	}
	return since, until
}

// nanos is t as the store counts it, cut to what it can hold.
func nanos(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < 0:
		return firstNS
	case s >= lastNS/int64(time.Second):
		return lastNS
	}
	return t.UnixNano()
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}
