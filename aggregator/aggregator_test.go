package aggregator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

var ref = faas.Ref{Tenant: "default", Namespace: "demo", Function: "webapp", Version: "1", Instance: "i-1"}

// t0 is recent, so that lines lie inside what is read back after a restart.
var t0 = time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

type service struct {
	*aggregator.Aggregator
	client *wire.Client
	url    string
	otlp   string // HOST:PORT of gRPC
	reg    *prometheus.Registry
	stop   func()
}

func start(t *testing.T, conn driver.Conn) *service {
	t.Helper()
	return startWith(t, conn, aggregator.DefaultConfig())
}

func startWith(t *testing.T, conn driver.Conn, cfg aggregator.Config) *service {
	t.Helper()
	must(t, cfg.Validate())
	reg := prometheus.NewRegistry()
	a := aggregator.New(cfg, conn, slog.New(slog.DiscardHandler), reg, noop.NewTracerProvider())
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan error, 2)
	go func() { done <- a.Run(ctx) }()
	go func() { done <- a.ServeOTLP(ctx, listener) }()
	server := httptest.NewServer(a.Handler())
	client, err := wire.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	s := &service{a, client, server.URL, listener.Addr().String(), reg, func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		client.Close()
		server.Close()
	}}
	t.Cleanup(s.stop)
	return s
}

func migrated(t *testing.T) driver.Conn {
	t.Helper()
	conn, _ := clickhousetest.DB(t)
	if err := schema.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

func event(id string, ms int, d faas.Data) faas.Event {
	return faas.Event{ID: id, Source: "host-1", Time: at(ms), Ref: ref, Data: d}
}

func lines(from int, bodies ...string) *push.PushRequest {
	s := push.Stream{Labels: wire.StreamLabels(ref, faas.Stdout, "host-1")}
	for n, body := range bodies {
		s.Entries = append(s.Entries, push.Entry{
			Timestamp: at(from + n), Line: body, StructuredMetadata: wire.Position(7, uint64(from+n)),
		})
	}
	return &push.PushRequest{Streams: []push.Stream{s}}
}

func query(t *testing.T, conn driver.Conn, sql string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const storedLines = `SELECT concat(toString(offset), ' ', toString(attribution), ' ', request_id, ' ', body) FROM logs FINAL WHERE stream != 'platform' ORDER BY ts, offset`

// TestColdRequest sends a request's facts over HTTP, in two halves with a
// restart between them, twice each, and reads what the store makes of them.
func TestColdRequest(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	first := []faas.Event{
		event("1", 0, faas.Demanded{RequestID: "req-a", Initialization: faas.OnDemand, Image: "registry/webapp:1", ImageBytes: 1 << 20}),
		event("2", 100, faas.PhaseDone{Name: faas.PhasePull, Start: at(10), End: at(100), Attributes: faas.Attributes{"bytes": "1048576"}}),
		event("3", 100, faas.LayerPulled{Digest: "sha256:abc", Bytes: 1 << 20, DownloadStart: at(10), DownloadEnd: at(90), Cache: "miss"}),
		event("4", 300, faas.Ready{}),
		event("5", 310, faas.InvocationStarted{RequestID: "req-a", Trigger: faas.TriggerHTTP, QueuedAt: at(0)}),
	}
	second := []faas.Event{
		event("6", 350, faas.InvocationEnded{RequestID: "req-a", StartedAt: at(310), Status: faas.StatusOK, HTTPStatus: 200}),
		event("7", 900, faas.Stopped{Reason: "idle"}),
	}
	for range 2 {
		must(t, s.client.SendEvents(t.Context(), first))
		must(t, s.client.Push(t.Context(), "default", lines(150, "loading")))
		must(t, s.client.Push(t.Context(), "default", lines(320, "handling", "GET /")))
		must(t, s.client.Push(t.Context(), "default", lines(400, "flushed late")))
		s.stop()
		s = start(t, conn)
		must(t, s.client.SendEvents(t.Context(), second))
	}
	want := "150 init req-a loading\n320 window req-a handling\n321 window req-a GET /\n400 late req-a flushed late\n"
	if diff := cmp.Diff(want, query(t, conn, storedLines)); diff != "" {
		t.Error(diff)
	}
	for name, check := range map[string]struct{ sql, want string }{
		"invocation": {
			`SELECT concat(request_id, ' ', status, ' ', toString(http_status), ' ', toString(cold), ' ', toString(cold_wait_ns), ' ', toString(duration_ns)) FROM invocations FINAL`,
			"req-a ok 200 true 300000000 40000000\n",
		},
		"cold start": {
			`SELECT concat(instance, ' ', request_id, ' ', initialization, ' ', image, ' ', toString(dateDiff('millisecond', demanded_at, ready_at)), ' ', stop_reason) FROM cold_starts FINAL`,
			"i-1 req-a on-demand registry/webapp:1 300 idle\n",
		},
		"phase": {
			`SELECT concat(phase, ' ', toString(dateDiff('millisecond', start, end)), ' ', attributes['bytes']) FROM phases FINAL`,
			"pull 90 1048576\n",
		},
		"layer":    {`SELECT concat(digest, ' ', toString(bytes), ' ', cache) FROM layers FINAL`, "sha256:abc 1048576 miss\n"},
		"platform": {`SELECT toString(count()) FROM logs FINAL WHERE stream = 'platform'`, "7\n"},
	} {
		if diff := cmp.Diff(check.want, query(t, conn, check.sql)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBadInput: each is answered with its own 4xx, and leaves others alone.
func TestBadInput(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	snappy, err := wire.EncodePush(lines(0, "good"))
	must(t, err)
	for _, c := range []struct {
		name, path, contentType string
		body                    []byte
		code                    int
		says                    string
	}{
		{"broken snappy", wire.PathPush, wire.MediaPush, []byte("\xff\xff\xff\xff\xff"), 400, "not a snappy block"},
		{"snappy cut short", wire.PathPush, wire.MediaPush, snappy[:len(snappy)/2], 400, "not a snappy block"},
		{"snappy bomb", wire.PathPush, wire.MediaPush, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 413, "too large"},
		{"not JSON", wire.PathPush, "application/json", []byte("{"), 400, "not a Loki push in JSON"},
		{"oversized", wire.PathPush, wire.MediaPush, make([]byte, wire.MaxPushBytes+1), 413, "smaller batches"},
		{"event: wrong type", wire.PathEvents, "text/plain", []byte("{}"), 415, "unsupported media type"},
		{"event: not JSON", wire.PathEvents, wire.MediaEvent, []byte("{"), 400, "not a CloudEvents JSON object"},
		{"event: unknown type", wire.PathEvents, wire.MediaEvent, []byte(`{"specversion":"1.0","id":"1","source":"x","type":"com.example","time":"2026-01-01T00:00:00Z","data":{}}`), 400, `unknown event type "com.example"`},
		{"event: no request ID", wire.PathEvents, wire.MediaEvent, []byte(`{"specversion":"1.0","id":"1","source":"x","type":"dev.coldscope.invocation.started","time":"2026-01-01T00:00:00Z","data":{"function":"f","instance":"i"}}`), 400, "request_id is missing"},
		{"events: second is bad", wire.PathEvents, wire.MediaEventBatch, []byte(`[` + readyJSON + `,{}]`), 400, "event 2 of 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, text := post(t, s.url+c.path, c.contentType, c.body)
			if code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("got %d %q, want %d %q", code, text, c.code, c.says)
			}
		})
	}
	if got := query(t, conn, "SELECT toString(count()) FROM logs"); got != "0\n" {
		t.Errorf("rows after bad input only: %s", got)
	}
	must(t, s.client.Push(t.Context(), "default", lines(0, "good")))
	if got := testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_push_requests_total", "endpoint", "push", "code", "413")); got != 2 {
		t.Errorf("413 counted %v times", got)
	}
}

const readyJSON = `{"specversion":"1.0","id":"1","source":"x","type":"dev.coldscope.instance.ready","time":"2026-01-01T00:00:00Z","data":{"function":"f","instance":"i"}}`

func post(t *testing.T, url, contentType string, body []byte) (int, string) {
	t.Helper()
	resp, err := http.Post(url, contentType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func counter(t *testing.T, reg *prometheus.Registry, name string, labels ...string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	c := prometheus.NewGauge(prometheus.GaugeOpts{Name: "found"})
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			match := f.GetName() == name
			for n := 0; n < len(labels); n += 2 {
				match = match && got[labels[n]] == labels[n+1]
			}
			if match {
				c.Add(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	return c
}

// TestPartlyBad: the good entries of a push are stored, the bad are named.
func TestPartlyBad(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	req := lines(0, "good", "bad time", "invalid \xff UTF-8", strings.Repeat("x", 10<<20))
	req.Streams[0].Entries[1].Timestamp = time.Unix(-5, 0)
	req.Streams = append(req.Streams, push.Stream{Labels: `{function="f", stream="stdin"}`, Entries: []push.Entry{{Timestamp: at(0), Line: "x"}}})
	req.Streams = append(req.Streams, push.Stream{Labels: `{stream="platform"}`, Entries: []push.Entry{{Timestamp: at(0), Line: "not an event"}}})
	err := s.client.Push(t.Context(), "default", req)
	var status *wire.StatusError
	if !errors.As(err, &status) || status.Code != 400 || !strings.Contains(status.Message, "3 of 6 entries refused") {
		t.Fatalf("got %v", err)
	}
	want := "0 good 4\n0 invalid \uFFFD UTF-8 17\n9437184 " + strings.Repeat("x", 20) + " 1048576\n"
	got := query(t, conn, `SELECT concat(toString(truncated), ' ', substringUTF8(body, 1, 20), ' ', toString(length(body))) FROM logs FINAL ORDER BY offset`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestSenderWithoutPositions: Promtail, Fluent Bit and others name no offsets.
func TestSenderWithoutPositions(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	req := &push.PushRequest{Streams: []push.Stream{{
		Labels:  `{job="web", pod="p"}`,
		Entries: []push.Entry{{Timestamp: at(0), Line: "same"}, {Timestamp: at(0), Line: "same"}, {Timestamp: at(0), Line: "other"}},
	}}}
	for range 3 {
		must(t, s.client.Push(t.Context(), "default", req))
	}
	got := query(t, conn, `SELECT concat(function, ' ', body, ' ', toString(count())) FROM logs FINAL GROUP BY function, body ORDER BY body`)
	if diff := cmp.Diff("web other 1\nweb same 2\n", got); diff != "" {
		t.Error(diff)
	}
}

// TestTenants: an event speaks for the tenant that its push is for.
func TestTenants(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	e := event("1", 0, faas.Ready{})
	e.Tenant = "victim"
	raw, err := wire.EncodeEvent(&e)
	must(t, err)
	must(t, s.client.Push(t.Context(), "attacker", &push.PushRequest{Streams: []push.Stream{{
		Labels: `{stream="platform"}`, Entries: []push.Entry{{Timestamp: at(0), Line: string(raw)}},
	}}}))
	if got := query(t, conn, `SELECT DISTINCT tenant FROM (SELECT tenant FROM logs UNION ALL SELECT tenant FROM cold_starts)`); got != "attacker\n" {
		t.Errorf("tenants: %s", got)
	}
}

// TestStopLosesNothingAcknowledged: a push that is answered while the
// aggregator stops is stored if the answer was good.
func TestStopLosesNothingAcknowledged(t *testing.T) {
	conn := migrated(t)
	s := start(t, conn)
	const n = 20
	acked := make(chan int, n)
	for i := range n {
		go func() {
			err := s.Push(context.Background(), "default", lines(i, fmt.Sprint("line ", i)))
			if err == nil {
				acked <- 1
			} else {
				acked <- 0
			}
		}()
	}
	s.stop()
	sum := 0
	for range n {
		sum += <-acked
	}
	stored := strings.Count(query(t, conn, storedLines), "\n")
	if stored < sum {
		t.Errorf("%d lines acknowledged, %d stored", sum, stored)
	}
	if err := s.Push(t.Context(), "default", lines(0, "x")); err == nil {
		t.Error("a stopped aggregator acknowledged a push")
	}
}
