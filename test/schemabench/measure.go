package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/test/corpus/rows"
)

// start is at noon, so that the lines fall into two days.
var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// store is the engine under measurement.
type store struct {
	conn  driver.Conn
	pid   func() int
	lines int
	block int
	span  time.Duration // of the lines
	calm  time.Duration // without a merge, after which none is to come
	asked int           // times each question is asked, unless it takes long
}

// cpu is what the engine's process has used, in user and in system mode.
func (s *store) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	if err != nil {
		return 0, fmt.Errorf("read the engine's processor time: %w", err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("read the engine's processor time: too few fields")
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the engine's processor time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // a tick is 10 ms on Linux, on every processor
}

// spent is the engine's processor time for work, and for the merges after it.
func (s *store) spent(ctx context.Context, work func() error) (time.Duration, error) {
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	if err := s.quiet(ctx); err != nil {
		return 0, err
	}
	after, err := s.cpu()
	return after - before, err
}

// quiet waits until the engine has merged nothing for a while.
func (s *store) quiet(ctx context.Context) error {
	tick := time.NewTicker(s.calm / 5)
	defer tick.Stop()
	for calm := 0; calm < 5; {
		var merges uint64
		if err := s.conn.QueryRow(ctx, "SELECT count() FROM system.merges").Scan(&merges); err != nil {
			return fmt.Errorf("wait for merges: %w", err)
		}
		if calm++; merges > 0 {
			calm = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// prepare fills the base, unless a run before this one has.
func (s *store) prepare(ctx context.Context) (time.Duration, error) {
	base := variant{name: "base"}
	sql := strings.NewReplacer("v_base", "base", "ReplacingMergeTree(revision)", "MergeTree",
		"(tenant, namespace, function, )", "ts").Replace(base.create()[0])
	var rows uint64
	var exists bool
	if err := s.conn.QueryRow(ctx, "EXISTS TABLE base").Scan(&exists); err != nil {
		return 0, fmt.Errorf("look for the base: %w", err)
	}
	if exists {
		if err := s.conn.QueryRow(ctx, "SELECT count() FROM base").Scan(&rows); err != nil {
			return 0, fmt.Errorf("look for the base: %w", err)
		}
	}
	if rows == uint64(s.lines) {
		return 0, nil
	}
	for _, sql := range []string{"DROP TABLE IF EXISTS base SYNC", sql} {
		if err := s.conn.Exec(ctx, sql); err != nil {
			return 0, fmt.Errorf("make the base: %w", err)
		}
	}
	return s.spent(ctx, func() error { return s.load(ctx, "base") })
}

// load fills table with the corpus, in blocks, over the native protocol.
func (s *store) load(ctx context.Context, table string) error {
	into := schema.Logs
	into.Name = table
	r, err := rows.New(s.lines, start, s.span)
	if err != nil {
		return err
	}
	blocks := make(chan []schema.LogRow, 1)
	go func() {
		defer close(blocks)
		for left := s.lines; left > 0; {
			b := make([]schema.LogRow, min(left, s.block))
			for i := range b {
				b[i], _ = r.Next()
			}
			left -= len(b)
			select {
			case blocks <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	for b := range blocks {
		if err := into.Insert(ctx, s.conn, b); err != nil {
			return fmt.Errorf("load %s: %w", table, err)
		}
	}
	return ctx.Err()
}

// copy inserts the base's lines in order of time, block by block.
func (s *store) copy(ctx context.Context, v *variant, into string) error {
	statement := v.insert(into)
	blocks := (s.lines + s.block - 1) / s.block
	step := max(s.span/time.Duration(s.lines), 1) * time.Duration(s.block)
	settings := clickhouse.WithSettings(clickhouse.Settings{
		// One insert, one block and so one part a day, as the aggregator sends them.
		"max_insert_block_size": s.block, "min_insert_block_size_rows": s.block, "min_insert_block_size_bytes": 0,
		"max_threads": 1, "max_insert_threads": 1, "max_block_size": s.block,
	})
	for i := range blocks {
		from := start.Add(time.Duration(i) * step)
		ctx := clickhouse.Context(ctx, settings, clickhouse.WithParameters(clickhouse.Parameters{
			"from": strconv.FormatInt(from.UnixNano(), 10), "to": strconv.FormatInt(from.Add(step).UnixNano(), 10),
		}))
		if err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("fill %s: %w", into, err)
		}
	}
	return nil
}

// reading is what it costs to read the base for a copy of it.
func (s *store) reading(ctx context.Context) (time.Duration, error) {
	for _, sql := range []string{"DROP TABLE IF EXISTS nothing SYNC", "CREATE TABLE nothing AS base ENGINE = Null"} {
		if err := s.conn.Exec(ctx, sql); err != nil {
			return 0, fmt.Errorf("read the base: %w", err)
		}
	}
	return s.spent(ctx, func() error { return s.copy(ctx, &variant{}, "nothing") })
}

// size is what is stored, in bytes.
type size struct {
	Total    uint64            `json:"total"`
	Parts    uint64            `json:"parts"`
	Columns  map[string]uint64 `json:"columns"`
	Indices  map[string]uint64 `json:"indices,omitempty"`  // and projections
	Beside   map[string]uint64 `json:"beside,omitempty"`   // tables beside the lines
	Primary  uint64            `json:"primary"`            // of the primary key, in memory
	Expanded uint64            `json:"expanded,omitempty"` // without compression
}

// sizes measures v's tables.
func (s *store) sizes(ctx context.Context, v *variant) (size, error) {
	z := size{Columns: map[string]uint64{}, Indices: map[string]uint64{}, Beside: map[string]uint64{}}
	const parts = `SELECT sum(bytes_on_disk), sum(primary_key_bytes_in_memory), sum(data_uncompressed_bytes), count()
		FROM system.parts WHERE active AND database = currentDatabase() AND table = $1`
	if err := s.conn.QueryRow(ctx, parts, v.table()).Scan(&z.Total, &z.Primary, &z.Expanded, &z.Parts); err != nil {
		return z, fmt.Errorf("measure %s: %w", v.name, err)
	}
	for _, q := range []struct {
		into map[string]uint64
		sql  string
	}{
		{z.Columns, `SELECT column, sum(column_data_compressed_bytes + column_marks_bytes) FROM system.parts_columns
			WHERE active AND database = currentDatabase() AND table = $1 GROUP BY column`},
		{z.Indices, `SELECT name, sum(data_compressed_bytes + marks_bytes) FROM system.data_skipping_indices
			WHERE database = currentDatabase() AND table = $1 GROUP BY name`},
		{z.Indices, `SELECT name, sum(bytes_on_disk) FROM system.projection_parts
			WHERE active AND database = currentDatabase() AND table = $1 GROUP BY name`},
		{z.Beside, `SELECT table, sum(bytes_on_disk) FROM system.parts
			WHERE active AND database = currentDatabase() AND startsWith(table, $1 || '_requests') GROUP BY table`},
	} {
		found, err := s.conn.Query(ctx, q.sql, v.table())
		if err != nil {
			return z, fmt.Errorf("measure %s: %w", v.name, err)
		}
		for found.Next() {
			var name string
			var bytes uint64
			if err := found.Scan(&name, &bytes); err != nil {
				return z, fmt.Errorf("measure %s: %w", v.name, err)
			}
			q.into[name] = bytes
		}
		if err := found.Err(); err != nil {
			return z, fmt.Errorf("measure %s: %w", v.name, err)
		}
	}
	for _, bytes := range z.Beside {
		z.Total += bytes
	}
	return z, nil
}

// result is what was found out about a variant.
type result struct {
	Name     string            `json:"name"`
	About    string            `json:"about"`
	Insert   float64           `json:"insert_cpu"`   // CPU seconds a million lines, the merges until quiet included
	Merged   float64           `json:"merged"`       // rows merged for each that was inserted
	Optimize float64           `json:"optimize_cpu"` // the same for OPTIMIZE FINAL from there
	Quiet    size              `json:"quiet"`
	Merge    size              `json:"optimized"`
	Queries  map[string]timing `json:"queries"`
}

// measure makes v, fills it and looks at it. reading is what of the fill the
// base costs.
func (s *store) measure(ctx context.Context, v *variant, reading time.Duration, cases []query) (*result, error) {
	if err := s.drop(ctx, v); err != nil {
		return nil, err
	}
	for _, sql := range v.create() {
		if err := s.conn.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("make %s: %w", v.name, err)
		}
	}
	million := float64(s.lines) / 1e6
	r := &result{Name: v.name, About: v.about, Queries: map[string]timing{}}
	before, err := s.mergedRows(ctx)
	if err != nil {
		return nil, err
	}
	used, err := s.spent(ctx, func() error { return s.copy(ctx, v, v.table()) })
	if err != nil {
		return nil, err
	}
	after, err := s.mergedRows(ctx)
	if err != nil {
		return nil, err
	}
	var rows uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM "+v.table()).Scan(&rows); err != nil || rows != uint64(s.lines) {
		return nil, errors.Join(fmt.Errorf("%s holds %d lines of %d", v.name, rows, s.lines), err)
	}
	r.Insert, r.Merged = (used-reading).Seconds()/million, float64(after-before)/float64(s.lines)
	if r.Quiet, err = s.sizes(ctx, v); err != nil {
		return nil, err
	}
	for i := range cases {
		if s.asked == 0 {
			break
		}
		if r.Queries[cases[i].name], err = s.time(ctx, v, &cases[i]); err != nil {
			return nil, err
		}
	}
	used, err = s.spent(ctx, func() error { return s.optimize(ctx, v) })
	if err != nil {
		return nil, err
	}
	r.Optimize = used.Seconds() / million
	r.Merge, err = s.sizes(ctx, v)
	return r, err
}

func (s *store) mergedRows(ctx context.Context) (uint64, error) {
	var n uint64
	err := s.conn.QueryRow(ctx, "SELECT sum(value) FROM system.events WHERE event = 'MergedRows'").Scan(&n)
	return n, err
}

func (s *store) optimize(ctx context.Context, v *variant) error {
	tables := []string{v.table()}
	if len(v.beside) > 0 {
		tables = append(tables, v.table()+"_requests")
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"receive_timeout": 3600}))
	for _, t := range tables {
		if err := s.conn.Exec(ctx, "OPTIMIZE TABLE "+t+" FINAL"); err != nil {
			return fmt.Errorf("optimize %s: %w", t, err)
		}
	}
	return nil
}

func (s *store) drop(ctx context.Context, v *variant) error {
	for _, t := range []string{v.table() + "_requests_view", v.table() + "_requests", v.table()} {
		if err := s.conn.Exec(ctx, "DROP TABLE IF EXISTS "+t+" SYNC"); err != nil {
			return fmt.Errorf("drop %s: %w", t, err)
		}
	}
	return nil
}
