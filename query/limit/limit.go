// Package limit bounds what questions cost the store: how long one may take,
// how much it may read and hold, and how many of a tenant's are answered at
// once. The bounds of one query are ClickHouse's own settings, so that the
// engine itself ends what goes beyond them.
package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Query is what one query may cost. Questions of several queries have each of
// these as often.
type Query struct {
	// Time is how long it may take. Default 10s.
	Time time.Duration `yaml:"time"`
	// ExportTime is how long an export may take instead. Default 10m.
	ExportTime time.Duration `yaml:"export_time"`
	// RowsRead is how many rows it may read to find its answer. Default 2000000000.
	RowsRead int64 `yaml:"rows_read"`
	// Memory is how many bytes it may hold in the engine. Default 1073741824.
	Memory int64 `yaml:"memory"`
	// Threads is how many threads of the engine work on it; 0 is as many as there
	// are processors. Default 0.
	Threads int `yaml:"threads"`
}

// DefaultQuery fits the embedded engine on a small host.
func DefaultQuery() Query {
	return Query{Time: 10 * time.Second, ExportTime: 10 * time.Minute, RowsRead: 2_000_000_000, Memory: 1 << 30}
}

// minMemory is below what the engine needs for any query.
const minMemory = 16 << 20 // bytes

// Validate reports everything that is wrong in q.
func (q Query) Validate() error {
	var errs []error
	if q.Time < time.Second {
		errs = append(errs, fmt.Errorf("time: %s: at least 1s is needed", q.Time))
	}
	if q.ExportTime < q.Time {
		errs = append(errs, fmt.Errorf("export_time: %s: it cannot be shorter than time, %s", q.ExportTime, q.Time))
	}
	if q.RowsRead < 1 {
		errs = append(errs, fmt.Errorf("rows_read: %d: at least 1 is needed", q.RowsRead))
	}
	if q.Memory < minMemory {
		errs = append(errs, fmt.Errorf("memory: %d: at least %d bytes are needed", q.Memory, minMemory))
	}
	if q.Threads < 0 {
		errs = append(errs, fmt.Errorf("threads: %d: it cannot be negative", q.Threads))
	}
	return errors.Join(errs...)
}

// Context gives the query that is run with it its bounds. rows is how many
// rows the answer may have: more are an error, so that the query has to have a
// LIMIT of its own that comes first; 0 is no bound, for answers that are
// streamed.
func (q Query) Context(ctx context.Context, rows int) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(q.Settings(rows)))
}

// Settings are the bounds that Context gives, for who has more to say to the
// engine.
func (q Query) Settings(rows int) clickhouse.Settings {
	settings := clickhouse.Settings{
		"max_execution_time":    max(1, int(q.Time/time.Second)),
		"timeout_overflow_mode": "throw",
		"max_rows_to_read":      q.RowsRead,
		"read_overflow_mode":    "throw",
		"max_memory_usage":      q.Memory,
		// A row's partition follows from its sort key in every table that has
		// partitions, so no two of them hold versions of the same row.
		"do_not_merge_across_partitions_select_final": 1,
		// Rows that the sort key rules out are left away before they are folded,
		// and before any other column of them is read.
		"optimize_move_to_prewhere_if_final": 1,
		// An index of a few parts is asked in one go, not by each reader of a granule:
		// that is half of what it takes to find a request's lines.
		"use_skip_indexes_on_data_read": 0,
		// What does not fit is sorted on disk.
		"max_bytes_before_external_sort": q.Memory / 4,
	}
	if rows > 0 {
		settings["max_result_rows"], settings["result_overflow_mode"] = rows, "throw"
	}
	if q.Threads > 0 {
		settings["max_threads"] = q.Threads
	}
	return settings
}
