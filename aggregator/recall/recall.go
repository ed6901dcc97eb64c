// Package recall reads back from the store what was known of instances, so
// that a restarted aggregator, or another one, goes on where the last one was.
package recall

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

var (
	//go:embed sql/cold_starts.sql
	coldStartsSQL string
	//go:embed sql/invocations.sql
	invocationsSQL string
	//go:embed sql/logs.sql
	logsSQL string
	//go:embed sql/newest.sql
	newestSQL string
	//go:embed sql/span.sql
	spanSQL string
)

// Limits bounds what is read per instance: its newest lines since Since, only up
// to when there are any if Lines is 0, and its newest invocations that started
// at Started or later.
type Limits struct {
	Since, Started     time.Time
	Lines, Invocations int
}

// Memory is what the store knows of one instance, in the order of time.
type Memory struct {
	Starts      []schema.ColdStartRow // one of each life
	Invocations []schema.InvocationRow
	Newest      time.Time // of its lines; zero: there is none
	Revision    uint64    // the highest one of these
	Lines       []schema.LogRow
}

// Read reads the memory of all instances in one go. Those that the store does
// not know are missing in the answer. Refs are compared without their version.
func Read(ctx context.Context, conn driver.Conn, refs []faas.Ref, limits Limits) (map[faas.Ref]*Memory, error) {
	wanted, err := tableOf(len(refs), func(n int) Span { return Span{Ref: refs[n]} })
	if err != nil {
		return nil, err
	}
	r := reader{conn: conn, wanted: wanted, limits: limits, found: map[faas.Ref]*Memory{}}
	reads := []func(context.Context) error{r.coldStarts, r.invocations, r.newest}
	if limits.Lines > 0 {
		reads = append(reads, r.lines)
	}
	all, ctx := errgroup.WithContext(ctx) // the merger waits for all of them
	for _, read := range reads {
		all.Go(func() error { return read(ctx) })
	}
	if err := all.Wait(); err != nil {
		return nil, fmt.Errorf("recall %d instances: %w", len(refs), err)
	}
	for _, m := range r.found { // the newest came first
		slices.Reverse(m.Invocations)
		slices.Reverse(m.Lines)
	}
	return r.found, nil
}

// tableOf is n spans as the queries' table wanted.
func tableOf(n int, span func(int) Span) (*ext.Table, error) {
	wanted, err := ext.NewTable("wanted",
		ext.Column("tenant", "String"), ext.Column("namespace", "String"), ext.Column("function", "String"), ext.Column("instance", "String"),
		ext.Column("first", "DateTime64(9, 'UTC')"), ext.Column("last", "DateTime64(9, 'UTC')"))
	if err != nil {
		return nil, fmt.Errorf("recall instances: %w", err)
	}
	for i := range n {
		s := span(i)
		if err := wanted.Append(s.Tenant, s.Namespace, s.Function, s.Instance, from1970(s.From), from1970(s.To)); err != nil {
			return nil, fmt.Errorf("recall instances: %w", err)
		}
	}
	return wanted, nil
}

type reader struct {
	conn   driver.Conn
	wanted *ext.Table
	limits Limits
	until  time.Time // up to when lines of spans are read

	mu    sync.Mutex // of who scans a row
	found map[faas.Ref]*Memory
}

func (r *reader) of(ref faas.Ref) *Memory {
	m := r.found[ref]
	if m == nil {
		m = &Memory{}
		r.found[ref] = m
	}
	return m
}

// query calls scan for each row of sql, while no other query does.
func (r *reader) query(ctx context.Context, sql string, limit int, scan func(driver.Rows) error) error {
	ctx = ch.Context(ctx, ch.WithExternalTable(r.wanted), ch.WithParameters(ch.Parameters{
		"limit":   strconv.Itoa(limit),
		"since":   stamp(r.limits.Since),
		"started": stamp(r.limits.Started),
		"until":   stamp(r.until),
	}), ch.WithSettings(ch.Settings{
		// Of a shard's servers the one that rows are written to first is asked
		// first: the others may not have the latest yet.
		"load_balancing": "in_order",
	}))
	rows, err := r.conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r.mu.Lock()
		err := scan(rows)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r *reader) coldStarts(ctx context.Context) error {
	return r.query(ctx, coldStartsSQL, 0, func(rows driver.Rows) error {
		var s schema.ColdStartRow
		err := rows.Scan(&s.Tenant, &s.Namespace, &s.Function, &s.Instance, &s.Version, &s.Host, &s.Initialization, &s.RequestID,
			&s.DemandedAt, &s.ReadyAt, &s.StoppedAt, &s.StopReason, &s.ExitCode, &s.OOM, &s.MemoryPeak, &s.CPUTimeNS,
			&s.Image, &s.Digest, &s.ImageBytes, &s.Registry, &s.Region, &s.MemoryLimit, &s.Life, &s.ClockOffsetNS, &s.ClockSlackNS)
		m := r.of(faas.Ref{Tenant: s.Tenant, Namespace: s.Namespace, Function: s.Function, Instance: s.Instance})
		m.Starts = append(m.Starts, s)
		return err
	})
}

func (r *reader) invocations(ctx context.Context) error {
	return r.query(ctx, invocationsSQL, r.limits.Invocations, func(rows driver.Rows) error {
		var ref faas.Ref
		var v schema.InvocationRow
		err := rows.Scan(&ref.Tenant, &ref.Namespace, &ref.Function, &ref.Instance,
			&v.RequestID, &v.QueuedAt, &v.StartedAt, &v.EndedAt, &v.Cold, &v.Trigger, &v.UsageShared)
		m := r.of(ref)
		m.Invocations = append(m.Invocations, v)
		return err
	})
}

func (r *reader) lines(ctx context.Context) error {
	return r.query(ctx, logsSQL, r.limits.Lines, func(rows driver.Rows) error {
		l, err := scanLine(rows)
		m := r.of(faas.Ref{Tenant: l.Tenant, Namespace: l.Namespace, Function: l.Function, Instance: l.Instance})
		m.Lines = append(m.Lines, l)
		return err
	})
}

// newest reads only up to when there are lines: to read all of them, of each
// instance that is met first, would be most of what a busy store does.
func (r *reader) newest(ctx context.Context) error {
	return r.query(ctx, newestSQL, 0, func(rows driver.Rows) error {
		var ref faas.Ref
		var newest time.Time
		var revision uint64
		err := rows.Scan(&ref.Tenant, &ref.Namespace, &ref.Function, &ref.Instance, &newest, &revision)
		m := r.of(ref)
		m.Newest, m.Revision = newest, revision
		return err
	})
}

// Span is a part of an instance's time, both ends in it.
type Span struct {
	faas.Ref // without its version
	From, To time.Time
}

// Found are the lines of an instance that lie in its spans.
type Found struct {
	Lines []schema.LogRow
	Rest  time.Time // up to when there may be more of them; zero: there are none
}

// Lines reads the lines in spans, of each instance the newest first and at most
// limit. Those of one instance lie apart from each other.
func Lines(ctx context.Context, conn driver.Conn, spans []Span, limit int) (map[faas.Ref]*Found, error) {
	from, to := spans[0].From, spans[0].To
	for n := range spans {
		if s := &spans[n]; s.From.Before(from) {
			from = s.From
		}
		if s := &spans[n]; s.To.After(to) {
			to = s.To
		}
	}
	wanted, err := tableOf(len(spans), func(n int) Span { return spans[n] })
	if err != nil {
		return nil, err
	}
	r := reader{conn: conn, wanted: wanted, limits: Limits{Since: from}, until: to}
	found := map[faas.Ref]*Found{}
	err = r.query(ctx, spanSQL, limit, func(rows driver.Rows) error {
		l, err := scanLine(rows)
		if err != nil {
			return err
		}
		ref := faas.Ref{Tenant: l.Tenant, Namespace: l.Namespace, Function: l.Function, Instance: l.Instance}
		f := found[ref]
		if f == nil {
			f = &Found{}
			found[ref] = f
		}
		if f.Lines = append(f.Lines, l); len(f.Lines) == limit {
			f.Rest = l.Time
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("recall lines of %d instances: %w", len(spans), err)
	}
	return found, nil
}

// from1970 is t, or 1970 if t is before that.
func from1970(t time.Time) time.Time {
	if t.Unix() < 0 {
		return time.Unix(0, 0)
	}
	return t
}

// stamp is t as a parameter.
func stamp(t time.Time) string {
	return from1970(t).UTC().Format("2006-01-02 15:04:05.000000000")
}

func scanLine(rows driver.Rows) (schema.LogRow, error) {
	l := schema.LogRow{Line: new(faas.Line)}
	err := rows.Scan(&l.Tenant, &l.Namespace, &l.Function, &l.Version, &l.Instance, &l.Host, &l.Time, (*string)(&l.Stream),
		&l.RequestID, (*string)(&l.Attribution), &l.Candidates, &l.Body, &l.Truncated, &l.FileID, &l.Offset, &l.Revision,
		(*uint8)(&l.Severity), &l.TraceID, &l.SpanID, (*schema.AttributeMap)(&l.Attributes), &l.Raw)
	return l, err
}
