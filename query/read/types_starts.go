package read

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Bucket is one of a histogram's.
type Bucket struct {
	LeMS  *float64 `json:"le_ms,omitempty" doc:"It counts what took at most so long and longer than the bucket before; absent: no end"`
	Count uint64   `json:"count"`
}

// StartDistribution is how long the starts of one group took, or one of their phases.
type StartDistribution struct {
	Group string `json:"group" doc:"What the starts have in common; empty if they were not asked for by anything, or if it is not known"`
	Phase string `json:"phase" doc:"A phase, for as long as it was active in its start, or total from the demand to readiness"`
	Distribution
	MeanMS  float64  `json:"mean_ms"`
	Buckets []Bucket `json:"buckets" nullable:"false"`
}

// StartDistributionList is how long starts took, by groups.
type StartDistributionList struct {
	Distributions []StartDistribution `json:"distributions" nullable:"false" doc:"In the order of the groups and phases"`
	Truncated     bool                `json:"truncated,omitempty" doc:"There are more groups than this"`
}

// ComparedPhase is one phase in two selections of starts.
type ComparedPhase struct {
	Phase  string             `json:"phase" doc:"A phase, or total"`
	A      *StartDistribution `json:"a,omitempty" doc:"Absent if no start of the selection has it"`
	B      *StartDistribution `json:"b,omitempty"`
	P50MS  *float64           `json:"p50_ms,omitempty" doc:"What b takes longer than a"`
	P95MS  *float64           `json:"p95_ms,omitempty"`
	MeanMS *float64           `json:"mean_ms,omitempty"`
}

// StartComparison sets two selections of starts side by side.
type StartComparison struct {
	Phases []ComparedPhase `json:"phases" nullable:"false" doc:"The total first, then in the order of a start"`
}

// Instance is one life of an instance.
type Instance struct {
	Namespace      string              `json:"namespace"`
	Function       string              `json:"function"`
	Version        string              `json:"version"`
	Instance       string              `json:"instance"`
	Life           uint32              `json:"life,omitempty" doc:"0, unless the instance had stopped and was started again under its name"`
	Host           string              `json:"host,omitempty"`
	Initialization faas.Initialization `json:"initialization,omitempty" enum:"on-demand,provisioned"`
	RequestID      string              `json:"request_id,omitempty" doc:"The request that demanded it"`
	State          string              `json:"state" enum:"starting,ready,stopped,failed" doc:"failed: it ended before it was ready"`
	DemandedAt     *time.Time          `json:"demanded_at,omitempty"`
	ReadyAt        *time.Time          `json:"ready_at,omitempty"`
	StoppedAt      *time.Time          `json:"stopped_at,omitempty"`
	StopReason     string              `json:"stop_reason,omitempty"`
	ExitCode       *int32              `json:"exit_code,omitempty"`
	OOM            bool                `json:"oom,omitempty" doc:"It was killed for its memory"`
	StartMS        *float64            `json:"start_ms,omitempty" doc:"From the demand to readiness"`
	Image          string              `json:"image,omitempty"`
	Digest         string              `json:"digest,omitempty"`
	MemoryLimit    *int64              `json:"memory_limit,omitempty" doc:"Bytes"`
	MemoryPeak     *int64              `json:"memory_peak,omitempty" doc:"Bytes"`
	CPUTimeMS      *float64            `json:"cpu_time_ms,omitempty"`
	Requests       uint64              `json:"requests" doc:"That it handled, in all its lives"`
	Errors         uint64              `json:"errors" doc:"Of those, how many ended as error, timeout or oom"`
	Open           uint64              `json:"open" doc:"Of those, how many have not ended"`
	LastActiveAt   *time.Time          `json:"last_active_at,omitempty" doc:"When the last thing known of a request of it happened"`
}

// InstanceList is one piece of a list of instances.
type InstanceList struct {
	Instances  []Instance `json:"instances" nullable:"false"`
	NextCursor string     `json:"next_cursor,omitempty" doc:"Pass as cursor to read on; absent at the end"`
}

// Image is what the starts of one image took.
type Image struct {
	Digest      string     `json:"digest"`
	Image       string     `json:"image,omitempty" doc:"One of its names"`
	Registry    string     `json:"registry,omitempty"`
	Region      string     `json:"region,omitempty"`
	Bytes       *int64     `json:"bytes,omitempty" doc:"Compressed, as the registry holds it"`
	Starts      uint64     `json:"starts"`
	Pulls       uint64     `json:"pulls" doc:"Starts that pulled something of it"`
	Functions   uint64     `json:"functions" doc:"How many functions it is the image of"`
	Hosts       uint64     `json:"hosts" doc:"How many hosts it was started on"`
	PullMS      float64    `json:"pull_ms" doc:"Spent on pulling it, in all starts"`
	UnpackMS    float64    `json:"unpack_ms" doc:"Spent on unpacking it, in all starts"`
	LoadedBytes int64      `json:"loaded_bytes" doc:"Of the layers that were not on the host, in all starts"`
	Layers      uint64     `json:"layers" doc:"Layers that starts needed, in all starts"`
	CacheHits   uint64     `json:"cache_hits" doc:"Of those, how many were on the host already"`
	FirstSeen   *time.Time `json:"first_seen,omitempty" doc:"Demand of its first start in the range"`
	LastSeen    *time.Time `json:"last_seen,omitempty"`
}

// ImageList is the images of a time range.
type ImageList struct {
	Images    []Image `json:"images" nullable:"false" doc:"Those first on which most time was spent"`
	Truncated bool    `json:"truncated,omitempty" doc:"There are more images than this"`
}

// LayerFigures is what one layer took in many starts.
type LayerFigures struct {
	Digest     string  `json:"digest"`
	Bytes      int64   `json:"bytes" doc:"Compressed"`
	Starts     uint64  `json:"starts" doc:"Instances whose start needed it"`
	Pulls      uint64  `json:"pulls" doc:"Of those, how many had to pull it"`
	CacheHits  uint64  `json:"cache_hits" doc:"Of those, how many had it on the host already"`
	Lazy       uint64  `json:"lazy" doc:"Of those, how many loaded it on demand"`
	Functions  uint64  `json:"functions"`
	DownloadMS float64 `json:"download_ms" doc:"Spent in all starts"`
	UnpackMS   float64 `json:"unpack_ms" doc:"Spent in all starts"`
}

// LayerList is the layers that the starts of a time range needed.
type LayerList struct {
	Layers    []LayerFigures `json:"layers" nullable:"false" doc:"Those first on which most time was spent"`
	Truncated bool           `json:"truncated,omitempty" doc:"There are more layers than this"`
}

// FunctionVersion is what one version of a function did.
type FunctionVersion struct {
	Version     string           `json:"version"`
	Invocations uint64           `json:"invocations"`
	Cold        uint64           `json:"cold" doc:"Invocations that waited for a start"`
	ColdRatio   float64          `json:"cold_ratio" doc:"cold / invocations; 0 if there are none"`
	Errors      uint64           `json:"errors" doc:"Invocations that ended as error, timeout or oom"`
	ErrorRatio  float64          `json:"error_ratio" doc:"errors / invocations; 0 if there are none"`
	P50MS       *float64         `json:"p50_ms,omitempty" doc:"Of the time in the handler; absent while no invocation has ended"`
	P95MS       *float64         `json:"p95_ms,omitempty"`
	P99MS       *float64         `json:"p99_ms,omitempty"`
	FirstSeen   *time.Time       `json:"first_seen,omitempty" doc:"Start of the first invocation in the range, to the minute; absent if there are none"`
	LastSeen    *time.Time       `json:"last_seen,omitempty" doc:"Start of the newest invocation"`
	Digests     []FunctionDigest `json:"digests" nullable:"false" doc:"Images of its starts, the newest first"`
}

// FunctionDigest is one image of a version's starts.
type FunctionDigest struct {
	Digest    string    `json:"digest"`
	Starts    uint64    `json:"starts"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

// FunctionVersionList is the versions of one function.
type FunctionVersionList struct {
	Versions []FunctionVersion `json:"versions" nullable:"false" doc:"The newest first"`
}
