package read

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/parquet-go/parquet-go"
)

// Format is what an export is written in. NDJSON and CSV are the engine's own
// formats: it writes the rows (formatRow), over the native protocol as well as
// any other column, so that a store needs no second port for it. Parquet is
// written here: that format is made of whole files, which the native protocol
// cannot carry.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"
	CSV     Format = "csv"
	Parquet Format = "parquet"
)

// Columns of the exports, as the engine gives them and as Parquet has them.
type (
	exportedLine struct {
		Namespace   string            `ch:"namespace" parquet:"namespace,dict"`
		Function    string            `ch:"function" parquet:"function,dict"`
		Version     string            `ch:"version" parquet:"version,dict"`
		Instance    string            `ch:"instance" parquet:"instance,dict"`
		Host        string            `ch:"host" parquet:"host,dict"`
		Time        time.Time         `ch:"ts" parquet:"ts,timestamp(nanosecond)"`
		Stream      string            `ch:"stream" parquet:"stream,dict"`
		Level       string            `ch:"level" parquet:"level,dict"`
		Body        string            `ch:"body" parquet:"body"`
		Truncated   uint64            `ch:"truncated" parquet:"truncated"`
		RequestID   string            `ch:"request_id" parquet:"request_id"`
		Attribution string            `ch:"attribution" parquet:"attribution,dict"`
		Candidates  []string          `ch:"candidates" parquet:"candidates,list"`
		TraceID     string            `ch:"trace_id" parquet:"trace_id"`
		SpanID      string            `ch:"span_id" parquet:"span_id"`
		Attributes  map[string]string `ch:"attributes" parquet:"attributes"`
		FileID      string            `ch:"file_id" parquet:"file_id,dict"`
		Offset      uint64            `ch:"offset" parquet:"offset"`
	}
	exportedRequest struct {
		Namespace  string     `ch:"namespace" parquet:"namespace,dict"`
		Function   string     `ch:"function" parquet:"function,dict"`
		Version    string     `ch:"version" parquet:"version,dict"`
		Instance   string     `ch:"instance" parquet:"instance,dict"`
		RequestID  string     `ch:"request_id" parquet:"request_id"`
		Trigger    string     `ch:"trigger" parquet:"trigger,dict"`
		QueuedAt   *time.Time `ch:"queued_at" parquet:"queued_at,optional,timestamp(nanosecond)"`
		StartedAt  time.Time  `ch:"started_at" parquet:"started_at,timestamp(nanosecond)"`
		EndedAt    *time.Time `ch:"ended_at" parquet:"ended_at,optional,timestamp(nanosecond)"`
		Status     string     `ch:"status" parquet:"status,dict"`
		HTTPStatus *uint16    `ch:"http_status" parquet:"http_status,optional"`
		Error      string     `ch:"error" parquet:"error"`
		ClosedBy   string     `ch:"closed_by" parquet:"closed_by,dict"`
		DurationMS *float64   `ch:"duration_ms" parquet:"duration_ms,optional"`
		Cold       bool       `ch:"cold" parquet:"cold"`
		ColdWaitMS *float64   `ch:"cold_wait_ms" parquet:"cold_wait_ms,optional"`
		MemoryPeak *int64     `ch:"memory_peak" parquet:"memory_peak,optional"`
		CPUTimeMS  *float64   `ch:"cpu_time_ms" parquet:"cpu_time_ms,optional"`
		BytesIn    *int64     `ch:"bytes_in" parquet:"bytes_in,optional"`
		BytesOut   *int64     `ch:"bytes_out" parquet:"bytes_out,optional"`
	}
	exportedStart struct {
		Namespace      string             `ch:"namespace" parquet:"namespace,dict"`
		Function       string             `ch:"function" parquet:"function,dict"`
		Version        string             `ch:"version" parquet:"version,dict"`
		Instance       string             `ch:"instance" parquet:"instance"`
		Life           uint32             `ch:"life" parquet:"life"`
		Host           string             `ch:"host" parquet:"host,dict"`
		Initialization string             `ch:"initialization" parquet:"initialization,dict"`
		RequestID      string             `ch:"request_id" parquet:"request_id"`
		DemandedAt     *time.Time         `ch:"demanded_at" parquet:"demanded_at,optional,timestamp(nanosecond)"`
		ReadyAt        *time.Time         `ch:"ready_at" parquet:"ready_at,optional,timestamp(nanosecond)"`
		StoppedAt      *time.Time         `ch:"stopped_at" parquet:"stopped_at,optional,timestamp(nanosecond)"`
		StopReason     string             `ch:"stop_reason" parquet:"stop_reason,dict"`
		ExitCode       *int32             `ch:"exit_code" parquet:"exit_code,optional"`
		OOM            bool               `ch:"oom" parquet:"oom"`
		TotalMS        *float64           `ch:"total_ms" parquet:"total_ms,optional"`
		PhasesMS       map[string]float64 `ch:"phases_ms" parquet:"phases_ms"`
		Image          string             `ch:"image" parquet:"image,dict"`
		Digest         string             `ch:"digest" parquet:"digest,dict"`
		ImageBytes     *int64             `ch:"image_bytes" parquet:"image_bytes,optional"`
		Registry       string             `ch:"registry" parquet:"registry,dict"`
		Region         string             `ch:"region" parquet:"region,dict"`
		MemoryLimit    *int64             `ch:"memory_limit" parquet:"memory_limit,optional"`
		MemoryPeak     *int64             `ch:"memory_peak" parquet:"memory_peak,optional"`
	}
)

// Export is one that is about to be written.
type Export struct {
	reader *Reader
	name   string
	sql    string
	args   args
	write  func(ctx context.Context, e *Export, w io.Writer) error
}

// WriteTo writes all of it, a little at a time, and ends when ctx does. Nothing
// is written before the store has given the first rows, so that what it refuses
// can still be answered with an error.
func (e *Export) WriteTo(ctx context.Context, w io.Writer) error { return e.write(ctx, e, w) }

// ExportLines exports a filter's lines by function and time, limit of them at
// most; 0 is no limit.
func (r *Reader) ExportLines(tenant string, f LineFilter, limit int, format Format) (*Export, error) {
	c := f.conditions("")
	if f.Request != "" {
		c.add("request_id = {:String}", f.Request)
	}
	if len(f.Attributions) > 0 {
		c.add("toString(attribution) IN {:Array(String)}", texts(f.Attributions))
	}
	return export[exportedLine](r, "export_lines", tenant, c.list, c.args, limit, format)
}

// ExportRequests exports a filter's requests by function and time.
func (r *Reader) ExportRequests(tenant string, f InvocationFilter, limit int, format Format) (*Export, error) {
	c := &conditions{args: args{}}
	f.key(c)
	f.rest(c)
	return export[exportedRequest](r, "export_requests", tenant, c.list, c.args, limit, format)
}

// ExportStarts exports a filter's starts by function and time.
func (r *Reader) ExportStarts(tenant string, f StartFilter, limit int, format Format) (*Export, error) {
	c := f.conditions()
	return export[exportedStart](r, "export_starts", tenant, c.list, c.args, limit, format)
}

func export[T any](r *Reader, name, tenant string, where []string, a args, limit int, format Format) (*Export, error) {
	sql, err := query(name, struct{ Conditions []string }{where})
	if err != nil {
		return nil, err
	}
	rows := uint64(math.MaxUint64)
	if limit > 0 {
		rows = uint64(limit)
	}
	e := &Export{reader: r, name: name, sql: sql, args: with(args{"tenant": tenant, "limit": rows}, a)}
	switch format {
	case Parquet:
		e.write = writeParquet[T]
	case CSV:
		e.sql = "SELECT formatRow('CSV', t.*) FROM (" + sql + ") AS t"
		e.write = func(ctx context.Context, e *Export, w io.Writer) error {
			return e.writeRows(ctx, w, `"`+strings.Join(columns[T](), `","`)+`"`+"\n")
		}
	default:
		e.sql = "SELECT formatRow('JSONEachRow', t.*) FROM (" + sql + ") AS t"
		e.write = func(ctx context.Context, e *Export, w io.Writer) error { return e.writeRows(ctx, w, "") }
	}
	return e, nil
}

// columns are the names of T's columns, in their order.
func columns[T any]() (names []string) {
	for f := range reflect.TypeFor[T]().Fields() {
		names = append(names, f.Tag.Get("ch"))
	}
	return names
}

// exportBlock is how many rows the engine works on at a time.
const exportBlock = 8192

// query runs the export's query, which is bounded as an export is.
func (e *Export) query(ctx context.Context) (driver.Rows, error) {
	limits := e.reader.limits
	limits.Time = limits.ExportTime
	settings := limits.Settings(0)
	maps.Copy(settings, clickhouse.Settings{
		"max_block_size": exportBlock, "preferred_block_size_bytes": 1 << 20,
		"max_bytes_before_external_sort": limits.Memory / 2, // of starts: all else comes in order
		"date_time_output_format":        "iso", "output_format_json_validate_utf8": 1,
		"output_format_json_quote_64bit_integers": 0,
	})
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	rows, err := e.reader.conn.Query(ctx, e.sql, named(e.args)...)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", e.name, err)
	}
	return rows, nil
}

// writeRows writes what the engine has formatted.
func (e *Export) writeRows(ctx context.Context, w io.Writer, head string) error {
	rows, err := e.query(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what went wrong
	first := true
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return fmt.Errorf("query %s: %w", e.name, err)
		}
		if first {
			text, first = head+text, false
		}
		if _, err := io.WriteString(w, text); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query %s: %w", e.name, err)
	}
	if first {
		if _, err := io.WriteString(w, head); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
	}
	return nil
}

// Bounds of what is held of a Parquet file before it is written.
const (
	groupRows  = 50_000
	groupBytes = 32 << 20
)

// writeParquet writes one row group after the other.
func writeParquet[T any](ctx context.Context, e *Export, w io.Writer) error {
	rows, err := e.query(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what went wrong
	out := parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("coldscope", "", ""))
	held, size := 0, 0
	var buffer []T
	flush := func(group bool) error {
		if _, err := out.Write(buffer); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		held += len(buffer)
		buffer = buffer[:0]
		if group && held > 0 {
			held, size = 0, 0
			if err := out.Flush(); err != nil {
				return fmt.Errorf("write export: %w", err)
			}
		}
		return nil
	}
	for rows.Next() {
		var row T
		if err := rows.ScanStruct(&row); err != nil {
			return fmt.Errorf("query %s: %w", e.name, err)
		}
		buffer = append(buffer, row)
		if line, ok := any(&row).(*exportedLine); ok {
			size += len(line.Body)
		}
		if full := held+len(buffer) >= groupRows || size >= groupBytes; full || len(buffer) == 1000 {
			if err := flush(full); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query %s: %w", e.name, err)
	}
	if err := flush(false); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}
