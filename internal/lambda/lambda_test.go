package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

var ref = faas.Ref{Tenant: "default", Namespace: "shop", Function: "cart", Version: "7", Instance: "2026/11/24/[7]ab"}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, "2026-11-24T10:00:"+s+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

// The records of the documentation, one cold invocation.
const coldInvocation = `[
 {"time":"2026-11-24T10:00:00.100Z","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init","runtimeVersion":"nodejs:20.v3","runtimeVersionArn":"arn:aws:lambda:us-east-1::runtime:x"}},
 {"time":"2026-11-24T10:00:00.150Z","type":"extension","record":"extension is up\n"},
 {"time":"2026-11-24T10:00:00.160Z","type":"platform.telemetrySubscription","record":{"name":"fwd","state":"Subscribed","types":["platform","function"]}},
 {"time":"2026-11-24T10:00:00.170Z","type":"platform.extension","record":{"name":"fwd","state":"Ready","events":["INVOKE","SHUTDOWN"]}},
 {"time":"2026-11-24T10:00:00.400Z","type":"platform.initRuntimeDone","record":{"initializationType":"on-demand","phase":"init","status":"success","spans":[{"name":"someTimeSpan","start":"2026-11-24T10:00:00.100Z","durationMs":70.5}]}},
 {"time":"2026-11-24T10:00:00.420Z","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","metrics":{"durationMs":310.5},"status":"success"}},
 {"time":"2026-11-24T10:00:00.430Z","type":"platform.start","record":{"requestId":"6f7f0961","version":"7","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-62e900b2"}}},
 {"time":"2026-11-24T10:00:00.440Z","type":"function","record":"[INFO] hello\n"},
 {"time":"2026-11-24T10:00:00.441Z","type":"function","record":{"timestamp":"2026-11-24T10:00:00.441Z","level":"INFO","requestId":"6f7f0961","message":"hi"}},
 {"time":"2026-11-24T10:00:00.630Z","type":"platform.runtimeDone","record":{"requestId":"6f7f0961","status":"success","metrics":{"durationMs":200.0,"producedBytes":15},"spans":[{"name":"responseLatency","start":"2026-11-24T10:00:00.430Z","durationMs":70.5}]}},
 {"time":"2026-11-24T10:00:00.650Z","type":"platform.report","record":{"requestId":"6f7f0961","status":"success","metrics":{"durationMs":220.0,"billedDurationMs":300,"memorySizeMB":512,"maxMemoryUsedMB":33,"initDurationMs":310.5}}},
 {"time":"2026-11-24T10:00:00.700Z","type":"platform.logsDropped","record":{"reason":"Consumer seems to have fallen behind","droppedRecords":123,"droppedBytes":12345}}
]`

func decode(t *testing.T, d *Decoder, body string) Batch {
	t.Helper()
	b, err := d.Decode([]byte(body), ref)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestColdInvocation(t *testing.T) {
	d := NewDecoder()
	b := decode(t, d, coldInvocation)
	initialized := func(end string) faas.PhaseDone {
		return faas.PhaseDone{Name: faas.PhaseInit, Start: at("00.1"), End: at(end), Attributes: faas.Attributes{
			"observer": "lambda", "precision": "1ms", "initialization_type": "on-demand", "runtime_version": "nodejs:20.v3",
		}}
	}
	ended := faas.InvocationEnded{RequestID: "6f7f0961", StartedAt: at("00.43"), Status: faas.StatusOK, Duration: 0.2, BytesOut: 15}
	reported := ended
	reported.MemoryPeak = 33 << 20
	want := []struct {
		time string
		data faas.Data
	}{
		{"00.1", faas.Demanded{Initialization: faas.OnDemand}},
		{"00.4", initialized("00.4")},
		{"00.4", faas.Ready{}},
		{"00.4105", initialized("00.4105")},
		{"00.4105", faas.Ready{}},
		{"00.43", faas.InvocationStarted{RequestID: "6f7f0961"}},
		{"00.63", ended},
		{"00.63", reported},
		{"00.7", faas.Gap{Bytes: 12345, To: at("00.7"), Reason: faas.GapSpool}},
	}
	if len(b.Events) != len(want) {
		t.Fatalf("%d events: %+v", len(b.Events), b.Events)
	}
	ids := map[string]bool{}
	for i, w := range want {
		e := b.Events[i]
		if diff := cmp.Diff(w.data, e.Data); diff != "" || !e.Time.Equal(at(w.time)) || e.Ref != ref || e.Source != "lambda/shop/cart" || ids[e.ID] {
			t.Errorf("%d: %s %s %s", i, e.ID, e.Time, diff)
		}
		ids[e.ID] = true
	}
	lines := []faas.Line{
		{Ref: ref, Time: at("00.15"), Stream: faas.Stdout, Body: "extension is up"},
		{Ref: ref, Time: at("00.44"), Stream: faas.Stdout, Body: "[INFO] hello"},
		{
			Ref: ref, Time: at("00.441"), Stream: faas.Stdout, RequestID: "6f7f0961",
			Body: `{"timestamp":"2026-11-24T10:00:00.441Z","level":"INFO","requestId":"6f7f0961","message":"hi"}`,
		},
	}
	if diff := cmp.Diff(lines, b.Lines); diff != "" || b.Ignored != 2 {
		t.Errorf("ignored %d %s", b.Ignored, diff)
	}
	// Sent again, it is the same again.
	if diff := cmp.Diff(b, decode(t, d, coldInvocation)); diff != "" {
		t.Error(diff)
	}
}

// A record at a time, as they arrive from a busy sandbox, says the same.
func TestPiecemeal(t *testing.T) {
	var records []json.RawMessage
	if err := json.Unmarshal([]byte(coldInvocation), &records); err != nil {
		t.Fatal(err)
	}
	d := NewDecoder()
	var got Batch
	for _, r := range records {
		b := decode(t, d, "["+string(r)+"]")
		got.Events, got.Lines, got.Ignored = append(got.Events, b.Events...), append(got.Lines, b.Lines...), got.Ignored+b.Ignored
	}
	if diff := cmp.Diff(decode(t, NewDecoder(), coldInvocation), got); diff != "" {
		t.Error(diff)
	}
}

// What a restart has forgotten is computed from the durations.
func TestForgotten(t *testing.T) {
	b := decode(t, NewDecoder(), `[
	 {"time":"2026-11-24T10:00:00.400Z","type":"platform.initRuntimeDone","record":{"initializationType":"on-demand","phase":"init","status":"success"}},
	 {"time":"2026-11-24T10:00:00.420Z","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","metrics":{"durationMs":320},"status":"success"}},
	 {"time":"2026-11-24T10:00:00.630Z","type":"platform.runtimeDone","record":{"requestId":"r","status":"success","metrics":{"durationMs":200}}},
	 {"time":"2026-11-24T10:00:00.650Z","type":"platform.report","record":{"requestId":"r","status":"success","metrics":{"durationMs":220,"maxMemoryUsedMB":1}}}]`)
	if len(b.Events) != 4 {
		t.Fatalf("%+v", b.Events)
	}
	if p := b.Events[0].Data.(faas.PhaseDone); !p.Start.Equal(at("00.1")) || !p.End.Equal(at("00.42")) {
		t.Errorf("%+v", p)
	}
	for _, e := range b.Events[2:] {
		if d := e.Data.(faas.InvocationEnded); !d.StartedAt.Equal(at("00.43")) || !e.Time.Equal(at("00.63")) {
			t.Errorf("%+v", e)
		}
	}
	// The report alone.
	b = decode(t, NewDecoder(), `[{"time":"2026-11-24T10:00:00.650Z","type":"platform.report","record":{"requestId":"r","status":"success","metrics":{"durationMs":220}}}]`)
	if d := b.Events[0].Data.(faas.InvocationEnded); !d.StartedAt.Equal(at("00.43")) || !b.Events[0].Time.Equal(at("00.65")) {
		t.Errorf("%+v", b.Events)
	}
}

// An init that fails is run again inside the first invocation: one start, two attempts.
func TestSecondInit(t *testing.T) {
	b := decode(t, NewDecoder(), `[
	 {"time":"2026-11-24T10:00:00Z","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"init"}},
	 {"time":"2026-11-24T10:00:10Z","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"init","metrics":{"durationMs":10000},"status":"timeout"}},
	 {"time":"2026-11-24T10:00:10.1Z","type":"platform.start","record":{"requestId":"r"}},
	 {"time":"2026-11-24T10:00:10.2Z","type":"platform.initStart","record":{"initializationType":"on-demand","phase":"invoke"}},
	 {"time":"2026-11-24T10:00:22.2Z","type":"platform.initReport","record":{"initializationType":"on-demand","phase":"invoke","metrics":{"durationMs":12000},"status":"success"}}]`)
	var got []string
	for _, e := range b.Events {
		s := string(e.Type())
		if p, ok := e.Data.(faas.PhaseDone); ok {
			s += fmt.Sprintf(" %s attempt=%s %q", p.End.Sub(p.Start), p.Attributes["attempt"], p.Error)
		}
		got = append(got, s)
	}
	want := []string{
		string(faas.TypeDemanded), string(faas.TypePhase) + ` 10s attempt= "timeout"`, string(faas.TypeInvocationStarted),
		string(faas.TypePhase) + ` 12s attempt=2 ""`, string(faas.TypeReady),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKinds(t *testing.T) {
	b := decode(t, NewDecoder(), `[
	 {"time":"2026-11-24T10:00:00Z","type":"platform.initStart","record":{"initializationType":"provisioned-concurrency","phase":"init"}},
	 {"time":"2026-11-24T10:00:01Z","type":"platform.restoreStart","record":{"runtimeVersion":"java:21.v1"}},
	 {"time":"2026-11-24T10:00:02Z","type":"platform.restoreReport","record":{"status":"success","metrics":{"durationMs":800}}}]`)
	if d := b.Events[0].Data.(faas.Demanded); d.Initialization != faas.Provisioned {
		t.Errorf("%+v", d)
	}
	if d := b.Events[1].Data.(faas.Demanded); d.Initialization != faas.OnDemand || !b.Events[1].Time.Equal(at("01")) {
		t.Errorf("%+v", b.Events[1])
	}
	if p := b.Events[2].Data.(faas.PhaseDone); p.Attributes["restore"] != "true" || !p.Start.Equal(at("01")) || !p.End.Equal(at("01.8")) {
		t.Errorf("%+v", p)
	}
}

func TestStatus(t *testing.T) {
	for record, want := range map[string]faas.InvocationEnded{
		`"status":"timeout"`: {Status: faas.StatusTimeout},
		`"status":"error","errorType":"Runtime.OutOfMemory"`:    {Status: faas.StatusOOM, Error: "Runtime.OutOfMemory"},
		`"status":"failure","errorType":"Runtime.ExitError"`:    {Status: faas.StatusError, Error: "Runtime.ExitError"},
		`"status":"failure","errorType":"Sandbox.Timedout"`:     {Status: faas.StatusTimeout, Error: "Sandbox.Timedout"},
		`"status":"success","metrics":{"durationMs":-1}`:        {Status: faas.StatusOK},
		`"status":"success","metrics":{"maxMemoryUsedMB":-5}`:   {Status: faas.StatusOK},
		`"metrics":{"durationMs":1e300,"maxMemoryUsedMB":1e18}`: {Status: faas.StatusOK},
	} {
		want.RequestID, want.StartedAt = "r", at("00")
		b := decode(t, NewDecoder(), `[{"time":"2026-11-24T10:00:00Z","type":"platform.report","record":{"requestId":"r",`+record+`}}]`)
		if diff := cmp.Diff(want, b.Events[0].Data); diff != "" {
			t.Errorf("%s: %s", record, diff)
		}
	}
}

func TestBadBodies(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: "not a JSON array",
		`[{"type":"platform.start","record":{"requestId":"r"}}]`:                                                               "record 1 of 1: time is missing",
		`[{"time":"2026-11-24T10:00:00Z","type":"function","record":"x"},{"time":"2300-01-01T00:00:00Z"}]`:                     "record 2 of 2: time",
		`[{"time":"2026-11-24T10:00:00Z","type":"platform.start","record":{}}]`:                                                "record 1 of 1: platform.start: request_id is missing",
		`[{"time":"2026-11-24T10:00:00Z","type":"platform.start","record":{"requestId":7}}]`:                                   "platform.start: json: cannot unmarshal number",
		`[{"time":"2026-11-24T10:00:00Z","type":"function"}]`:                                                                  "the record is missing",
		`[{"time":"2026-11-24T10:00:00Z","type":"platform.start","record":{"requestId":"` + strings.Repeat("r", 1025) + `"}}]`: "longer than 1024 bytes",
	} {
		if _, err := NewDecoder().Decode([]byte(body), ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v", body, err)
		}
	}
	if _, err := NewDecoder().Decode([]byte(`[{"time":"2026-11-24T10:00:00Z","type":"function","record":"x"}]`), faas.Ref{Function: "f"}); err == nil ||
		!strings.Contains(err.Error(), "instance is missing") {
		t.Error(err)
	}
}

// A Decoder forgets what is oldest, and stays as large as it is.
func TestBounded(t *testing.T) {
	d := NewDecoder()
	for i := range maxOpen + 5 {
		decode(t, d, fmt.Sprintf(`[{"time":"2026-11-24T10:00:00Z","type":"platform.start","record":{"requestId":"r%d"}}]`, i))
	}
	m := &d.invocations
	if len(m.values) != maxOpen || len(m.order) != maxOpen {
		t.Errorf("%d values, %d keys", len(m.values), len(m.order))
	}
	for i, want := range map[int]bool{0: false, 4: false, 5: true, maxOpen + 4: true} {
		if _, ok := m.values[fmt.Sprintf("%s/r%d", keyOf(ref), i)]; ok != want {
			t.Errorf("r%d: %v", i, ok)
		}
	}
}

func post(t *testing.T, h http.Handler, query url.Values, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, Path+"?"+query.Encode(), strings.NewReader(body))
	r.Header.Set(wire.HeaderTenant, "acme")
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	var events []faas.Event
	var lines []faas.Line
	var fail error
	ignored := map[string]int{}
	sink := Sink{
		Events:  func(_ context.Context, e []faas.Event) error { events = append(events, e...); return nil },
		Lines:   func(_ context.Context, l []faas.Line) error { lines = append(lines, l...); return fail },
		Ignored: func(reason string, n int) { ignored[reason] += n },
	}
	query := url.Values{"function": {"cart"}, "instance": {"i/[1]"}, "version": {"7"}, "namespace": {"shop"}}
	if w := post(t, Handler(sink), query, coldInvocation); w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	want := faas.Ref{Tenant: "acme", Namespace: "shop", Function: "cart", Version: "7", Instance: "i/[1]"}
	if len(events) != 9 || events[0].Ref != want || len(lines) != 3 || lines[0].Ref != want || ignored["type"] != 2 {
		t.Errorf("%d events, %d lines, %v, %+v", len(events), len(lines), ignored, events[0].Ref)
	}
	fail = fmt.Errorf("push: %w", wire.ErrBusy)
	if w := post(t, Handler(sink), query, coldInvocation); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Error(w.Code, w.Body)
	}
	sink.Events = func(context.Context, []faas.Event) error { return errors.New("disk") }
	if w := post(t, Handler(sink), query, coldInvocation); w.Code != http.StatusServiceUnavailable {
		t.Error(w.Code, w.Body)
	}
	sink.Events, sink.Lines = func(context.Context, []faas.Event) error { return nil }, nil
	query.Set("tenant", "other")
	if w := post(t, Handler(sink), query, coldInvocation); w.Code != http.StatusNoContent || ignored["line"] != 3 {
		t.Error(w.Code, ignored)
	}
	query.Set("tenant", "a b")
	if w := post(t, Handler(sink), query, coldInvocation); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "tenant: ") {
		t.Error(w.Code, w.Body)
	}
	query.Set("tenant", "other")
	var owner string
	sink.Events = func(_ context.Context, events []faas.Event) error { owner = events[0].Tenant; return nil }
	known := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Handler(sink).ServeHTTP(w, r.WithContext(wire.WithSender(r.Context(), wire.Sender{Tenant: "acme", Proven: true})))
	})
	if post(t, known, query, coldInvocation); owner != "acme" {
		t.Errorf("the parameter won over the sender's tenant: %q", owner)
	}
	query.Set("version", strings.Repeat("v", 257))
	if w := post(t, Handler(sink), query, coldInvocation); w.Code != http.StatusBadRequest {
		t.Error(w.Code, w.Body)
	}
	if w := post(t, Handler(sink), nil, `[]`); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "function is missing") {
		t.Error(w.Code, w.Body)
	}
	if w := post(t, Handler(sink), nil, strings.Repeat(" ", wire.MaxEventsBytes+1)); w.Code != http.StatusRequestEntityTooLarge {
		t.Error(w.Code, w.Body)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(coldInvocation))
	f.Add([]byte(`[{"time":"2026-11-24T10:00:00Z","type":"platform.restoreReport","record":{"metrics":{"durationMs":1e30}}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := NewDecoder()
		b, err := d.Decode(body, ref)
		if err != nil {
			return
		}
		ids := map[string]bool{}
		for _, e := range b.Events {
			if err := e.Validate(); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
			if _, err := wire.EncodeEvent(&e); err != nil {
				t.Error(err)
			}
			ids[e.ID] = true
		}
		again, err := d.Decode(body, ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range again.Events {
			if !ids[e.ID] {
				t.Errorf("a new ID when sent again: %s", e.ID)
			}
		}
	})
}
