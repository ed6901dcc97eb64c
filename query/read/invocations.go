package read

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
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

// InvocationFilter says which invocations are listed. Empty fields say nothing.
type InvocationFilter struct {
	Namespace, Function string
	Range
	Status faas.Status
	Cold   *bool
	After  Cursor
	Limit  int // at least 1
}

// Cursor is a place in the list of invocations: that behind one of its rows.
// Rows that arrive while somebody reads the list do not move it.
type Cursor struct {
	startedAt         int64 // nanoseconds
	request, instance string
}

// ErrCursor means that a text is not a cursor's.
var ErrCursor = errors.New("not a cursor that this list gave out")

// String gives the cursor as ParseCursor takes it.
func (c Cursor) String() string {
	b, _ := json.Marshal([]string{strconv.FormatInt(c.startedAt, 36), c.request, c.instance}) // strings always encode
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote. The error is ErrCursor.
func ParseCursor(s string) (Cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	var parts []string
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 3 {
		return Cursor{}, ErrCursor
	}
	at, err := strconv.ParseInt(parts[0], 36, 64)
	if err != nil || at <= 0 {
		return Cursor{}, ErrCursor
	}
	return Cursor{at, parts[1], parts[2]}, nil
}

// Invocations lists invocations, newest first.
func (r *Reader) Invocations(ctx context.Context, tenant string, f InvocationFilter) (*InvocationList, error) {
	since, until := f.nanos()
	cold := ""
	if f.Cold != nil {
		cold = strconv.FormatBool(*f.Cold)
	}
	after := f.After
	if after.startedAt == 0 {
		after.startedAt = lastNS
	}
	rows, err := selectRows[invocationRow](ctx, r, "invocations", f.Limit+1, args{
		"tenant": tenant, "namespace": f.Namespace, "function": f.Function, "since": since, "until": until,
		"status": string(f.Status), "cold": cold, "limit": f.Limit + 1,
		"after_started": after.startedAt, "after_request": after.request, "after_instance": after.instance,
	})
	if err != nil {
		return nil, err
	}
	list := &InvocationList{Requests: make([]Invocation, 0, min(len(rows), f.Limit))}
	for i := range rows {
		if i == f.Limit {
			last := &rows[i-1]
			list.NextCursor = Cursor{last.StartedAt.UnixNano(), last.RequestID, last.Instance}.String()
			break
		}
		list.Requests = append(list.Requests, rows[i].invocation())
	}
	return list, nil
}

const maxFunctions = 1000

type functionRow struct {
	Namespace   string    `ch:"namespace"`
	Function    string    `ch:"function"`
	Invocations uint64    `ch:"invocations"`
	Cold        uint64    `ch:"cold_count"`
	Errors      uint64    `ch:"errors"`
	Quantiles   []float32 `ch:"quantiles"`
	LastSeen    time.Time `ch:"last_seen"`
}

// Functions sums up each function's invocations in a time range.
func (r *Reader) Functions(ctx context.Context, tenant string, within Range) (*FunctionList, error) {
	a := args{"tenant": tenant, "limit": maxFunctions + 1}
	ctx, rolled, err := r.figures(ctx, "invocations", within, a)
	if err != nil {
		return nil, err
	}
	query := "functions"
	if rolled {
		query = "functions_rolled"
	}
	rows, err := selectRows[functionRow](ctx, r, query, maxFunctions+1, a)
	if err != nil {
		return nil, err
	}
	list := &FunctionList{Functions: make([]Function, 0, len(rows))}
	for i := range rows {
		if i == maxFunctions {
			list.Truncated = true
			break
		}
		row := &rows[i]
		f := Function{
			Namespace: row.Namespace, Function: row.Function, Invocations: row.Invocations, Cold: row.Cold,
			ColdRatio: float64(row.Cold) / float64(row.Invocations), Errors: row.Errors, LastSeen: row.LastSeen.UTC(),
		}
		for q, to := range []**float64{&f.P50MS, &f.P95MS, &f.P99MS} {
			if ns := float64(row.Quantiles[q]); !math.IsNaN(ns) {
				ms := Millis(time.Duration(ns))
				*to = &ms
			}
		}
		list.Functions = append(list.Functions, f)
	}
	return list, nil
}
