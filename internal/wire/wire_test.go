package wire_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ref  = faas.Ref{Tenant: "t", Namespace: "ns", Function: "fn", Version: "3", Instance: "i"}
	when = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)
)

func events() []faas.Event {
	code := 137
	var all []faas.Event
	for _, d := range []faas.Data{
		faas.Demanded{RequestID: "r", Initialization: faas.OnDemand, Image: "img", Digest: "sha256:1", ImageBytes: 5, Registry: "reg", Region: "eu", MemoryLimit: 9},
		faas.PhaseDone{Name: faas.PhasePull, Start: when, End: when.Add(time.Second), Attributes: faas.Attributes{"bytes": "5"}},
		faas.LayerPulled{Digest: "sha256:2", Bytes: 5, DownloadStart: when, DownloadEnd: when.Add(1), Cache: "miss"},
		faas.Ready{},
		faas.Stopped{Reason: "oom", ExitCode: &code, OOM: true, MemoryPeak: 7},
		faas.InvocationStarted{RequestID: "r", Trigger: faas.TriggerHTTP, QueuedAt: when},
		faas.InvocationEnded{RequestID: "r", StartedAt: when, Status: faas.StatusError, HTTPStatus: 500, Error: "boom", Duration: 1.5, CPUTime: .25},
	} {
		all = append(all, faas.Event{ID: string(rune('a' + len(all))), Source: "host", Time: when, Ref: ref, Data: d})
	}
	return all
}

func TestEventsRoundTrip(t *testing.T) {
	var batch, lines []string
	for _, e := range events() {
		b, err := wire.EncodeEvent(&e)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, string(b))
		lines = append(lines, string(b)+"\n\n")
		one, err := wire.DecodeEvents(b, wire.MediaEvent+"; charset=utf-8", "other")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]faas.Event{e}, one); diff != "" {
			t.Error(diff)
		}
	}
	for media, body := range map[string]string{
		wire.MediaEventBatch: "[" + strings.Join(batch, ",") + "]", wire.MediaNDJSON: strings.Join(lines, ""),
	} {
		got, err := wire.DecodeEvents([]byte(body), media, "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events(), got); diff != "" {
			t.Error(media, diff)
		}
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	event := func(typ, data string) string {
		return `{"specversion":"1.0","id":"1","source":"s","type":"dev.coldscope.` + typ + `","time":"2026-01-01T00:00:00Z","data":` + data + `}`
	}
	for body, want := range map[string]string{
		`null`:                "specversion",
		`[]`:                  "not a CloudEvents JSON object",
		`{"specversion":"2"}`: `specversion is "2"`,
		event("instance.ready", `{"function":"f"}`):                                            "instance is missing",
		event("instance.ready", `{"instance":"i"}`):                                            "function is missing",
		event("instance.ready", `{"instance":7}`):                                              "data of",
		event("instance.exploded", `{}`):                                                       `unknown event type "dev.coldscope.instance.exploded"`,
		event("instance.demanded", `{"function":"f","instance":"i","initialization":"magic"}`): `"magic"`,
		event("instance.phase", `{"function":"f","instance":"i","name":"nap","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:01Z"}`):  `unknown phase "nap"`,
		event("instance.phase", `{"function":"f","instance":"i","name":"pull","start":"2026-01-01T00:00:02Z","end":"2026-01-01T00:00:01Z"}`): "ends before it starts",
		event("instance.phase", `{"function":"f","instance":"i","name":"pull","start":"1926-01-01T00:00:02Z","end":"2026-01-01T00:00:01Z"}`): "outside 1970 to 2262",
		event("instance.phase", `{"function":"f","instance":"i","name":"pull","attributes":{"a":[]}}`):                                       `attribute "a"`,
		event("invocation.ended", `{"function":"f","instance":"i","request_id":"r","status":"ok"}`):                                          "started_at is missing",
		event("invocation.ended", `{"function":"f","instance":"i","request_id":"r","status":"fine","started_at":"2026-01-01T00:00:00Z"}`):    `unknown status "fine"`,
		strings.Replace(event("instance.ready", `{"function":"f","instance":"i"}`), "2026", "9026", 1):                                       "outside 1970 to 2262",
	} {
		if _, err := wire.DecodeEvent([]byte(body), "t"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot %v, want it to say %q", body, err, want)
		}
	}
}

// TestAttributesTakeScalars: senders write numbers as numbers.
func TestAttributesTakeScalars(t *testing.T) {
	e, err := wire.DecodeEvent([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"dev.coldscope.instance.phase","time":"2026-01-01T00:00:00Z",
		"data":{"function":"f","instance":"i","name":"pull","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:01Z","attributes":{"bytes":123,"lazy":true,"layer":"x","none":null}}}`), "t")
	if err != nil {
		t.Fatal(err)
	}
	want := faas.Attributes{"bytes": "123", "lazy": "true", "layer": "x"}
	if diff := cmp.Diff(want, e.Data.(faas.PhaseDone).Attributes); diff != "" {
		t.Error(diff)
	}
}

func TestLabels(t *testing.T) {
	labels := []wire.Label{{Name: "function", Value: `a"b\c` + "\n"}, {Name: "a", Value: "é"}, {Name: "empty", Value: ""}}
	text := wire.FormatLabels(labels...)
	got, err := wire.ParseLabels(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]wire.Label{{"a", "é"}, {"function", `a"b\c` + "\n"}}, got); diff != "" {
		t.Error(diff)
	}
	for in, want := range map[string]int{`{}`: 0, ` { a = "b" , } `: 1, "{a=`raw`}": 1} {
		if got, err := wire.ParseLabels(in); err != nil || len(got) != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, in := range []string{``, `{`, `{a}`, `{a=b}`, `{a="b"`, `{a="b" c="d"}`, `{a="b",a="c"}`, `{1a="b"}`, `{a='b'}`, `{="b"}`} {
		if got, err := wire.ParseLabels(in); err == nil {
			t.Errorf("%s: got %v", in, got)
		}
	}
}

// TestClient speaks to a real server, over TCP and over a Unix socket.
func TestClient(t *testing.T) {
	var got []faas.Event
	mux := http.NewServeMux()
	mux.Handle("POST "+wire.PathEvents, wire.EventsHandler(func(_ context.Context, e []faas.Event) error {
		if len(got) > 0 {
			return wire.ErrBusy
		}
		got = e
		return nil
	}))
	mux.HandleFunc("POST "+wire.PathPush, func(w http.ResponseWriter, r *http.Request) {
		body, ok := wire.ReadBody(w, r, wire.MaxPushBytes)
		if !ok {
			return
		}
		req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
		if err != nil || wire.Tenant(r) != "acme" || req.Streams[0].Entries[0].Line != "hello" {
			http.Error(w, "unexpected", http.StatusBadRequest)
		}
	})
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	tcp := httptest.NewServer(mux)
	defer tcp.Close()

	for _, target := range []string{"unix://" + socket, tcp.URL + "/"} {
		got = nil
		c, err := wire.NewClient(target)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SendEvents(t.Context(), events()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events(), got); diff != "" {
			t.Error(diff)
		}
		err = c.SendEvents(t.Context(), events())
		var status *wire.StatusError
		if !errors.As(err, &status) || status.Code != 429 || status.RetryAfter != time.Second || wire.Permanent(err) {
			t.Errorf("busy: %v", err)
		}
		req := &push.PushRequest{Streams: []push.Stream{{Labels: "{}", Entries: []push.Entry{{Timestamp: when, Line: "hello"}}}}}
		if err := c.Push(t.Context(), "acme", req); err != nil {
			t.Error(err)
		}
		if err := c.Push(t.Context(), "evil", req); !wire.Permanent(err) {
			t.Errorf("a 400 is not permanent: %v", err)
		}
	}
	for _, bad := range []string{"", "ftp://x", "http://", "unix://", ":"} {
		if _, err := wire.NewClient(bad); err == nil {
			t.Errorf("target %q was taken", bad)
		}
	}
}

func FuzzDecodeEvents(f *testing.F) {
	for _, e := range events() {
		b, err := wire.EncodeEvent(&e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, media := range []string{wire.MediaEvent, wire.MediaEventBatch, wire.MediaNDJSON} {
			decoded, err := wire.DecodeEvents(body, media, "t")
			if err != nil {
				continue
			}
			for i := range decoded { // what was taken can be passed on
				b, err := wire.EncodeEvent(&decoded[i])
				if err != nil {
					t.Fatal(err)
				}
				if _, err := wire.DecodeEvent(b, "t"); err != nil {
					t.Fatalf("%s: %v", b, err)
				}
			}
		}
	})
}

func FuzzDecodePush(f *testing.F) {
	body, err := wire.EncodePush(&push.PushRequest{Streams: []push.Stream{{Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: when, Line: "x"}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(_ *testing.T, body []byte) { _, _ = wire.DecodePush(body, wire.MediaPush) })
}

func FuzzParseLabels(f *testing.F) {
	f.Add(`{a="b", c="d\n"}`)
	f.Fuzz(func(t *testing.T, text string) {
		labels, err := wire.ParseLabels(text)
		if err != nil {
			return
		}
		again, err := wire.ParseLabels(wire.FormatLabels(labels...))
		if err != nil {
			t.Fatalf("%q: %v", wire.FormatLabels(labels...), err)
		}
		for _, l := range again {
			if l.Value == "" {
				t.Fatal("an empty value was written")
			}
		}
	})
}

// Whose events are, where the sender, its header and the event itself say
// different things.
func TestWhoseEvents(t *testing.T) {
	event := faas.Event{ID: "1", Source: "s", Time: when, Ref: faas.Ref{Tenant: "own", Function: "f", Instance: "i"}, Data: faas.Ready{}}
	own, err := wire.EncodeEvent(&event)
	if err != nil {
		t.Fatal(err)
	}
	event.Tenant = ""
	none, err := wire.EncodeEvent(&event)
	if err != nil {
		t.Fatal(err)
	}
	known, proven := wire.Sender{Tenant: "sender"}, wire.Sender{Name: "n", Tenant: "sender", Proven: true}
	for name, c := range map[string]struct {
		sender wire.Sender
		header string
		body   []byte
		want   string
	}{
		"collector, own":         {wire.Sender{}, "header", own, "own"},
		"collector, header":      {wire.Sender{}, "header", none, "header"},
		"collector, nothing":     {wire.Sender{}, "", none, "default"},
		"collector, open port":   {known, "sender", own, "own"},
		"collector, closed port": {proven, "header", own, "sender"},
	} {
		var got string
		h := wire.EventsHandler(func(_ context.Context, events []faas.Event) error {
			got = events[0].Tenant
			return nil
		})
		r := httptest.NewRequestWithContext(wire.WithSender(t.Context(), c.sender), http.MethodPost, wire.PathEvents, bytes.NewReader(c.body))
		r.Header.Set("Content-Type", wire.MediaEvent)
		if c.header != "" {
			r.Header.Set(wire.HeaderTenant, c.header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNoContent || got != c.want {
			t.Errorf("%s: %d, tenant %q, want %q", name, w.Code, got, c.want)
		}
	}
	event.Tenant = "a\r\nX-Scope-OrgID: b" // would never get through a header
	bad, err := wire.EncodeEvent(&event)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.DecodeEvent(bad, "default"); err == nil || !strings.Contains(err.Error(), "tenant: ") {
		t.Errorf("a tenant with a line break: %v", err)
	}
}
