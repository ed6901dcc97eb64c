package schema

import "time"

// LedgerRow is a collector's account of one log file.
type LedgerRow struct {
	Tenant, Namespace, Function, Instance string
	FileID                                string // 16 hexadecimal digits
	Host                                  string
	From, To                              *time.Time // of the first and the last line; nil: no line yet
	Through                               *time.Time // all that was written by then is stored; nil: the file was not quiet
	Bytes, Lines                          int64
	TruncatedLines, TruncatedBytes        int64
	RefusedLines, LostBytes, LateLines    int64
	Complete                              bool // the file has ended and all of it is stored
	Revision                              uint64
}

// Ledgers is the table of the log files' accounts.
var Ledgers = Table[LedgerRow]{"ledgers", []column[LedgerRow]{
	names("tenant", func(r *LedgerRow) string { return r.Tenant }),
	names("namespace", func(r *LedgerRow) string { return r.Namespace }),
	names("function", func(r *LedgerRow) string { return r.Function }),
	col("instance", stringType, func(r *LedgerRow) string { return r.Instance }),
	col("file_id", stringType, func(r *LedgerRow) string { return r.FileID }),
	names("host", func(r *LedgerRow) string { return r.Host }),
	maybe("from", timeType, func(r *LedgerRow) *time.Time { return r.From }),
	maybe("to", timeType, func(r *LedgerRow) *time.Time { return r.To }),
	maybe("through", timeType, func(r *LedgerRow) *time.Time { return r.Through }),
	col("bytes", int64Type, func(r *LedgerRow) int64 { return r.Bytes }),
	col("lines", int64Type, func(r *LedgerRow) int64 { return r.Lines }),
	col("truncated_lines", int64Type, func(r *LedgerRow) int64 { return r.TruncatedLines }),
	col("truncated_bytes", int64Type, func(r *LedgerRow) int64 { return r.TruncatedBytes }),
	col("refused_lines", int64Type, func(r *LedgerRow) int64 { return r.RefusedLines }),
	col("lost_bytes", int64Type, func(r *LedgerRow) int64 { return r.LostBytes }),
	col("late_lines", int64Type, func(r *LedgerRow) int64 { return r.LateLines }),
	col("complete", boolType, func(r *LedgerRow) bool { return r.Complete }),
	col("revision", uint64Type, func(r *LedgerRow) uint64 { return r.Revision }),
}}

// GapRow is a piece of a log file that nobody can read any more.
type GapRow struct {
	Tenant, Namespace, Function, Instance string
	FileID                                string // empty if the file was never opened
	Offset                                int64
	Event                                 uint64 // names a gap without a file; else 0
	Host                                  string
	From                                  *time.Time // nil: not known
	To                                    time.Time  // the lost lines are from between these times
	Bytes                                 int64      // 0: not known
	Reason                                string
	Revision                              uint64
}

// Gaps is the table of what was lost.
var Gaps = Table[GapRow]{"gaps", []column[GapRow]{
	names("tenant", func(r *GapRow) string { return r.Tenant }),
	names("namespace", func(r *GapRow) string { return r.Namespace }),
	names("function", func(r *GapRow) string { return r.Function }),
	col("instance", stringType, func(r *GapRow) string { return r.Instance }),
	col("file_id", stringType, func(r *GapRow) string { return r.FileID }),
	col("offset", int64Type, func(r *GapRow) int64 { return r.Offset }),
	col("event", uint64Type, func(r *GapRow) uint64 { return r.Event }),
	names("host", func(r *GapRow) string { return r.Host }),
	maybe("from", timeType, func(r *GapRow) *time.Time { return r.From }),
	col("to", timeType, func(r *GapRow) time.Time { return r.To }),
	col("bytes", int64Type, func(r *GapRow) int64 { return r.Bytes }),
	names("reason", func(r *GapRow) string { return r.Reason }),
	col("revision", uint64Type, func(r *GapRow) uint64 { return r.Revision }),
}}
