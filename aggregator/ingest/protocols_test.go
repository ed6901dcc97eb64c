package ingest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/coldscope/coldscope/internal/faas"
)

func TestReadJSON(t *testing.T) {
	got, err := ReadJSON([]byte(`{"streams":[{"stream":{"app":"a \"b\"","pod":"p"},"values":[["5","x"],["-6","é\n",{"b":"2","a":"1"}]]}, {"stream":{}}]}`))
	want := []push.Stream{
		{Labels: `{app="a \"b\"", pod="p"}`, Entries: []push.Entry{
			{Timestamp: time.Unix(0, 5), Line: "x"},
			{Timestamp: time.Unix(0, -6), Line: "é\n", StructuredMetadata: push.LabelsAdapter{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
		}},
		{Labels: "{}", Entries: []push.Entry{}},
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Streams); diff != "" {
		t.Error(diff)
	}
	for body, says := range map[string]string{
		`[]`:                                                   "not a Loki push in JSON",
		`{"streams":[{"values":[[]]}]}`:                        "a value is not",
		`{"streams":[{"values":[[5,"x"]]}]}`:                   "a value is not",
		`{"streams":[{"values":[["5",7]]}]}`:                   "a value is not",
		`{"streams":[{"values":[["now","x"]]}]}`:               `timestamp "now"`,
		`{"streams":[{"values":[["5","x",{"a":1}]]}]}`:         "a value is not",
		`{"streams":[{"values":[["5","x",{"a":{"b":"c"}}]]}]}`: "a value is not",
		`{"streams":[{"values":[["5","x",{},1]]}]}`:            "a value is not",
	} {
		if _, err := ReadJSON([]byte(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestSenders: the labels of the usual senders say whose a line is, and what
// they say beside that is kept.
func TestSenders(t *testing.T) {
	for labels, want := range map[string]string{
		// Promtail in Kubernetes.
		`{app="cart", container="main", filename="/var/log/x", job="shop/cart", namespace="shop", node_name="n1", pod="cart-7", stream="stderr"}`: "shop/cart: cart-7 n1 stderr 0 container=main filename=/var/log/x job=shop/cart",
		// Alloy.
		`{instance="shop/cart-7:main", job="loki.source.kubernetes.pods", service_name="cart"}`: "/cart: shop/cart-7:main  stdout 0 job=loki.source.kubernetes.pods",
		// Fluent Bit.
		`{job="fluent-bit", kubernetes_host="n1", namespace_name="shop", pod_name="cart-7", container_name="cart"}`: "shop/cart: cart-7 n1 stdout 0 job=fluent-bit",
		// OTel's attributes as Loki has them.
		`{faas_name="cart", faas_instance="i", faas_version="7", k8s_namespace_name="shop", service_name="s", service_namespace="x", log_iostream="stdout"}`: "shop/cart:7 i  stdout 0 service_name=s service_namespace=x",
		`{level="error", function="f", detected_level="info"}`: "/f:   stdout 9",
		`{level="blue", function="f", version="", host="h"}`:   "/f:  h stdout 0 level=blue",
	} {
		got := decoder.Decode("t", one(labels, "x"))
		if got.Err() != nil {
			t.Errorf("%s: %v", labels, got.Err())
			continue
		}
		if text := describeLine(&got.Lines[0]); text != want {
			t.Errorf("%s:\n got %s\nwant %s", labels, text, want)
		}
	}
}

func describeLine(l *faas.Line) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s/%s:%s %s %s %s %d", l.Namespace, l.Function, l.Version, l.Instance, l.Host, l.Stream, l.Severity)
	for _, a := range l.Attributes {
		text.WriteString(" " + a.Key + "=" + a.Value)
	}
	return text.String()
}

// An own mapping takes the place of the default one. What collectors send is
// understood all the same.
func TestOwnMapping(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Labels = Labels{Function: []string{"fn", "job"}, Instance: []string{"id"}, Host: []string{"id"}}
	got := NewDecoder(cfg).Decode("t", one(`{job="j", app="a", fn="f", id="i", stream="stderr", namespace="n"}`, "x"))
	if got.Err() != nil || describeLine(&got.Lines[0]) != "n/f: i i stderr 0 job=j app=a" {
		t.Errorf("%+v", got)
	}
}

func TestMetadata(t *testing.T) {
	meta := func(pairs ...string) (out []push.LabelAdapter) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, push.LabelAdapter{Name: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	got := decoder.Decode("t", one(`{function="f", job="j", level="debug"}`, "x", meta(
		"trace_id", "5B8EFFF798038103D269B633813FC60C", "span_id", "short", "detected_level", "error", "severity_number", "18",
		"faas_invocation_id", "r", "job", "own", "empty", "", "bad", "a\xffb")...))
	want := faas.Line{
		Ref: faas.Ref{Tenant: "t", Function: "f"}, Time: when, Stream: faas.Stdout, Body: "x", RequestID: "r",
		Severity: 18, TraceID: "5b8efff798038103d269b633813fc60c",
		Attributes: []faas.Attribute{{Key: "span_id", Value: "short"}, {Key: "job", Value: "own"}, {Key: "bad", Value: "a\uFFFDb"}},
	}
	if got.Err() != nil {
		t.Fatal(got.Err())
	}
	l := got.Lines[0]
	if l.FileID == 0 || l.Offset == 0 {
		t.Error("the line has no position")
	}
	l.FileID, l.Offset = 0, 0
	if diff := cmp.Diff(want, l); diff != "" {
		t.Error(diff)
	}
	// Lines of a stream without metadata of their own share its attributes, and
	// one that has some does not change them.
	req := one(`{function="f", job="j"}`, "a", meta("k", "v")...)
	req.Streams[0].Entries = append(req.Streams[0].Entries, push.Entry{Timestamp: when, Line: "b"})
	got = decoder.Decode("t", req)
	if a, b := describeLine(&got.Lines[0]), describeLine(&got.Lines[1]); !strings.HasSuffix(a, "k=v job=j") || !strings.HasSuffix(b, "0 job=j") {
		t.Errorf("%s, %s", a, b)
	}
	if got.Bytes != len("a")+len("b")+len("kv")+2*len("jobj") {
		t.Errorf("%d bytes", got.Bytes)
	}
}

func TestLimits(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Limits = Limits{
		LineBytes: 4, LabelNames: 3, LabelNameBytes: 12, LabelValueBytes: 5, Attributes: 3, AttributeBytes: 20,
		RejectOlder: time.Hour, RejectNewer: time.Minute,
	}
	cfg.Tenants = map[string]Limits{"roomy": {LineBytes: 100, LabelNames: 10, RejectOlder: -1, RejectNewer: -1}}
	if err := cfg.Validate(); err == nil {
		t.Error("a burst of 0 was taken")
	}
	cfg.Limits.Burst = 1
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(cfg)
	req := func(labels string, at time.Time, meta ...string) *push.PushRequest {
		r := one(labels, "long line")
		r.Streams[0].Entries[0].Timestamp = at
		for _, m := range meta {
			r.Streams[0].Entries[0].StructuredMetadata = append(r.Streams[0].Entries[0].StructuredMetadata, push.LabelAdapter{Name: m, Value: "12345"})
		}
		return r
	}
	now := time.Now()
	for _, c := range []struct {
		name   string
		req    *push.PushRequest
		reason Reason
	}{
		{"fits", req(`{function="f", a="1", b="2"}`, now, "c"), ""},
		{"labels", req(`{function="f", a="1", b="2", c="3"}`, now), ReasonLabels},
		{"label's name", req(`{function="f", abcdefghijklm="1"}`, now), ReasonLabels},
		{"label's value", req(`{function="f", a="123456"}`, now), ReasonLabels},
		{"attributes", req(`{function="f", a="1", b="2"}`, now, "c", "d"), ReasonAttributes},
		{"attributes' bytes", req(`{function="f"}`, now, "aaaaa", "bbbbb", "ccccc"), ReasonAttributes},
		{"attribute's name", req(`{function="f"}`, now, "abcdefghijklm"), ReasonAttributes},
		{"old", req(`{function="f"}`, now.Add(-2*time.Hour)), ReasonTooOld},
		{"future", req(`{function="f"}`, now.Add(2*time.Minute)), ReasonTooNew},
		{"no function", req(`{a="1"}`, now), ReasonNoFunction},
		{"no labels", req(`a=1`, now), ReasonMalformed},
		{"no time", req(`{function="f"}`, time.Unix(-1, 0)), ReasonTime},
	} {
		got := d.Decode("t", c.req)
		if c.reason == "" {
			if got.Err() != nil || got.Lines[0].Body != "long" || got.Lines[0].Truncated != 5 {
				t.Errorf("%s: %v %+v", c.name, got.Err(), got.Lines)
			}
		} else if diff := cmp.Diff(map[Reason]int{c.reason: 1}, got.Reasons); diff != "" || got.Err() == nil || got.Accepted != 0 {
			t.Errorf("%s: %s %v", c.name, diff, got.Err())
		}
		if slices.Contains([]string{"old", "future", "labels"}, c.name) {
			if got = d.Decode("roomy", c.req); got.Err() != nil || got.Lines[0].Body != "long line" {
				t.Errorf("%s, of a tenant with its own limits: %v", c.name, got.Err())
			}
		}
	}
}

func TestValidate(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg = Config{Tenants: map[string]Limits{"a": {Rate: -1, LabelNames: 1000}}}
	cfg.Limits.Rate = -1
	for _, key := range []string{"body_bytes", "inflated_bytes", "limits.line_bytes", "limits.burst", "limits: ", "tenants.a.label_names"} {
		if err := cfg.Validate(); !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in %v", key, err)
		}
	}
	if strings.Contains(cfg.Validate().Error(), "tenants.a.rate") {
		t.Error("a tenant without a limit of its rate is refused")
	}
}

// TestRates: what is over the burst is taken on credit, and a tenant's debt is
// its own.
func TestRates(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Limits.Rate, cfg.Limits.Burst = 100, 200
	cfg.Tenants = map[string]Limits{"free": {Rate: -1}}
	r := NewRates(cfg)
	now := time.Unix(1e9, 0)
	for _, c := range []struct {
		tenant string
		n      int
		after  time.Duration
		wait   time.Duration
	}{
		{"a", 150, 0, 0},
		{"a", 100, 0, 500 * time.Millisecond},
		{"b", 200, 0, 0},
		{"a", 100, 500 * time.Millisecond, 0},
		{"a", 0, 0, 0},
		{"a", 500, time.Hour, 0}, // 300 on credit
		{"a", 1, 0, 3010 * time.Millisecond},
		{"free", 1 << 40, 0, 0},
	} {
		now = now.Add(c.after)
		if got := r.Take(c.tenant, c.n, now); got.Round(time.Millisecond) != c.wait {
			t.Errorf("%d of %s: wait %s, want %s", c.n, c.tenant, got, c.wait)
		}
	}
	for n := range maxTenants + 10 {
		r.Take(fmt.Sprint("tenant ", n), 200, now)
	}
	if len(r.buckets) != maxTenants || r.Take("yet another", 1, now) == 0 {
		t.Errorf("%d buckets", len(r.buckets))
	}
	if r.Take("after a while", 1, now.Add(time.Hour)) != 0 || len(r.buckets) != 1 {
		t.Errorf("%d buckets are kept", len(r.buckets))
	}
}

func TestText(t *testing.T) {
	s := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	for want, v := range map[string]*common.AnyValue{
		"":           nil,
		"a \"b\"":    s(`a "b"`),
		"true":       {Value: &common.AnyValue_BoolValue{BoolValue: true}},
		`"NaN"`:      {Value: &common.AnyValue_DoubleValue{DoubleValue: math.NaN()}},
		"1e+300":     {Value: &common.AnyValue_DoubleValue{DoubleValue: 1e300}},
		`"AQI="`:     {Value: &common.AnyValue_BytesValue{BytesValue: []byte{1, 2}}},
		`["x",null]`: {Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: []*common.AnyValue{s("x"), nil}}}},
		`{"a b":-1}`: {Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{
			{Key: "a b", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: -1}}},
		}}}},
	} {
		if got := text(v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Equal lines of a file are told apart by where they are in it, also when they
// come in other requests than before.
func TestPlaceInFile(t *testing.T) {
	str := func(k, v string) *common.KeyValue {
		return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
	}
	record := func(offset string) *logs.LogRecord {
		return &logs.LogRecord{ObservedTimeUnixNano: 5, Attributes: []*common.KeyValue{str("log.file.path", "/x"), str("log.file.record_offset", offset)}}
	}
	request := func(records ...*logs.LogRecord) *logspb.ExportLogsServiceRequest {
		return &logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{str("service.name", "f")}}, ScopeLogs: []*logs.ScopeLogs{{LogRecords: records}},
		}}}
	}
	both := decoder.Logs("t", request(record("0"), record("9")))
	second := decoder.Logs("t", request(record("9")))
	if both.Err() != nil || both.Lines[0].Offset == both.Lines[1].Offset {
		t.Errorf("%+v", both)
	}
	if diff := cmp.Diff(both.Lines[1], second.Lines[0]); diff != "" || second.Lines[0].Time.UnixNano() != 5 {
		t.Error(diff)
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"streams":[{"stream":{"app":"a"},"values":[["5","x",{"a":"b"}]]},{"labels":"{app=\"a\"}","entries":[{"ts":"2026-01-01T00:00:00Z","line":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := ReadJSON(body)
		if err != nil {
			return
		}
		b := decoder.Decode("t", req)
		checkBatch(t, &b)
		// What is read by hand is what a JSON decoder reads.
		var plain struct {
			Streams []struct {
				Labels string
				Values [][]any
			}
		}
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatal(err)
		}
		for i, s := range plain.Streams {
			if s.Labels != "" {
				continue
			}
			for k, v := range s.Values {
				if got := req.Streams[i].Entries[k].Line; v[1] != got {
					t.Errorf("%q became %q", v, got)
				}
			}
		}
	})
}

func FuzzOTLP(f *testing.F) {
	f.Add([]byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"f"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"arrayValue":{"values":[{"intValue":"1"}]}}}]}]}]}`), true)
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{"key":"faas.invocation_id","value":{"stringValue":"r"}},{"key":"faas.name","value":{"stringValue":"f"}},{"key":"faas.instance","value":{"stringValue":"i"}}]}]}]}]}`), true)
	for _, m := range []proto.Message{
		&logspb.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{nil, {ScopeLogs: []*logs.ScopeLogs{{LogRecords: []*logs.LogRecord{{}}}}}}},
		&tracepb.ExportTraceServiceRequest{},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, false)
	}
	f.Fuzz(func(t *testing.T, body []byte, json bool) {
		if req, err := ReadLogs(body, json); err == nil {
			b := decoder.Logs("t", req)
			checkBatch(t, &b)
		}
		if req, err := ReadSpans(body, json); err == nil {
			b := decoder.Spans("t", req)
			checkBatch(t, &b)
		}
	})
}

// checkBatch holds a batch against what every later part takes for granted.
func checkBatch(t *testing.T, b *Batch) {
	t.Helper()
	sum := 0
	for _, n := range b.Reasons {
		sum += n
	}
	if sum != b.Rejected || (b.Rejected > 0) != (b.Err() != nil) {
		t.Errorf("%d rejected, %v, %v", b.Rejected, b.Reasons, b.Err())
	}
	for i := range b.Lines {
		if l := &b.Lines[i]; l.Tenant != "t" || l.Function == "" || !faas.Storable(l.Time) || len(l.Attributes) > 128 {
			t.Errorf("%+v", l)
		}
	}
	for i := range b.Events {
		if err := b.Events[i].Validate(); err != nil || b.Events[i].Tenant != "t" {
			t.Errorf("%+v: %v", b.Events[i], err)
		}
	}
}
