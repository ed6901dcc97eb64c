package schema

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
)

func insertRows[T any](t *testing.T, conn driver.Conn, table *Table[T], rows ...T) {
	t.Helper()
	if err := table.Insert(t.Context(), conn, rows); err != nil {
		t.Fatal(err)
	}
}

const (
	request = "4a8f1c2e-0001-4000-8000-00000000000A"
	traceID = "4a8f1c2e00014000800000000000000a"
)

var began = time.Date(2026, 5, 4, 12, 0, 0, 123456789, time.UTC)

// otelStore holds one cold request of acme's shop/cart, and one line of another tenant.
func otelStore(t *testing.T) driver.Conn {
	conn, _ := clickhousetest.DB(t)
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	line := LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: "acme", Namespace: "shop", Function: "cart", Version: "v1", Instance: "i-1"},
			Host: "h", Time: at(2.5), Stream: "stderr", Body: "boom", Severity: faas.Severity(17), FileID: 1, Offset: 1, TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331", Attributes: []faas.Attribute{{Key: "user", Value: "7"}},
		},
		RequestID: request, Attribution: "window", Revision: 2,
	}
	another := func() LogRow {
		l := *line.Line
		return LogRow{Line: &l, RequestID: line.RequestID, Attribution: line.Attribution, Revision: line.Revision}
	}
	stale, init, other := another(), another(), another()
	stale.Body, stale.Revision = "an older reading of it", 1
	init.Time, init.Attribution, init.Body, init.Offset, init.Severity, init.TraceID, init.SpanID = at(1.5), "init", "loading", 0, 0, "", ""
	other.Tenant, other.RequestID = "rival", ""
	insertRows(t, conn, &Logs, line, init, other)
	insertRows(t, conn, &Logs, stale)
	insertRows(t, conn, &Invocations, InvocationRow{
		Tenant: "acme", Namespace: "shop", Function: "cart", StartedAt: at(2), RequestID: request, Instance: "i-1", Version: new("v1"),
		QueuedAt: new(at(0)), EndedAt: new(at(3)), Status: new("error"), HTTPStatus: new(uint16(500)), Error: new("boom"), Cold: new(true), Trigger: new("http"),
	})
	start := ColdStartRow{Tenant: "acme", Namespace: "shop", Function: "cart", Instance: "i-1"}
	demanded, ready := start, start
	demanded.DemandedAt, demanded.RequestID, demanded.Initialization = new(at(0.001)), new(request), new("on-demand")
	ready.ReadyAt = new(at(2))
	insertRows(t, conn, &ColdStarts, ready)
	insertRows(t, conn, &ColdStarts, demanded)
	phase := PhaseRow{Tenant: "acme", Namespace: "shop", Function: "cart", Instance: "i-1", Version: "v1", Phase: "pull", Start: at(0.001), End: at(1), Revision: 1}
	boot := phase
	boot.Phase, boot.Start, boot.End = "init", at(1), at(2)
	insertRows(t, conn, &Phases, phase, boot)
	insertRows(t, conn, &Phases, phase)
	return conn
}

// As Grafana's ClickHouse data source asks for them, its time macros filled in.
const (
	grafanaLogs = `SELECT Timestamp as "timestamp", Body as "body", SeverityText as "level", LogAttributes as "labels", TraceId as "traceID" FROM "otel_logs"
WHERE ( timestamp >= toDateTime(1777896000) AND timestamp <= toDateTime(1777896010) ) AND ( ResourceAttributes['coldscope.tenant'] = 'acme' ) ORDER BY timestamp DESC LIMIT 1000`
	grafanaLogVolume = `SELECT toStartOfInterval("TimestampTime", INTERVAL 60 second) as "time",
sum(toString("SeverityText") IN ('error', 'ERROR', 'Error')) as error, count(*) as total
FROM "otel_logs" WHERE ( TimestampTime >= toDateTime(1777896000) AND TimestampTime <= toDateTime(1777896010) ) AND ServiceName = 'cart' AND Tenant = 'acme' GROUP BY time ORDER BY time ASC`
	grafanaTraces = `SELECT "TraceId" as traceID, "ServiceName" as serviceName, "SpanName" as operationName, "Timestamp" as startTime, multiply("Duration", 0.000001) as duration
FROM "otel_traces" WHERE ( Timestamp >= toDateTime(1777896000) AND Timestamp <= toDateTime(1777896010) ) AND ( ParentSpanId = '' ) AND ( Duration > 0 )
ORDER BY Timestamp DESC, Duration DESC LIMIT 1000`
	grafanaTrace = `WITH '` + traceID + `' as trace_id, (SELECT min(Start) FROM "otel_traces_trace_id_ts" WHERE TraceId = trace_id) as trace_start,
(SELECT max(End) + 1 FROM "otel_traces_trace_id_ts" WHERE TraceId = trace_id) as trace_end
SELECT "TraceId" as traceID, "SpanId" as spanID, "ParentSpanId" as parentSpanID, "ServiceName" as serviceName, "SpanName" as operationName,
multiply(toUnixTimestamp64Nano("Timestamp"), 0.000001) as startTime, multiply("Duration", 0.000001) as duration,
arrayMap(key -> map('key', key, 'value',"SpanAttributes"[key]), mapKeys("SpanAttributes")) as tags,
arrayMap(key -> map('key', key, 'value',"ResourceAttributes"[key]), mapKeys("ResourceAttributes")) as serviceTags,
if("StatusCode" IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) as statusCode,
arrayMap((name, timestamp, attributes) -> tuple(name, toString(toUnixTimestamp64Milli(timestamp)), arrayMap( key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))::Tuple(name String, timestamp String, fields Array(Map(String, String))), "Events".Name, "Events".Timestamp, "Events".Attributes) AS logs,
arrayMap((traceID, spanID, attributes) -> tuple(traceID, spanID, arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))::Tuple(traceID String, spanID String, tags Array(Map(String, String))), "Links".TraceId, "Links".SpanId, "Links".Attributes) AS references,
"SpanKind" as kind, "StatusMessage" as statusMessage, "TraceState" as traceState
FROM "otel_traces" WHERE traceID = trace_id AND "Timestamp" >= trace_start AND "Timestamp" <= trace_end LIMIT 1000`
)

// pick runs query and gives of each row what expression makes of it.
func pick(t *testing.T, conn driver.Conn, query, expression string) []string {
	t.Helper()
	var rows []struct {
		Text string `ch:"text"`
	}
	if err := conn.Select(t.Context(), &rows, "SELECT toString("+expression+") AS text FROM ("+query+")"); err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, r := range rows {
		all = append(all, r.Text)
	}
	return all
}

func TestGrafanaLogs(t *testing.T) {
	conn := otelStore(t)
	got := pick(t, conn, grafanaLogs, `(toUnixTimestamp64Nano(timestamp), body, level, traceID, labels['user'], labels['trace_id'], labels['faas.invocation_id'])`)
	want := []string{
		fmt.Sprintf("(%d,'boom','ERROR','%s','7','0af7651916cd43dd8448eb211c80319c','%s')", began.Add(2500*time.Millisecond).UnixNano(), traceID, request),
		fmt.Sprintf("(%d,'loading','','%s','7','','%s')", began.Add(1500*time.Millisecond).UnixNano(), traceID, request),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"(1,2)"}, pick(t, conn, grafanaLogVolume, "(error, total)")); diff != "" {
		t.Errorf("log volume (-want +got):\n%s", diff)
	}
}

func TestGrafanaTraces(t *testing.T) {
	conn := otelStore(t)
	if diff := cmp.Diff([]string{"('" + traceID + "','cart','cart',3000)"}, pick(t, conn, grafanaTraces, "(traceID, serviceName, operationName, toUInt32(duration))")); diff != "" {
		t.Errorf("traces (-want +got):\n%s", diff)
	}
	spans := pick(t, conn, "SELECT * FROM ("+grafanaTrace+") ORDER BY startTime, duration DESC", "(operationName, toUInt32(duration), statusCode, statusMessage)")
	if diff := cmp.Diff([]string{"('cart',3000,2,'boom')", "('cold start',1999,0,'')", "('pull',999,0,'')", "('init',1000,0,'')"}, spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	// Each span but the root has its parent in the trace, and so have the lines.
	for query, want := range map[string]string{
		"SELECT count() AS n FROM (" + grafanaTrace + ") AS s LEFT JOIN (" + grafanaTrace + ") AS p ON s.parentSpanID = p.spanID WHERE p.spanID != ''": "3",
		"SELECT count() AS n FROM otel_logs AS l INNER JOIN otel_traces AS s ON l.TraceId = s.TraceId AND l.SpanId = s.SpanId":                         "2",
		"SELECT SpanName AS n FROM otel_traces WHERE SpanId = (SELECT SpanId FROM otel_logs WHERE Body = 'loading')":                                   "cold start",
		"SELECT SpanAttributes['faas.coldstart'] AS n FROM otel_traces WHERE ParentSpanId = ''":                                                        "true",
	} {
		if got := pick(t, conn, query, "n"); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// An operator gives a Grafana user one tenant's rows by a row policy on each
// table: it holds through the views, since they read with their reader's rights.
// The engine takes policies from its users file only.
func TestRowPolicy(t *testing.T) {
	dir := t.TempDir()
	engine, conn, stop := engineWith(t, dir, nil)
	defer stop()
	insertRows(t, conn, &Logs, LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: "acme"},
			Time: began, Stream: "stdout", Body: "ours",
		},
		Attribution: "none",
	}, LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: "rival"},
			Time: began, Stream: "stdout", Body: "theirs",
		},
		Attribution: "none",
	})
	insertRows(t, conn, &Invocations, InvocationRow{Tenant: "acme", Function: "ours", StartedAt: began}, InvocationRow{Tenant: "rival", Function: "theirs", StartedAt: began})

	users := filepath.Join(dir, "users.xml")
	content, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	var grants, filters strings.Builder
	for _, table := range []string{"logs", "invocations", "cold_starts", "phases", "otel_logs", "otel_traces", "otel_traces_trace_id_ts"} {
		fmt.Fprintf(&grants, "<query>GRANT SELECT ON default.%s</query>", table)
		if !strings.HasPrefix(table, "otel_") {
			fmt.Fprintf(&filters, "<%s><filter>tenant = 'acme'</filter></%s>", table, table)
		}
	}
	grafana := "<grafana><password>g</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><grants>" + grants.String() +
		"</grants><databases><default>" + filters.String() + "</default></databases></grafana></users>"
	if err := os.WriteFile(users, []byte(strings.Replace(string(content), "</users>", grafana, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	// The engine starts again with the file as it is, not as its owner wrote it.
	if err := syscall.Kill(engine.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	dsn, err := os.ReadFile(filepath.Join(dir, "dsn"))
	if err != nil {
		t.Fatal(err)
	}
	opts, err := clickhouse.Parse(strings.TrimSpace(string(dsn)))
	if err != nil {
		t.Fatal(err)
	}
	opts.Auth.Username, opts.Auth.Password = "grafana", "g"
	var reader driver.Conn
	for deadline := time.Now().Add(time.Minute); reader == nil; { // until it is up
		if reader, err = clickhouse.OpenOptions(t.Context(), opts); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer reader.Close()
	for _, query := range []string{"SELECT Body AS n FROM otel_logs", "SELECT ServiceName AS n FROM otel_traces", "SELECT body AS n FROM logs"} {
		if got := pick(t, reader, query, "n"); len(got) != 1 || got[0] != "ours" {
			t.Errorf("%s: %q", query, got)
		}
	}
	if err := reader.Exec(t.Context(), "SELECT * FROM line_minutes"); err == nil {
		t.Error("a table without a grant can be read")
	}
}
