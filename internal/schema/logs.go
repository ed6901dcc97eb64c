package schema

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// LogRow is a row of logs: a line and the request that it got. Lines are not
// copied on their way; whoever holds a row only reads its line.
type LogRow struct {
	*faas.Line
	RequestID   string // "" if it has none; what the line's sender said is Line.RequestID
	Attribution faas.Attribution
	Candidates  []string
	Revision    uint64 // the highest one of a line's rows counts
}

// Logs is the table of lines. Who reads it asks for body, which the store makes
// of packed.
var Logs = Table[LogRow]{"logs", []column[LogRow]{
	names("tenant", func(r *LogRow) string { return r.Tenant }),
	names("namespace", func(r *LogRow) string { return r.Namespace }),
	names("function", func(r *LogRow) string { return r.Function }),
	names("version", func(r *LogRow) string { return r.Version }),
	col("instance", stringType, func(r *LogRow) string { return r.Instance }),
	names("host", func(r *LogRow) string { return r.Host }),
	col("ts", timeType, func(r *LogRow) time.Time { return r.Time }),
	enum("stream", faas.Streams, func(r *LogRow) faas.Stream { return r.Stream }),
	col("request_id", stringType, func(r *LogRow) string { return r.RequestID }),
	enum("attribution", faas.Attributions, func(r *LogRow) faas.Attribution { return r.Attribution }),
	lists("candidates", stringType, func(r *LogRow) []string { return r.Candidates }),
	packed("packed", func(r *LogRow) (body, requestID string) { return r.Body, r.RequestID }),
	col("truncated", uint64Type, func(r *LogRow) uint64 { return r.Truncated }),
	col("file_id", uint64Type, func(r *LogRow) uint64 { return r.FileID }),
	col("offset", uint64Type, func(r *LogRow) uint64 { return r.Offset }),
	col("revision", uint64Type, func(r *LogRow) uint64 { return r.Revision }),
	col("severity", uint8Type, func(r *LogRow) uint8 { return uint8(r.Severity) }),
	col("trace_id", stringType, func(r *LogRow) string { return r.TraceID }),
	col("span_id", stringType, func(r *LogRow) string { return r.SpanID }),
	attributes("attributes", func(r *LogRow) []faas.Attribute { return r.Attributes }),
	col("raw", stringType, func(r *LogRow) string { return r.Raw }),
}}
