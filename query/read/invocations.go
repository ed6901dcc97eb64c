package read

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

type invocationRow struct {
	Namespace  string     `ch:"namespace"`
	Function   string     `ch:"function"`
	StartedAt  time.Time  `ch:"started_at"`
	RequestID  string     `ch:"request_id"`
	Instance   string     `ch:"instance"`
	Version    *string    `ch:"version"`
	Trigger    *string    `ch:"trigger"`
	QueuedAt   *time.Time `ch:"queued_at"`
	EndedAt    *time.Time `ch:"ended_at"`
	Status     *string    `ch:"status"`
	HTTPStatus *uint16    `ch:"http_status"`
	Error      *string    `ch:"error"`
	DurationNS *int64     `ch:"duration_ns"`
	MemoryPeak *int64     `ch:"memory_peak"`
	CPUTimeNS  *int64     `ch:"cpu_time_ns"`
	BytesIn    *int64     `ch:"bytes_in"`
	BytesOut   *int64     `ch:"bytes_out"`
	Cold       *bool      `ch:"cold"`
	ColdWaitNS *int64     `ch:"cold_wait_ns"`

	UsageMemoryPeak *int64 `ch:"usage_memory_peak"`
	UsageCPUTimeNS  *int64 `ch:"usage_cpu_time_ns"`
	UsageShared     *bool  `ch:"usage_shared"`

	ClosedAt     *time.Time `ch:"closed_at"`
	ClosedStatus *string    `ch:"closed_status"`
	ClosedError  *string    `ch:"closed_error"`
	ClosedBy     *string    `ch:"closed_by"`
}

func (r *invocationRow) invocation() Invocation {
	r.close()
	v := Invocation{
		RequestID: r.RequestID, Namespace: r.Namespace, Function: r.Function, Version: value(r.Version), Instance: r.Instance,
		Trigger: value(r.Trigger), QueuedAt: utc(r.QueuedAt), StartedAt: r.StartedAt.UTC(), EndedAt: utc(r.EndedAt),
		Status: faas.StatusRunning, HTTPStatus: int(value(r.HTTPStatus)), Error: value(r.Error),
		DurationMS: millis(r.DurationNS), Cold: value(r.Cold),
		BytesIn: r.BytesIn, BytesOut: r.BytesOut,
	}
	r.usage(&v)
	if r.Status != nil {
		v.Status, v.ClosedBy = faas.Status(*r.Status), value(r.ClosedBy)
	}
	if v.Cold {
		v.ColdWaitMS = millis(r.ColdWaitNS)
	}
	if v.EndedAt != nil {
		from := v.StartedAt
		if v.QueuedAt != nil {
			from = *v.QueuedAt
		}
		total := Millis(v.EndedAt.Sub(from))
		v.TotalMS = &total
	}
	return v
}

// close puts in what the instance's end says where nobody has told how the
// invocation ended. What is told counts, whenever it came.
func (r *invocationRow) close() {
	if r.Status != nil || r.ClosedStatus == nil {
		r.ClosedBy = nil
		return
	}
	r.Status, r.Error = r.ClosedStatus, r.ClosedError
	if r.EndedAt == nil && r.ClosedAt != nil {
		r.EndedAt = r.ClosedAt
		ns := max(0, r.ClosedAt.Sub(r.StartedAt).Nanoseconds())
		r.DurationNS = &ns
	}
}

// usage tells what the invocation used: what the platform says, and where it
// says nothing what the host measured.
func (r *invocationRow) usage(v *Invocation) {
	memory, cpu := r.MemoryPeak, r.CPUTimeNS
	measured := false
	if memory == nil && r.UsageMemoryPeak != nil {
		memory, measured = r.UsageMemoryPeak, true
	}
	if cpu == nil && r.UsageCPUTimeNS != nil {
		cpu, measured = r.UsageCPUTimeNS, true
	}
	v.MemoryPeak, v.CPUTimeMS = memory, millis(cpu)
	v.UsageShared = measured && value(r.UsageShared)
}
