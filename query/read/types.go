package read

import (
	"math"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// The types of this file are what the API answers with, what the command line
// draws and what the console's types are generated from: their JSON names and
// doc tags are the product's words. Times are RFC 3339 with nanoseconds in
// UTC; durations are milliseconds with a fraction down to microseconds.

// Invocation is one attempt of one request on one instance.
type Invocation struct {
	RequestID   string      `json:"request_id" doc:"Name of the request"`
	Namespace   string      `json:"namespace"`
	Function    string      `json:"function"`
	Version     string      `json:"version" doc:"Version, alias or revision of the function; empty if not known"`
	Instance    string      `json:"instance" doc:"The instance that handled it"`
	Host        string      `json:"host,omitempty" doc:"Host of the instance; on the request's page only"`
	Trigger     string      `json:"trigger,omitempty" doc:"What caused it: http, event, timer or other"`
	QueuedAt    *time.Time  `json:"queued_at,omitempty" doc:"When the platform took the request in"`
	StartedAt   time.Time   `json:"started_at" doc:"When the instance was given the request; of status unknown: when it printed its first line"`
	EndedAt     *time.Time  `json:"ended_at,omitempty"`
	LastLineAt  *time.Time  `json:"last_line_at,omitempty" doc:"Of status unknown only: when it printed its last line so far"`
	Status      faas.Status `json:"status" enum:"ok,error,timeout,oom,cancelled,running,unknown" doc:"How it ended; running until that is known; unknown if nobody has told of the request, and only its lines name it: on the request's page only"`
	HTTPStatus  int         `json:"http_status,omitempty"`
	Error       string      `json:"error,omitempty"`
	ClosedBy    string      `json:"closed_by,omitempty" enum:"oom,timeout,crash,stop" doc:"Nobody has told how it ended: status, error and ended_at are those of its instance's end, which was this"`
	DurationMS  *float64    `json:"duration_ms,omitempty" doc:"Time in the handler"`
	Cold        bool        `json:"cold" doc:"Whether the request waited for its instance's start"`
	ColdWaitMS  *float64    `json:"cold_wait_ms,omitempty" doc:"How long it waited for that start"`
	TotalMS     *float64    `json:"total_ms,omitempty" doc:"From queued_at (else started_at) to ended_at"`
	MemoryPeak  *int64      `json:"memory_peak,omitempty" doc:"Bytes"`
	CPUTimeMS   *float64    `json:"cpu_time_ms,omitempty"`
	UsageShared bool        `json:"usage_shared,omitempty" doc:"memory_peak or cpu_time_ms is that of the whole instance while others ran on it, too: an estimate"`
	BytesIn     *int64      `json:"bytes_in,omitempty"`
	BytesOut    *int64      `json:"bytes_out,omitempty"`
}

// ColdStart is the start of one instance, from the demand to readiness.
type ColdStart struct {
	Namespace      string              `json:"namespace"`
	Function       string              `json:"function"`
	Version        string              `json:"version"`
	Instance       string              `json:"instance"`
	Host           string              `json:"host,omitempty"`
	Initialization faas.Initialization `json:"initialization,omitempty" enum:"on-demand,provisioned"`
	RequestID      string              `json:"request_id,omitempty" doc:"The request that demanded the instance"`
	DemandedAt     *time.Time          `json:"demanded_at,omitempty"`
	ReadyAt        *time.Time          `json:"ready_at,omitempty" doc:"Absent while it starts, or if the start failed"`
	StoppedAt      *time.Time          `json:"stopped_at,omitempty"`
	StopReason     string              `json:"stop_reason,omitempty"`
	ExitCode       *int32              `json:"exit_code,omitempty"`
	OOM            bool                `json:"oom,omitempty" doc:"The instance was killed for its memory"`
	Life           uint32              `json:"life,omitempty" doc:"0, unless the instance had stopped and was started again under its name"`
	ClockOffsetMS  *float64            `json:"clock_offset_ms,omitempty" doc:"The platform's clock is so far ahead of that of the instance's host, which stamps the lines; absent if nothing says that it is another one"`
	Image          string              `json:"image,omitempty"`
	Digest         string              `json:"digest,omitempty"`
	ImageBytes     *int64              `json:"image_bytes,omitempty" doc:"Compressed, as the registry holds it"`
	Registry       string              `json:"registry,omitempty"`
	Region         string              `json:"region,omitempty"`
	MemoryLimit    *int64              `json:"memory_limit,omitempty" doc:"Bytes"`
	MemoryPeak     *int64              `json:"-"` // bytes, of its whole life
	TotalMS        float64             `json:"total_ms" doc:"From demanded_at to ready_at; of an unfinished start up to the last thing known"`
	OtherMS        float64             `json:"other_ms" doc:"Part of total_ms that no phase explains"`
	Phases         []Phase             `json:"phases" nullable:"false" doc:"In order of their start; critical_ms and other_ms add up to total_ms"`
	Layers         []Layer             `json:"layers" nullable:"false"`
	CriticalPath   []Segment           `json:"critical_path" nullable:"false" doc:"What the start waited for, from demanded_at to ready_at without gaps"`
	Waiting        *Waiting            `json:"waiting,omitempty" doc:"The requests that waited behind it, the one that demanded it aside; on the request's page only"`
	Cause          *Cause              `json:"cause,omitempty" doc:"Why there was a start at all; on the request's page only"`
}

// Waiting is who waited behind a start.
type Waiting struct {
	Count      uint64   `json:"count"`
	RequestIDs []string `json:"request_ids" nullable:"false" doc:"The first 20 of them, in the order in which they came"`
}

// Cause says why an instance was started, with what speaks for it.
type Cause struct {
	Kind     string     `json:"kind" enum:"first-start,new-version,new-image,new-configuration,out-of-memory,crash,timeout,failed-start,retry,provisioned,spill-over,scale-out,idle-reclaim,unknown"`
	Evidence string     `json:"evidence" doc:"One sentence"`
	Facts    CauseFacts `json:"facts"`
	Besides  []Besides  `json:"besides,omitempty" nullable:"false" doc:"What else made the start come, or long"`
}

// Besides is something that is not the cause, and counts all the same.
type Besides struct {
	Kind     string `json:"kind" enum:"retry,host-without-image"`
	Evidence string `json:"evidence" doc:"One sentence"`
}

// CauseFacts is how the function stood when the instance was demanded.
// Instances are those of the start's version, as far as that is known.
type CauseFacts struct {
	EarlierStarts int              `json:"earlier_starts" doc:"Of the function, that are stored; 1000 at most"`
	Ready         int              `json:"ready_instances" doc:"That could have served a request"`
	Busy          int              `json:"busy_instances" doc:"Those of them that were serving one"`
	Provisioned   int              `json:"provisioned_instances" doc:"Those of the ready ones that were held ready in advance"`
	Starting      int              `json:"starting_instances"`
	InFlight      uint64           `json:"in_flight" doc:"Requests that the ready instances were serving"`
	LastStopped   *StoppedInstance `json:"last_stopped,omitempty" doc:"The instance that had stopped last"`
	Changed       []Change         `json:"changed,omitempty" nullable:"false" doc:"Against the function's start before"`
	Attempt       *EarlierAttempt  `json:"earlier_attempt,omitempty" doc:"Of the request that demanded the instance"`
	ImageHosts    []string         `json:"image_hosts,omitempty" nullable:"false" doc:"Other hosts that had the image; 10 at most"`
}

// StoppedInstance is an instance that had ended before another one started.
type StoppedInstance struct {
	Instance    string     `json:"instance"`
	StoppedAt   time.Time  `json:"stopped_at"`
	Reason      string     `json:"reason,omitempty"`
	ExitCode    *int32     `json:"exit_code,omitempty"`
	OOM         bool       `json:"oom,omitempty"`
	LastEndedAt *time.Time `json:"last_request_ended_at,omitempty" doc:"As far as the hour before the start goes"`
	KeptMS      *float64   `json:"kept_alive_ms,omitempty" doc:"From its last request's end to its own"`
	GapMS       float64    `json:"gap_ms" doc:"From its end to the demand for the next"`
}

// Change is something that is not as it was.
type Change struct {
	What   string `json:"what" enum:"version,digest,memory_limit"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// EarlierAttempt is an attempt that was followed by another one.
type EarlierAttempt struct {
	Instance  string      `json:"instance"`
	StartedAt time.Time   `json:"started_at"`
	EndedAt   *time.Time  `json:"ended_at,omitempty"`
	Status    faas.Status `json:"status" enum:"ok,error,timeout,oom,cancelled,running"`
}

// Phase is one interval of a start.
type Phase struct {
	Name       faas.Phase        `json:"name" enum:"queue,schedule,credentials,resolve,pull,unpack,create,start,init"`
	Start      time.Time         `json:"start"`
	End        time.Time         `json:"end"`
	DurationMS float64           `json:"duration_ms"`
	CriticalMS float64           `json:"critical_ms" doc:"Its share of the critical path: what the start waited for it"`
	Error      string            `json:"error,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Layer is one layer of the image.
type Layer struct {
	Digest        string     `json:"digest"`
	Bytes         int64      `json:"bytes" doc:"Compressed"`
	Cache         string     `json:"cache,omitempty" doc:"hit, miss or lazy"`
	DownloadStart *time.Time `json:"download_start,omitempty"`
	DownloadEnd   *time.Time `json:"download_end,omitempty"`
	UnpackStart   *time.Time `json:"unpack_start,omitempty"`
	UnpackEnd     *time.Time `json:"unpack_end,omitempty"`
}

// Other names the part of a start that no phase explains.
const Other = "other"

// Segment is one piece of a critical path.
type Segment struct {
	Name  string    `json:"name" doc:"A phase, or other"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Line is one log line, or one event of the platform in words.
type Line struct {
	Time        time.Time        `json:"ts"`
	Stream      faas.Stream      `json:"stream" enum:"stdout,stderr,platform"`
	Body        string           `json:"body"`
	Attribution faas.Attribution `json:"attribution" enum:"explicit,window,init,late,ambiguous,none" doc:"The evidence by which the line got its request"`
	RequestID   string           `json:"request_id,omitempty"`
	Candidates  []string         `json:"candidates,omitempty" nullable:"false" doc:"The requests that an ambiguous line may belong to"`
	Truncated   uint64           `json:"truncated,omitempty" doc:"Bytes cut from the end of body"`
	FileID      string           `json:"file_id" doc:"The log file's generation, 16 hex digits"`
	Offset      uint64           `json:"offset" doc:"Of the line's first byte in that file"`
}

// FoundLine is a line, and where it is from.
type FoundLine struct {
	Namespace string `json:"namespace"`
	Function  string `json:"function"`
	Version   string `json:"version"`
	Instance  string `json:"instance"`
	Host      string `json:"host,omitempty"`
	Line
	Level      string            `json:"level" enum:"trace,debug,info,warn,error,fatal,unknown" doc:"What the line says of itself; unknown if it says nothing"`
	TraceID    string            `json:"trace_id,omitempty"`
	SpanID     string            `json:"span_id,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty" doc:"What the line says in fields, its time, level, message and request aside"`
}

// LineList is one piece of a list of lines.
type LineList struct {
	Lines      []FoundLine `json:"lines" nullable:"false" doc:"In the order that was asked for"`
	NextCursor string      `json:"next_cursor,omitempty" doc:"Pass as cursor to read on; absent at the end"`
}

// LineContext is a line with what was printed around it.
type LineContext struct {
	Before []FoundLine `json:"before" nullable:"false" doc:"In the order of time, the nearest last"`
	Line   FoundLine   `json:"line"`
	After  []FoundLine `json:"after" nullable:"false" doc:"In the order of time, the nearest first"`
}

// LineCount is how many lines of one kind there were in one step of time.
type LineCount struct {
	Time  time.Time `json:"time" ch:"time" doc:"When the step begins"`
	Group string    `json:"group,omitempty" ch:"group" doc:"What the lines have in common"`
	Lines uint64    `json:"lines" ch:"lines"`
	Bytes uint64    `json:"bytes" ch:"bytes" doc:"Of the lines' bodies"`
}

// Histogram counts lines by steps of time.
type Histogram struct {
	StepMS float64     `json:"step_ms" doc:"Length of the steps"`
	Counts []LineCount `json:"counts" nullable:"false" doc:"In the order of time; steps without lines are left out"`
}

// Advice is one way to a faster start, with what speaks for it. What several
// of them save does not add up: they may remove the same wait.
type Advice struct {
	Kind     string  `json:"kind" enum:"queue,image-size,registry-bandwidth,layer-cache,init,provisioned"`
	Title    string  `json:"title"`
	Evidence string  `json:"evidence" doc:"The facts of this start that it rests on"`
	SavesMS  float64 `json:"saves_ms" doc:"What it would have saved of this start, at most"`
}

// Whether all lines of a request are on its page.
const (
	Complete = "complete" // its log files are accounted for from its start to behind its end
	Partial  = "partial"  // something is known to be missing
	Unknown  = "unknown"  // not confirmed, or not confirmed yet
)

// Completeness tells whether all that was printed for a request is on its page.
type Completeness struct {
	State          string `json:"state" enum:"complete,partial,unknown" doc:"unknown until the collector's account of the log files covers the request: up to a minute after the next line, or until the file ends; for ever if the sender of the lines keeps no such account, or if nobody tells when the request ended"`
	Gaps           []Gap  `json:"gaps" nullable:"false" doc:"Pieces of the instance's log files that nobody can read any more and that may be from the time of the request"`
	TruncatedLines int64  `json:"truncated_lines" doc:"Lines whose ends were cut off before they were stored"`
	RefusedLines   int64  `json:"refused_lines" doc:"Lines that could not be stored, of the log files with lines from the time of the request"`
	LostBytes      int64  `json:"lost_bytes" doc:"Of all gaps, as far as their sizes are known"`
	LateLines      int64  `json:"late_lines" doc:"Lines that were read long after they were written, of the log files with lines from the time of the request; nothing of them is missing"`
}

// Gap is a piece of a log file that nobody can read any more.
type Gap struct {
	FileID string         `json:"file_id" doc:"The log file's generation, 16 hex digits; empty if it was never opened"`
	Offset int64          `json:"offset" doc:"Of its first byte in that file"`
	Host   string         `json:"host,omitempty" doc:"Of the collector that found it"`
	From   *time.Time     `json:"from,omitempty" doc:"The lost lines are not from before this; absent if that is not known"`
	To     time.Time      `json:"to" doc:"The lost lines are not from after this"`
	Bytes  int64          `json:"bytes" doc:"0: not known"`
	Reason faas.GapReason `json:"reason" enum:"vanished,pinned,truncated,spool" doc:"vanished: the file was deleted while no collector ran; pinned: deleted files held more than their limit; truncated: the file was truncated before it was read; spool: what was saved became too much or too old"`
}

// Page is everything about one request.
type Page struct {
	Invocation     Invocation   `json:"invocation" doc:"The newest attempt"`
	Attempts       []Invocation `json:"attempts,omitempty" nullable:"false" doc:"Earlier attempts, newest first"`
	ColdStart      *ColdStart   `json:"cold_start" doc:"The start that the request waited for; null if it waited for none"`
	Lines          []Line       `json:"lines" nullable:"false" doc:"In order of time; those that are not known to be the request's are marked by their attribution"`
	LinesTruncated bool         `json:"lines_truncated,omitempty" doc:"There are more lines than this page holds"`
	Neighbours     []Invocation `json:"neighbours" nullable:"false" doc:"What else its instance handled: up to five requests before and five after it, within an hour, in the order of time"`
	Completeness   Completeness `json:"completeness" doc:"Whether all that was printed for the request is here"`
	Advice         []Advice     `json:"advice" nullable:"false" doc:"What saves most comes first"`
}

// InvocationList is one piece of the list of requests.
type InvocationList struct {
	Requests   []Invocation `json:"requests" nullable:"false" doc:"Newest first"`
	NextCursor string       `json:"next_cursor,omitempty" doc:"Pass as cursor to read on; absent at the end"`
}

// Function is what one function did in a time range.
type Function struct {
	Namespace   string    `json:"namespace"`
	Function    string    `json:"function"`
	Invocations uint64    `json:"invocations"`
	Cold        uint64    `json:"cold" doc:"Invocations that waited for a start"`
	ColdRatio   float64   `json:"cold_ratio" doc:"cold / invocations"`
	Errors      uint64    `json:"errors" doc:"Invocations that ended as error, timeout or oom"`
	ErrorRatio  float64   `json:"error_ratio" doc:"errors / invocations"`
	P50MS       *float64  `json:"p50_ms,omitempty" doc:"Of the time in the handler; absent while no invocation has ended"`
	P95MS       *float64  `json:"p95_ms,omitempty"`
	P99MS       *float64  `json:"p99_ms,omitempty"`
	LastSeen    time.Time `json:"last_seen" doc:"Start of the newest invocation"`
}

// FunctionList is the functions that were invoked in a time range.
type FunctionList struct {
	Functions []Function `json:"functions" nullable:"false" doc:"Most invocations first"`
	Truncated bool       `json:"truncated,omitempty" doc:"There are more functions than this"`
}

// Distribution sums up durations.
type Distribution struct {
	Count uint64  `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P90MS float64 `json:"p90_ms"`
	P95MS float64 `json:"p95_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
}

// PhaseStats is what one phase took in many starts.
type PhaseStats struct {
	Phase string `json:"phase" doc:"A phase, or other for what no phase explains"`
	Distribution
	Share float64 `json:"share" doc:"Of the critical paths of all starts together, 0 to 1; all shares and that of other add up to 1"`
}

// ColdStartStats sums up the cold starts of a time range.
type ColdStartStats struct {
	Count      uint64             `json:"count" doc:"Finished starts that the figures are made of"`
	Unfinished uint64             `json:"unfinished" doc:"Starts that failed or are not ready yet; not in the figures"`
	Truncated  bool               `json:"truncated,omitempty" doc:"There are more starts; the figures are made of the newest"`
	Total      Distribution       `json:"total" doc:"From the demand to readiness"`
	Phases     []PhaseStats       `json:"phases" nullable:"false" doc:"In the order of a start; only those that occurred"`
	Other      PhaseStats         `json:"other" doc:"What no phase explains"`
	Slowest    []ColdStartSummary `json:"slowest" nullable:"false" doc:"Finished starts, slowest first"`
	Recent     []ColdStartSummary `json:"recent" nullable:"false" doc:"All starts, newest demand first"`
}

// ColdStartSummary is one start in a list.
type ColdStartSummary struct {
	Namespace      string              `json:"namespace"`
	Function       string              `json:"function"`
	Version        string              `json:"version"`
	Instance       string              `json:"instance"`
	Host           string              `json:"host,omitempty"`
	Initialization faas.Initialization `json:"initialization,omitempty" enum:"on-demand,provisioned"`
	RequestID      string              `json:"request_id,omitempty" doc:"The request that demanded it"`
	DemandedAt     time.Time           `json:"demanded_at"`
	ReadyAt        *time.Time          `json:"ready_at,omitempty"`
	StopReason     string              `json:"stop_reason,omitempty" doc:"Why it ended, of a start that never became ready"`
	TotalMS        float64             `json:"total_ms"`
	Digest         string              `json:"digest,omitempty"`
	ImageBytes     *int64              `json:"image_bytes,omitempty"`
	LongestPhase   string              `json:"longest_phase,omitempty" doc:"The phase with the largest share of the critical path"`
	LongestMS      float64             `json:"longest_ms,omitempty" doc:"That share"`
}

// Millis gives d in milliseconds, down to whole microseconds.
func Millis(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

func millis(ns *int64) *float64 {
	if ns == nil {
		return nil
	}
	ms := Millis(time.Duration(*ns))
	return &ms
}
