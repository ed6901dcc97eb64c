package schema

import "time"

// Marked is the setting log_comment of an insert of rows whose minutes are
// marked already, and stay so until the insert ends; the views that mark minutes
// leave it alone.
const Marked = "coldscope: marked"

// MarkRow says of one minute of one function that rows came into it, or that
// its figures were computed. Times are nanoseconds of the server's clock, 0 for
// nothing to say; of several rows of a minute the highest count.
type MarkRow struct {
	Kind, Tenant, Namespace, Function string // Kind is lines, invocations or starts
	Minute                            time.Time
	Dirtied, Rolled                   uint64
}

// Marks is the table of minutes that have figures, or are to have them.
var Marks = Table[MarkRow]{"rollup_marks", []column[MarkRow]{
	enum("kind", []string{"lines", "invocations", "starts"}, func(r *MarkRow) string { return r.Kind }),
	names("tenant", func(r *MarkRow) string { return r.Tenant }),
	names("namespace", func(r *MarkRow) string { return r.Namespace }),
	names("function", func(r *MarkRow) string { return r.Function }),
	col("minute", minuteType, func(r *MarkRow) time.Time { return r.Minute }),
	col("dirtied", uint64Type, func(r *MarkRow) uint64 { return r.Dirtied }),
	col("rolled", uint64Type, func(r *MarkRow) uint64 { return r.Rolled }),
}}

// InstanceMarkRow says that facts of an instance's start came, and of which
// minutes its demand is said to be, if they tell.
type InstanceMarkRow struct {
	Tenant, Namespace, Function, Instance string
	Dirtied                               uint64
	Minutes                               []time.Time
}

// InstanceMarks is the table of instances by which their starts' minutes are marked.
var InstanceMarks = Table[InstanceMarkRow]{"rollup_instances", []column[InstanceMarkRow]{
	names("tenant", func(r *InstanceMarkRow) string { return r.Tenant }),
	names("namespace", func(r *InstanceMarkRow) string { return r.Namespace }),
	names("function", func(r *InstanceMarkRow) string { return r.Function }),
	col("instance", stringType, func(r *InstanceMarkRow) string { return r.Instance }),
	col("dirtied", uint64Type, func(r *InstanceMarkRow) uint64 { return r.Dirtied }),
	lists("minutes", minuteType, func(r *InstanceMarkRow) []time.Time { return r.Minutes }),
}}
