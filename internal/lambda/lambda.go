// Package lambda takes what AWS Lambda's Telemetry API sends and turns it into
// Coldscope's events and lines. Its subscriber lives in the function's sandbox
// and can be nowhere else, so something there, an extension of the user's,
// forwards the bodies as they are and says whose they are. The format is that
// of docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html.
package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Batch is what a body says.
type Batch struct {
	Events []faas.Event
	// Lines are what the function and its extensions wrote. They have no FileID
	// and Offset: the API tells no position.
	Lines []faas.Line
	// Ignored counts records of types that say nothing to us.
	Ignored int
}

// maxOpen bounds what a Decoder remembers, of invocations and of instances each.
const maxOpen = 10_000

// Decoder turns bodies into batches. It remembers the latest starts of
// invocations and of instances, since their ends do not repeat them; what it
// has forgotten, after a restart too, it computes from the durations, which
// are whole milliseconds. It is safe for concurrent use.
type Decoder struct {
	mu sync.Mutex
	// guarded by mu:
	invocations bounded[invocation] // by instance and request ID
	starts      bounded[start]      // by instance
}

// NewDecoder makes a Decoder.
func NewDecoder() *Decoder {
	return &Decoder{
		invocations: bounded[invocation]{max: maxOpen, values: map[string]invocation{}},
		starts:      bounded[start]{max: maxOpen, values: map[string]start{}},
	}
}

// invocation is an invocation as far as it is told.
type invocation struct {
	startedAt time.Time
	ended     time.Time // zero: runtimeDone has not come
	done      faas.InvocationEnded
}

// start is an instance's initialization.
type start struct {
	began          [2]time.Time // of the attempts: in the init phase and, after that failed, in the first invocation
	restored       time.Time    // SnapStart: where a snapshot was restored
	initialization string
	runtimeVersion string
}

// envelope is one record.
type envelope struct {
	Time   time.Time       `json:"time"`
	Type   string          `json:"type"`
	Record json.RawMessage `json:"record"`
}

// record has the fields of all platform.* records that we read.
type record struct {
	RequestID          string `json:"requestId"`
	Version            string `json:"version"`
	Status             string `json:"status"` // success, failure, error, timeout
	ErrorType          string `json:"errorType"`
	InitializationType string `json:"initializationType"`
	Phase              string `json:"phase"` // init, invoke
	RuntimeVersion     string `json:"runtimeVersion"`
	FunctionName       string `json:"functionName"`
	FunctionVersion    string `json:"functionVersion"`
	InstanceID         string `json:"instanceId"`
	Metrics            struct {
		DurationMs      float64 `json:"durationMs"`
		ProducedBytes   float64 `json:"producedBytes"`
		MaxMemoryUsedMB float64 `json:"maxMemoryUsedMB"`
	} `json:"metrics"`
	DroppedBytes   float64 `json:"droppedBytes"`
	DroppedRecords float64 `json:"droppedRecords"`
}

// Decode reads a body: a JSON array of records. It takes all or nothing; the
// error names the first bad record. What ref leaves open is taken from the
// records where they say it. Decoding the same body again gives the same
// events, with the same IDs.
func (d *Decoder) Decode(body []byte, ref faas.Ref) (Batch, error) {
	var envelopes []envelope
	if err := json.Unmarshal(body, &envelopes); err != nil {
		return Batch{}, fmt.Errorf("not a JSON array of telemetry records: %w", err)
	}
	records := make([]record, len(envelopes))
	for i, e := range envelopes {
		if !faas.Storable(e.Time) || e.Time.IsZero() {
			return Batch{}, fmt.Errorf("record %d of %d: time is missing or outside 1970 to 2262", i+1, len(envelopes))
		}
		if !strings.HasPrefix(e.Type, "platform.") || len(e.Record) == 0 || e.Record[0] != '{' {
			continue
		}
		if err := json.Unmarshal(e.Record, &records[i]); err != nil {
			return Batch{}, fmt.Errorf("record %d of %d: %s: %w", i+1, len(envelopes), e.Type, err)
		}
		if err := checkLengths(&records[i]); err != nil {
			return Batch{}, fmt.Errorf("record %d of %d: %s: %w", i+1, len(envelopes), e.Type, err)
		}
		complete(&ref, &records[i])
	}
	switch {
	case ref.Function == "":
		return Batch{}, errors.New("function is missing: send it as a query parameter")
	case ref.Instance == "":
		return Batch{}, errors.New("instance is missing: send it as a query parameter, in a sandbox AWS_LAMBDA_LOG_STREAM_NAME")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	b := batch{d: d, ref: ref}
	for i, e := range envelopes { // in whichever order they are in the body
		d.remember(ref, e, &records[i])
	}
	for i, e := range envelopes {
		if err := b.add(e, &records[i]); err != nil {
			return Batch{}, fmt.Errorf("record %d of %d: %s: %w", i+1, len(envelopes), e.Type, err)
		}
	}
	return b.Batch, nil
}

// complete takes from r what ref leaves open.
func complete(ref *faas.Ref, r *record) {
	for _, f := range []struct {
		into   *string
		values [2]string
	}{
		{&ref.Function, [2]string{r.FunctionName}},
		{&ref.Version, [2]string{r.FunctionVersion, r.Version}},
		{&ref.Instance, [2]string{r.InstanceID}},
	} {
		for _, v := range f.values {
			if *f.into == "" {
				*f.into = v
			}
		}
	}
}

// maxString bounds what is remembered of a record.
const maxString = 1024

func checkLengths(r *record) error {
	for _, s := range []string{r.RequestID, r.Status, r.ErrorType, r.InitializationType, r.RuntimeVersion, r.InstanceID} {
		if len(s) > maxString {
			return fmt.Errorf("%.40q… is longer than %d bytes", s, maxString)
		}
	}
	return nil
}

func keyOf(ref faas.Ref) string { return ref.Tenant + "/" + ref.Instance }

func (d *Decoder) remember(ref faas.Ref, e envelope, r *record) {
	instance := keyOf(ref)
	switch e.Type {
	case "platform.initStart":
		s := d.starts.values[instance]
		s.began[attempt(r)] = e.Time
		s.initialization, s.runtimeVersion = r.InitializationType, r.RuntimeVersion
		d.starts.put(instance, s)
	case "platform.restoreStart":
		s := d.starts.values[instance]
		s.restored = e.Time
		s.runtimeVersion = r.RuntimeVersion
		d.starts.put(instance, s)
	case "platform.start":
		key := instance + "/" + r.RequestID
		if old := d.invocations.values[key]; !old.startedAt.Equal(e.Time) {
			d.invocations.put(key, invocation{startedAt: e.Time})
		}
	}
}

// attempt is 1 for an initialization that is run again inside an invocation.
func attempt(r *record) int {
	if r.Phase == "invoke" {
		return 1
	}
	return 0
}

// batch collects what a body says.
type batch struct {
	Batch
	d   *Decoder
	ref faas.Ref
}

func (b *batch) add(e envelope, r *record) error {
	switch e.Type {
	case "function", "extension":
		return b.line(e)
	case "platform.initStart":
		if attempt(r) > 0 {
			return nil // the same start goes on
		}
		return b.emit(e, "", e.Time, faas.Demanded{Initialization: initialization(r.InitializationType)})
	case "platform.restoreStart":
		return b.emit(e, "", e.Time, faas.Demanded{Initialization: faas.OnDemand})
	case "platform.initRuntimeDone", "platform.initReport", "platform.restoreRuntimeDone", "platform.restoreReport":
		return b.initialized(e, r)
	case "platform.start":
		return b.emit(e, r.RequestID, e.Time, faas.InvocationStarted{RequestID: r.RequestID})
	case "platform.runtimeDone", "platform.report":
		return b.ended(e, r)
	case "platform.logsDropped":
		return b.emit(e, strconv.FormatInt(count(r.DroppedRecords), 10), e.Time, faas.Gap{
			Bytes: count(r.DroppedBytes), To: e.Time, Reason: faas.GapSpool,
		})
	}
	b.Ignored++
	return nil
}

func initialization(s string) faas.Initialization {
	switch s {
	case "provisioned-concurrency", "lambda-managed-instances":
		return faas.Provisioned
	}
	return faas.OnDemand
}

// initialized tells init, and that the instance is ready, at runtimeDone as
// far as it is known then, and at the report, which knows better: the later one
// replaces the earlier, since both begin where the start does.
func (b *batch) initialized(e envelope, r *record) error {
	s, restore := b.d.starts.values[keyOf(b.ref)], strings.HasPrefix(e.Type, "platform.restore")
	began := s.began[attempt(r)]
	if restore {
		began = s.restored
	}
	took := milliseconds(r.Metrics.DurationMs)
	end := e.Time
	switch {
	case !began.IsZero() && took > 0:
		end = began.Add(took)
	case began.IsZero() && took > 0:
		began = e.Time.Add(-took)
	case began.IsZero():
		return nil // a report may follow
	}
	d := faas.PhaseDone{Name: faas.PhaseInit, Start: began, End: end, Error: failed(r), Attributes: faas.Attributes{
		"observer": "lambda", "precision": "1ms",
	}}
	if end.Before(began) {
		d.End = began
	}
	for name, v := range map[string]string{
		"initialization_type": first(r.InitializationType, s.initialization), "runtime_version": s.runtimeVersion,
	} {
		if v != "" {
			d.Attributes[name] = v
		}
	}
	if restore {
		d.Attributes["restore"] = "true"
	}
	if attempt(r) > 0 {
		d.Attributes["attempt"] = "2"
	}
	if err := b.emit(e, "phase", d.End, d); err != nil || d.Error != "" {
		return err
	}
	return b.emit(e, "ready", d.End, faas.Ready{})
}

// failed is why something did not succeed; empty if it did.
func failed(r *record) string {
	if r.ErrorType != "" {
		return r.ErrorType
	}
	if r.Status == "success" {
		return ""
	}
	return r.Status
}

// ended tells an invocation's end at runtimeDone, and again with the memory at
// the report, which comes when the extensions are done too.
func (b *batch) ended(e envelope, r *record) error {
	key := keyOf(b.ref) + "/" + r.RequestID
	v := b.d.invocations.values[key]
	took := milliseconds(r.Metrics.DurationMs)
	if v.startedAt.IsZero() {
		v.startedAt = e.Time.Add(-took)
	}
	d := faas.InvocationEnded{
		RequestID: r.RequestID, StartedAt: v.startedAt, Status: statusOf(r), Error: r.ErrorType,
		Duration: took.Seconds(), BytesOut: count(r.Metrics.ProducedBytes),
	}
	at := e.Time
	if e.Type == "platform.report" {
		d.MemoryPeak = count(r.Metrics.MaxMemoryUsedMB * (1 << 20))
		if took > 0 {
			at = v.startedAt.Add(took)
		}
		if !v.ended.IsZero() {
			at, d.Duration, d.BytesOut = v.ended, v.done.Duration, v.done.BytesOut
			if d.Status == faas.StatusOK { // a report without a status
				d.Status, d.Error = v.done.Status, v.done.Error
			}
		}
	} else {
		v.ended, v.done = e.Time, d
	}
	if err := b.emit(e, r.RequestID, at, d); err != nil {
		return err
	}
	b.d.invocations.put(key, v)
	return nil
}

func statusOf(r *record) faas.Status {
	switch {
	case r.ErrorType == "Runtime.OutOfMemory":
		return faas.StatusOOM
	case r.Status == "timeout" || r.ErrorType == "Sandbox.Timedout":
		return faas.StatusTimeout
	case failed(r) != "":
		return faas.StatusError
	}
	return faas.StatusOK
}

// maxDuration is longer than Lambda lets anything run.
const maxDuration = 24 * time.Hour

func milliseconds(ms float64) time.Duration {
	if !(ms > 0) || ms > float64(maxDuration.Milliseconds()) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// count is n as what it counts; 0 if it cannot be that.
func count(n float64) int64 {
	if !(n > 0) || n > 1<<53 {
		return 0
	}
	return int64(n)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// line takes a line: a string, or an object where the function's log format is JSON.
func (b *batch) line(e envelope) error {
	l := faas.Line{Ref: b.ref, Time: e.Time, Stream: faas.Stdout}
	if err := json.Unmarshal(e.Record, &l.Body); err != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, e.Record); err != nil {
			return errors.New("the record is missing")
		}
		l.Body = strings.ToValidUTF8(compact.String(), "\uFFFD")
		var fields struct {
			RequestID string `json:"requestId"`
		}
		if json.Unmarshal(e.Record, &fields) == nil {
			l.RequestID = fields.RequestID
		}
	}
	l.Body = strings.TrimSuffix(strings.TrimSuffix(l.Body, "\n"), "\r")
	b.Lines = append(b.Lines, l)
	return nil
}

// emit adds an event whose ID is its record's instance, type, time and what.
func (b *batch) emit(e envelope, what string, at time.Time, d faas.Data) error {
	event := faas.Event{
		ID: strings.Join([]string{
			b.ref.Instance, strings.TrimPrefix(e.Type, "platform."), strconv.FormatInt(e.Time.UnixNano(), 10), what,
		}, "/"),
		Source: "lambda/" + b.ref.Namespace + "/" + b.ref.Function, Time: at, Ref: b.ref, Data: d,
	}
	if err := event.Validate(); err != nil {
		return err
	}
	b.Events = append(b.Events, event)
	return nil
}

// bounded is a map that forgets what was put first.
type bounded[V any] struct {
	values map[string]V
	max    int
	order  []string // a ring, once it is full
	next   int      // in order
}

func (m *bounded[V]) put(key string, v V) {
	if _, ok := m.values[key]; !ok {
		if len(m.order) < m.max {
			m.order = append(m.order, key)
		} else {
			delete(m.values, m.order[m.next])
			m.order[m.next] = key
			m.next = (m.next + 1) % m.max
		}
	}
	m.values[key] = v
}
