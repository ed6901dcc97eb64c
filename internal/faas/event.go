package faas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// EventType is a CloudEvents type.
type EventType string

// The event types.
const (
	TypeDemanded          EventType = "dev.coldscope.instance.demanded"
	TypePhase             EventType = "dev.coldscope.instance.phase"
	TypeLayerPulled       EventType = "dev.coldscope.instance.layer.pulled"
	TypeReady             EventType = "dev.coldscope.instance.ready"
	TypeStopped           EventType = "dev.coldscope.instance.stopped"
	TypeInvocationStarted EventType = "dev.coldscope.invocation.started"
	TypeInvocationEnded   EventType = "dev.coldscope.invocation.ended"
	TypeInvocationUsage   EventType = "dev.coldscope.invocation.usage"
	TypeLedger            EventType = "dev.coldscope.log.ledger"
	TypeGap               EventType = "dev.coldscope.log.gap"
)

// Event is one fact from the platform or the runtime. Source and ID together
// make it idempotent; Time is when it happened, on the clock of Source's host.
// Observed says that nobody told it: a collector saw it from outside. Where a
// platform tells the same fact, its word counts.
type Event struct {
	ID       string
	Source   string
	Time     time.Time
	Observed bool
	Ref
	Data Data
}

// Type is the CloudEvents type of the event's data.
func (e *Event) Type() EventType { return e.Data.eventType() }

// Data is what an event says: one of Demanded, PhaseDone, LayerPulled, Ready,
// Stopped, InvocationStarted, InvocationEnded, InvocationUsage, Ledger, Gap (as
// values).
type Data interface {
	eventType() EventType
	validate() error
}

// Demanded begins a start: somebody needs a new instance. RequestID names the
// request that could not be served without it; it is empty for a provisioned one.
type Demanded struct {
	RequestID      string         `json:"request_id,omitempty"`
	Initialization Initialization `json:"initialization"`
	Image          string         `json:"image,omitempty"`
	Digest         string         `json:"digest,omitempty"`
	ImageBytes     int64          `json:"image_bytes,omitempty"` // compressed, as the registry holds it
	Registry       string         `json:"registry,omitempty"`
	Region         string         `json:"region,omitempty"`
	MemoryLimit    int64          `json:"memory_limit,omitempty"` // bytes (faas.max_memory)
}

// PhaseDone is one finished phase of a start. A phase that failed has Error.
type PhaseDone struct {
	Name       Phase      `json:"name"`
	Start      time.Time  `json:"start"`
	End        time.Time  `json:"end"`
	Error      string     `json:"error,omitempty"`
	Attributes Attributes `json:"attributes,omitempty"`
}

// LayerPulled is one layer of the image. A cached layer has Cache "hit" and no intervals.
type LayerPulled struct {
	Digest        string    `json:"digest"`
	Bytes         int64     `json:"bytes,omitempty"` // compressed
	DownloadStart time.Time `json:"download_start,omitzero"`
	DownloadEnd   time.Time `json:"download_end,omitzero"`
	UnpackStart   time.Time `json:"unpack_start,omitzero"`
	UnpackEnd     time.Time `json:"unpack_end,omitzero"`
	Cache         string    `json:"cache,omitempty"` // hit, miss or lazy
}

// Ready ends a start: the instance's port accepts connections.
type Ready struct{}

// Stopped ends an instance.
type Stopped struct {
	Reason     string  `json:"reason,omitempty"` // idle, error, oom, shutdown, start-failed, …
	ExitCode   *int    `json:"exit_code,omitempty"`
	OOM        bool    `json:"oom,omitempty"`
	MemoryPeak int64   `json:"memory_peak,omitempty"` // bytes
	CPUTime    float64 `json:"cpu_time,omitempty"`    // seconds, of the instance's whole life
}

// InvocationStarted says that a request was handed to the instance.
type InvocationStarted struct {
	RequestID string    `json:"request_id"`
	Trigger   Trigger   `json:"trigger,omitempty"`
	QueuedAt  time.Time `json:"queued_at,omitzero"` // when the platform took the request in
	// ColdStart is faas.coldstart: the request waited for the instance's start.
	// False says nothing: starts themselves tell.
	ColdStart bool `json:"cold_start,omitempty"`
}

// InvocationEnded says how it went. StartedAt repeats the started event's
// time: (instance, request ID, StartedAt) names the attempt, since a platform
// may send one request twice.
type InvocationEnded struct {
	RequestID  string    `json:"request_id"`
	StartedAt  time.Time `json:"started_at"`
	Status     Status    `json:"status"`
	HTTPStatus int       `json:"http_status,omitempty"`
	Error      string    `json:"error,omitempty"`
	Duration   float64   `json:"duration,omitempty"` // seconds; 0: the event's time minus StartedAt
	MemoryPeak int64     `json:"memory_peak,omitempty"`
	CPUTime    float64   `json:"cpu_time,omitempty"` // seconds
	BytesIn    int64     `json:"bytes_in,omitempty"`
	BytesOut   int64     `json:"bytes_out,omitempty"`
}

// InvocationUsage is what the host's control groups say of an invocation whose
// platform does not tell. It is the instance's use between the invocation's
// start and end; Shared says that others ran at the same time.
type InvocationUsage struct {
	RequestID  string    `json:"request_id"`
	StartedAt  time.Time `json:"started_at"`            // names the attempt, as in InvocationEnded
	MemoryPeak int64     `json:"memory_peak,omitempty"` // bytes
	CPUTime    float64   `json:"cpu_time,omitempty"`    // seconds
	Shared     bool      `json:"shared,omitempty"`
}

// Ledger is a collector's account of one generation of one of the instance's
// log files: the sums so far, so that a later one replaces it. Complete says
// that the file has ended and all of it is stored.
type Ledger struct {
	FileID         string    `json:"file_id"` // 16 hexadecimal digits
	From           time.Time `json:"from,omitzero"`
	To             time.Time `json:"to,omitzero"` // times of the first and the last line
	Bytes          int64     `json:"bytes"`       // of the file, read
	Lines          int64     `json:"lines"`
	TruncatedLines int64     `json:"truncated_lines,omitempty"`
	TruncatedBytes int64     `json:"truncated_bytes,omitempty"` // cut from the ends of lines over the limit
	RefusedLines   int64     `json:"refused_lines,omitempty"`   // given up to the dead-letter file
	LostBytes      int64     `json:"lost_bytes,omitempty"`      // of all gaps in the file
	LateLines      int64     `json:"late_lines,omitempty"`      // read long after they were written
	Complete       bool      `json:"complete,omitempty"`
	// Through says of a file that is quiet: all that was written to it by then is
	// stored.
	Through time.Time `json:"through,omitzero"`
}

// Gap is a piece of a log file that nobody can read any more.
type Gap struct {
	FileID string    `json:"file_id,omitempty"` // empty if it was never opened
	Offset int64     `json:"offset"`
	Bytes  int64     `json:"bytes,omitempty"` // 0: not known
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"` // the lost lines are from between these times
	Reason GapReason `json:"reason"`
}

// GapReason tells why lines were lost.
type GapReason string

// The reasons of gaps.
const (
	GapVanished  GapReason = "vanished"  // the file was deleted while no collector ran
	GapPinned    GapReason = "pinned"    // deleted files held more than their limit
	GapTruncated GapReason = "truncated" // the file was truncated before it was read
	GapSpool     GapReason = "spool"     // the spool was over its size or age
)

func (Demanded) eventType() EventType          { return TypeDemanded }
func (PhaseDone) eventType() EventType         { return TypePhase }
func (LayerPulled) eventType() EventType       { return TypeLayerPulled }
func (Ready) eventType() EventType             { return TypeReady }
func (Stopped) eventType() EventType           { return TypeStopped }
func (InvocationStarted) eventType() EventType { return TypeInvocationStarted }
func (InvocationEnded) eventType() EventType   { return TypeInvocationEnded }
func (InvocationUsage) eventType() EventType   { return TypeInvocationUsage }
func (Ledger) eventType() EventType            { return TypeLedger }
func (Gap) eventType() EventType               { return TypeGap }

func (d Demanded) validate() error {
	switch d.Initialization {
	case OnDemand, Provisioned:
		return nil
	}
	return fmt.Errorf("initialization %q is neither %q nor %q", d.Initialization, OnDemand, Provisioned)
}

func (d PhaseDone) validate() error {
	switch {
	case !d.Name.Valid():
		return fmt.Errorf("unknown phase %q (known: %v)", d.Name, Phases)
	case d.Start.IsZero() || d.End.IsZero():
		return errors.New("a phase needs start and end")
	case d.End.Before(d.Start):
		return errors.New("the phase ends before it starts")
	}
	return nil
}

func (d LayerPulled) validate() error {
	if d.Digest == "" {
		return errors.New("digest is missing")
	}
	return nil
}

func (Ready) validate() error   { return nil }
func (Stopped) validate() error { return nil }

func (d InvocationStarted) validate() error { return needRequestID(d.RequestID) }

func (d InvocationEnded) validate() error {
	switch d.Status {
	case StatusOK, StatusError, StatusTimeout, StatusOOM, StatusCancelled:
	default:
		return fmt.Errorf("unknown status %q", d.Status)
	}
	if d.StartedAt.IsZero() {
		return errors.New("started_at is missing")
	}
	return needRequestID(d.RequestID)
}

func (d InvocationUsage) validate() error {
	if d.StartedAt.IsZero() {
		return errors.New("started_at is missing")
	}
	return needRequestID(d.RequestID)
}

func (d Ledger) validate() error {
	if d.FileID == "" {
		return errors.New("file_id is missing")
	}
	if d.Bytes < 0 || d.Lines < 0 {
		return errors.New("bytes and lines are not negative")
	}
	return nil
}

func (d Gap) validate() error {
	switch d.Reason {
	case GapVanished, GapPinned, GapTruncated, GapSpool:
		return nil
	}
	return fmt.Errorf("unknown reason %q of a gap", d.Reason)
}

func needRequestID(id string) error {
	if id == "" {
		return errors.New("request_id is missing")
	}
	return nil
}

// maxTime keeps times inside what a 64-bit count of nanoseconds since 1970 holds.
var maxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// Storable reports whether t fits the store's nanosecond timestamps (1970 to 2262).
func Storable(t time.Time) bool { return t.Unix() >= 0 && t.Before(maxTime) }

// Validate reports what is missing or wrong in e, nil if nothing is.
func (e *Event) Validate() error {
	switch {
	case e.ID == "":
		return errors.New("id is missing")
	case e.Source == "":
		return errors.New("source is missing")
	case !Storable(e.Time):
		return fmt.Errorf("time %s is outside 1970 to 2262", e.Time.Format(time.RFC3339))
	case e.Instance == "":
		return errors.New("instance is missing")
	case e.Function == "":
		return errors.New("function is missing")
	case e.Data == nil:
		return errors.New("data is missing")
	}
	if e.Tenant != "" {
		if err := CheckTenant(e.Tenant); err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
	}
	if err := e.Data.validate(); err != nil {
		return err
	}
	for _, t := range times(e.Data) {
		if !t.IsZero() && !Storable(t) {
			return fmt.Errorf("time %s in data is outside 1970 to 2262", t.Format(time.RFC3339))
		}
	}
	return nil
}

func times(d Data) []time.Time {
	switch d := d.(type) {
	case PhaseDone:
		return []time.Time{d.Start, d.End}
	case LayerPulled:
		return []time.Time{d.DownloadStart, d.DownloadEnd, d.UnpackStart, d.UnpackEnd}
	case InvocationStarted:
		return []time.Time{d.QueuedAt}
	case InvocationEnded:
		return []time.Time{d.StartedAt}
	case InvocationUsage:
		return []time.Time{d.StartedAt}
	case Ledger:
		return []time.Time{d.From, d.To, d.Through}
	case Gap:
		return []time.Time{d.From, d.To}
	}
	return nil
}

// Attributes are further facts of a phase, by name: bytes, layer, cache, token_ttl and so on.
type Attributes map[string]string

// UnmarshalJSON accepts every JSON scalar as a value, since senders write
// numbers as numbers.
func (a *Attributes) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*a = make(Attributes, len(raw))
	for k, v := range raw {
		v = bytes.TrimSpace(v)
		switch v[0] {
		case '{', '[':
			return fmt.Errorf("attribute %q: only strings, numbers and booleans", k)
		case '"':
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return err
			}
			(*a)[k] = s
		case 'n': // null: not known
		default:
			(*a)[k] = string(v)
		}
	}
	return nil
}
