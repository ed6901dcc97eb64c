package schema

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// InvocationRow is what is known of one attempt of one request; nil is "not known".
type InvocationRow struct {
	Tenant, Namespace, Function       string
	StartedAt                         time.Time
	RequestID, Instance               string
	Version, Trigger                  *string
	QueuedAt, EndedAt                 *time.Time
	Status                            *string
	HTTPStatus                        *uint16
	Error                             *string
	DurationNS, MemoryPeak, CPUTimeNS *int64
	BytesIn, BytesOut                 *int64
	Cold                              *bool
	ColdWaitNS                        *int64 // how long the request waited for the instance's start

	// What the host measured; it counts where MemoryPeak and CPUTimeNS are nil.
	UsageMemoryPeak, UsageCPUTimeNS *int64
	UsageShared                     *bool // others ran on the instance at the same time

	// What ended the invocation as far as its instance's end tells; it counts
	// where Status is nil.
	ClosedAt                            *time.Time
	ClosedStatus, ClosedError, ClosedBy *string
}

// Invocations is the table of invocations.
var Invocations = Table[InvocationRow]{"invocations", []column[InvocationRow]{
	names("tenant", func(r *InvocationRow) string { return r.Tenant }),
	names("namespace", func(r *InvocationRow) string { return r.Namespace }),
	names("function", func(r *InvocationRow) string { return r.Function }),
	col("started_at", timeType, func(r *InvocationRow) time.Time { return r.StartedAt }),
	col("request_id", stringType, func(r *InvocationRow) string { return r.RequestID }),
	col("instance", stringType, func(r *InvocationRow) string { return r.Instance }),
	maybe("version", stringType, func(r *InvocationRow) *string { return r.Version }),
	maybe("trigger", stringType, func(r *InvocationRow) *string { return r.Trigger }),
	maybe("queued_at", timeType, func(r *InvocationRow) *time.Time { return r.QueuedAt }),
	maybe("ended_at", timeType, func(r *InvocationRow) *time.Time { return r.EndedAt }),
	maybe("status", stringType, func(r *InvocationRow) *string { return r.Status }),
	maybe("http_status", uint16Type, func(r *InvocationRow) *uint16 { return r.HTTPStatus }),
	maybe("error", stringType, func(r *InvocationRow) *string { return r.Error }),
	maybe("duration_ns", int64Type, func(r *InvocationRow) *int64 { return r.DurationNS }),
	maybe("memory_peak", int64Type, func(r *InvocationRow) *int64 { return r.MemoryPeak }),
	maybe("cpu_time_ns", int64Type, func(r *InvocationRow) *int64 { return r.CPUTimeNS }),
	maybe("bytes_in", int64Type, func(r *InvocationRow) *int64 { return r.BytesIn }),
	maybe("bytes_out", int64Type, func(r *InvocationRow) *int64 { return r.BytesOut }),
	maybe("cold", boolType, func(r *InvocationRow) *bool { return r.Cold }),
	maybe("cold_wait_ns", int64Type, func(r *InvocationRow) *int64 { return r.ColdWaitNS }),
	maybe("usage_memory_peak", int64Type, func(r *InvocationRow) *int64 { return r.UsageMemoryPeak }),
	maybe("usage_cpu_time_ns", int64Type, func(r *InvocationRow) *int64 { return r.UsageCPUTimeNS }),
	maybe("usage_shared", boolType, func(r *InvocationRow) *bool { return r.UsageShared }),
	maybe("closed_at", timeType, func(r *InvocationRow) *time.Time { return r.ClosedAt }),
	maybe("closed_status", stringType, func(r *InvocationRow) *string { return r.ClosedStatus }),
	maybe("closed_error", stringType, func(r *InvocationRow) *string { return r.ClosedError }),
	maybe("closed_by", stringType, func(r *InvocationRow) *string { return r.ClosedBy }),
}}

// ColdStartRow is what is known of one life of one instance; nil is "not known".
type ColdStartRow struct {
	Tenant, Namespace, Function, Instance    string
	Version, Host, Initialization, RequestID *string
	DemandedAt, ReadyAt, StoppedAt           *time.Time
	StopReason                               *string
	ExitCode                                 *int32
	OOM                                      *bool
	MemoryPeak                               *int64
	Image, Digest                            *string
	ImageBytes                               *int64
	Registry, Region                         *string
	MemoryLimit                              *int64
	CPUTimeNS                                *int64 // of the instance's whole life
	Life                                     uint32 // 0, unless the instance had stopped and came back under its name
	// The platform's clock is so far ahead of that of the instance's host, as
	// far as ClockSlackNS; nil: not known to be another.
	ClockOffsetNS, ClockSlackNS *int64
}

// ColdStarts is the table of instances and their starts.
var ColdStarts = Table[ColdStartRow]{"cold_starts", []column[ColdStartRow]{
	names("tenant", func(r *ColdStartRow) string { return r.Tenant }),
	names("namespace", func(r *ColdStartRow) string { return r.Namespace }),
	names("function", func(r *ColdStartRow) string { return r.Function }),
	col("instance", stringType, func(r *ColdStartRow) string { return r.Instance }),
	maybe("version", stringType, func(r *ColdStartRow) *string { return r.Version }),
	maybe("host", stringType, func(r *ColdStartRow) *string { return r.Host }),
	maybe("initialization", stringType, func(r *ColdStartRow) *string { return r.Initialization }),
	maybe("request_id", stringType, func(r *ColdStartRow) *string { return r.RequestID }),
	maybe("demanded_at", timeType, func(r *ColdStartRow) *time.Time { return r.DemandedAt }),
	maybe("ready_at", timeType, func(r *ColdStartRow) *time.Time { return r.ReadyAt }),
	maybe("stopped_at", timeType, func(r *ColdStartRow) *time.Time { return r.StoppedAt }),
	maybe("stop_reason", stringType, func(r *ColdStartRow) *string { return r.StopReason }),
	maybe("exit_code", int32Type, func(r *ColdStartRow) *int32 { return r.ExitCode }),
	maybe("oom", boolType, func(r *ColdStartRow) *bool { return r.OOM }),
	maybe("memory_peak", int64Type, func(r *ColdStartRow) *int64 { return r.MemoryPeak }),
	maybe("image", stringType, func(r *ColdStartRow) *string { return r.Image }),
	maybe("digest", stringType, func(r *ColdStartRow) *string { return r.Digest }),
	maybe("image_bytes", int64Type, func(r *ColdStartRow) *int64 { return r.ImageBytes }),
	maybe("registry", stringType, func(r *ColdStartRow) *string { return r.Registry }),
	maybe("region", stringType, func(r *ColdStartRow) *string { return r.Region }),
	maybe("memory_limit", int64Type, func(r *ColdStartRow) *int64 { return r.MemoryLimit }),
	maybe("cpu_time_ns", int64Type, func(r *ColdStartRow) *int64 { return r.CPUTimeNS }),
	col("life", uint32Type, func(r *ColdStartRow) uint32 { return r.Life }),
	maybe("clock_offset_ns", int64Type, func(r *ColdStartRow) *int64 { return r.ClockOffsetNS }),
	maybe("clock_slack_ns", int64Type, func(r *ColdStartRow) *int64 { return r.ClockSlackNS }),
}}

// PhaseRow is one interval of a start.
type PhaseRow struct {
	Tenant, Namespace, Function, Instance string
	Phase                                 string
	Start, End                            time.Time
	Version, Error                        string
	Attributes                            map[string]string
	Revision                              uint64
}

// Phases is the table of the starts' intervals.
var Phases = Table[PhaseRow]{"phases", []column[PhaseRow]{
	names("tenant", func(r *PhaseRow) string { return r.Tenant }),
	names("namespace", func(r *PhaseRow) string { return r.Namespace }),
	names("function", func(r *PhaseRow) string { return r.Function }),
	col("instance", stringType, func(r *PhaseRow) string { return r.Instance }),
	names("phase", func(r *PhaseRow) string { return r.Phase }),
	col("start", timeType, func(r *PhaseRow) time.Time { return r.Start }),
	col("end", timeType, func(r *PhaseRow) time.Time { return r.End }),
	names("version", func(r *PhaseRow) string { return r.Version }),
	col("error", stringType, func(r *PhaseRow) string { return r.Error }),
	attributes("attributes", func(r *PhaseRow) []faas.Attribute { return attributesOf(r.Attributes) }),
	col("revision", uint64Type, func(r *PhaseRow) uint64 { return r.Revision }),
}}

// LayerRow is one layer that a start needed.
type LayerRow struct {
	Tenant, Namespace, Function, Instance string
	Digest                                string
	Bytes                                 int64
	Cache                                 string
	DownloadStart, DownloadEnd            *time.Time
	UnpackStart, UnpackEnd                *time.Time
	Revision                              uint64
}

// Layers is the table of layers.
var Layers = Table[LayerRow]{"layers", []column[LayerRow]{
	names("tenant", func(r *LayerRow) string { return r.Tenant }),
	names("namespace", func(r *LayerRow) string { return r.Namespace }),
	names("function", func(r *LayerRow) string { return r.Function }),
	col("instance", stringType, func(r *LayerRow) string { return r.Instance }),
	col("digest", stringType, func(r *LayerRow) string { return r.Digest }),
	col("bytes", int64Type, func(r *LayerRow) int64 { return r.Bytes }),
	names("cache", func(r *LayerRow) string { return r.Cache }),
	maybe("download_start", timeType, func(r *LayerRow) *time.Time { return r.DownloadStart }),
	maybe("download_end", timeType, func(r *LayerRow) *time.Time { return r.DownloadEnd }),
	maybe("unpack_start", timeType, func(r *LayerRow) *time.Time { return r.UnpackStart }),
	maybe("unpack_end", timeType, func(r *LayerRow) *time.Time { return r.UnpackEnd }),
	col("revision", uint64Type, func(r *LayerRow) uint64 { return r.Revision }),
}}
