package schema

import "time"

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
	col("tenant", func(r *InvocationRow) string { return r.Tenant }),
	col("namespace", func(r *InvocationRow) string { return r.Namespace }),
	col("function", func(r *InvocationRow) string { return r.Function }),
	col("started_at", func(r *InvocationRow) time.Time { return r.StartedAt }),
	col("request_id", func(r *InvocationRow) string { return r.RequestID }),
	col("instance", func(r *InvocationRow) string { return r.Instance }),
	col("version", func(r *InvocationRow) *string { return r.Version }),
	col("trigger", func(r *InvocationRow) *string { return r.Trigger }),
	col("queued_at", func(r *InvocationRow) *time.Time { return r.QueuedAt }),
	col("ended_at", func(r *InvocationRow) *time.Time { return r.EndedAt }),
	col("status", func(r *InvocationRow) *string { return r.Status }),
	col("http_status", func(r *InvocationRow) *uint16 { return r.HTTPStatus }),
	col("error", func(r *InvocationRow) *string { return r.Error }),
	col("duration_ns", func(r *InvocationRow) *int64 { return r.DurationNS }),
	col("memory_peak", func(r *InvocationRow) *int64 { return r.MemoryPeak }),
	col("cpu_time_ns", func(r *InvocationRow) *int64 { return r.CPUTimeNS }),
	col("bytes_in", func(r *InvocationRow) *int64 { return r.BytesIn }),
	col("bytes_out", func(r *InvocationRow) *int64 { return r.BytesOut }),
	col("cold", func(r *InvocationRow) *bool { return r.Cold }),
	col("cold_wait_ns", func(r *InvocationRow) *int64 { return r.ColdWaitNS }),
	col("usage_memory_peak", func(r *InvocationRow) *int64 { return r.UsageMemoryPeak }),
	col("usage_cpu_time_ns", func(r *InvocationRow) *int64 { return r.UsageCPUTimeNS }),
	col("usage_shared", func(r *InvocationRow) *bool { return r.UsageShared }),
	col("closed_at", func(r *InvocationRow) *time.Time { return r.ClosedAt }),
	col("closed_status", func(r *InvocationRow) *string { return r.ClosedStatus }),
	col("closed_error", func(r *InvocationRow) *string { return r.ClosedError }),
	col("closed_by", func(r *InvocationRow) *string { return r.ClosedBy }),
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
	col("tenant", func(r *ColdStartRow) string { return r.Tenant }),
	col("namespace", func(r *ColdStartRow) string { return r.Namespace }),
	col("function", func(r *ColdStartRow) string { return r.Function }),
	col("instance", func(r *ColdStartRow) string { return r.Instance }),
	col("version", func(r *ColdStartRow) *string { return r.Version }),
	col("host", func(r *ColdStartRow) *string { return r.Host }),
	col("initialization", func(r *ColdStartRow) *string { return r.Initialization }),
	col("request_id", func(r *ColdStartRow) *string { return r.RequestID }),
	col("demanded_at", func(r *ColdStartRow) *time.Time { return r.DemandedAt }),
	col("ready_at", func(r *ColdStartRow) *time.Time { return r.ReadyAt }),
	col("stopped_at", func(r *ColdStartRow) *time.Time { return r.StoppedAt }),
	col("stop_reason", func(r *ColdStartRow) *string { return r.StopReason }),
	col("exit_code", func(r *ColdStartRow) *int32 { return r.ExitCode }),
	col("oom", func(r *ColdStartRow) *bool { return r.OOM }),
	col("memory_peak", func(r *ColdStartRow) *int64 { return r.MemoryPeak }),
	col("image", func(r *ColdStartRow) *string { return r.Image }),
	col("digest", func(r *ColdStartRow) *string { return r.Digest }),
	col("image_bytes", func(r *ColdStartRow) *int64 { return r.ImageBytes }),
	col("registry", func(r *ColdStartRow) *string { return r.Registry }),
	col("region", func(r *ColdStartRow) *string { return r.Region }),
	col("memory_limit", func(r *ColdStartRow) *int64 { return r.MemoryLimit }),
	col("cpu_time_ns", func(r *ColdStartRow) *int64 { return r.CPUTimeNS }),
	col("life", func(r *ColdStartRow) uint32 { return r.Life }),
	col("clock_offset_ns", func(r *ColdStartRow) *int64 { return r.ClockOffsetNS }),
	col("clock_slack_ns", func(r *ColdStartRow) *int64 { return r.ClockSlackNS }),
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
	col("tenant", func(r *PhaseRow) string { return r.Tenant }),
	col("namespace", func(r *PhaseRow) string { return r.Namespace }),
	col("function", func(r *PhaseRow) string { return r.Function }),
	col("instance", func(r *PhaseRow) string { return r.Instance }),
	col("phase", func(r *PhaseRow) string { return r.Phase }),
	col("start", func(r *PhaseRow) time.Time { return r.Start }),
	col("end", func(r *PhaseRow) time.Time { return r.End }),
	col("version", func(r *PhaseRow) string { return r.Version }),
	col("error", func(r *PhaseRow) string { return r.Error }),
	col("attributes", func(r *PhaseRow) map[string]string { return r.Attributes }),
	col("revision", func(r *PhaseRow) uint64 { return r.Revision }),
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
	col("tenant", func(r *LayerRow) string { return r.Tenant }),
	col("namespace", func(r *LayerRow) string { return r.Namespace }),
	col("function", func(r *LayerRow) string { return r.Function }),
	col("instance", func(r *LayerRow) string { return r.Instance }),
	col("digest", func(r *LayerRow) string { return r.Digest }),
	col("bytes", func(r *LayerRow) int64 { return r.Bytes }),
	col("cache", func(r *LayerRow) string { return r.Cache }),
	col("download_start", func(r *LayerRow) *time.Time { return r.DownloadStart }),
	col("download_end", func(r *LayerRow) *time.Time { return r.DownloadEnd }),
	col("unpack_start", func(r *LayerRow) *time.Time { return r.UnpackStart }),
	col("unpack_end", func(r *LayerRow) *time.Time { return r.UnpackEnd }),
	col("revision", func(r *LayerRow) uint64 { return r.Revision }),
}}
