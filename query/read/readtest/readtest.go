// Package readtest fills a test's database with facts as the aggregator writes them.
package readtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// DB gives a database of the test's own with all tables, empty.
func DB(t testing.TB) driver.Conn {
	t.Helper()
	conn, _ := clickhousetest.DB(t)
	if err := schema.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Cluster is DB on two shards.
func Cluster(t testing.TB) driver.Conn {
	t.Helper()
	conn, err := schema.PrepareCluster(t.Context(), clickhousetest.Cluster(t).DSN, schema.Cluster{Name: clickhousetest.TwoShards})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// Insert writes rows as one block.
func Insert[T any](t testing.TB, conn driver.Conn, table schema.Table[T], rows ...T) {
	t.Helper()
	if err := table.Insert(t.Context(), conn, rows); err != nil {
		t.Fatal(err)
	}
}

// T0 is when the sample's cold request was queued.
var T0 = time.Date(2026, 5, 4, 12, 0, 0, 123_456_789, time.UTC)

// At is T0 plus seconds.
func At(seconds float64) time.Time {
	return T0.Add(time.Duration(seconds * float64(time.Second)).Round(time.Microsecond))
}

// What the sample holds.
const (
	Tenant   = "default"
	Cold     = "4a8f1c2e-0001-4000-8000-000000000001" // a cold request
	Waiter   = "4a8f1c2e-0002-4000-8000-000000000002" // waited behind it, on the same instance
	Failed   = "4a8f1c2e-0003-4000-8000-000000000003" // warm, HTTP 500
	Running  = "4a8f1c2e-0004-4000-8000-000000000004" // warm, has not ended
	Twice    = "4a8f1c2e-0005-4000-8000-000000000005" // two attempts on two instances
	NoStart  = "4a8f1c2e-0006-4000-8000-000000000006" // its instance never became ready
	Instance = "i-7f3a9c01"
	Other    = "i-7f3a9c02" // provisioned
	Broken   = "i-7f3a9c03" // its start failed
)

// Sample fills conn with a small history of default/inference: one cold start
// of 6 s with layers pulled and unpacked in parallel, a provisioned one, one
// that failed, and a handful of requests; some facts come in parts, some twice.
// The first instance's log file is accounted for up to a second before the
// last of them, and a piece of it is lost.
func Sample(t testing.TB, conn driver.Conn) {
	t.Helper()
	start := schema.ColdStartRow{Tenant: Tenant, Namespace: "default", Function: "inference", Instance: Instance}
	demanded, ready, other, broken := start, start, start, start
	demanded.Version, demanded.Host, demanded.Initialization = new("v3"), new("host-a"), new("on-demand")
	demanded.RequestID, demanded.DemandedAt = new(Cold), new(At(0.002))
	demanded.Image, demanded.Digest = new("registry.local:5000/inference:v3"), new("sha256:0c4d1f")
	demanded.ImageBytes, demanded.Registry, demanded.Region = new(int64(132_000_000)), new("registry.local:5000"), new("eu-1")
	demanded.MemoryLimit = new(int64(512 << 20))
	ready.ReadyAt = new(At(6.002))
	other.Instance, other.Version, other.Host, other.Initialization = Other, new("v3"), new("host-b"), new("provisioned")
	other.DemandedAt, other.ReadyAt = new(At(-100)), new(At(-98))
	broken.Instance, broken.Version, broken.Initialization, broken.RequestID = Broken, new("v3"), new("on-demand"), new(NoStart)
	broken.DemandedAt, broken.StoppedAt, broken.StopReason = new(At(-50)), new(At(-49)), new("start-failed")
	Insert(t, conn, schema.ColdStarts, demanded, other)
	Insert(t, conn, schema.ColdStarts, ready, broken, demanded)
	insertPhases(t, conn)
	insertLayers(t, conn)
	insertInvocations(t, conn)
	insertLines(t, conn)
	insertAccounts(t, conn)
}

func insertAccounts(t testing.TB, conn driver.Conn) {
	t.Helper()
	ledger := schema.LedgerRow{
		Tenant: Tenant, Namespace: "default", Function: "inference", Instance: Instance, FileID: "feed0123456789ab", Host: "host-a",
		From: new(At(4.45)), To: new(At(6.225)), Bytes: 2048, Lines: 9, TruncatedLines: 1, TruncatedBytes: 4096, Revision: 4096,
	}
	later := ledger
	later.To, later.Bytes, later.Lines, later.LostBytes, later.Revision = new(At(11)), 3072, 12, 512, 6144
	Insert(t, conn, schema.Ledgers, later)
	Insert(t, conn, schema.Ledgers, ledger)
	Insert(t, conn, schema.Gaps, schema.GapRow{
		Tenant: Tenant, Namespace: "default", Function: "inference", Instance: Instance, FileID: "feed0123456789ab", Offset: 1250, Host: "host-a",
		From: new(At(6.222)), To: At(6.228), Bytes: 512, Reason: "pinned", Revision: 1,
	})
}

func insertPhases(t testing.TB, conn driver.Conn) {
	t.Helper()
	phase := func(instance, name string, from, to float64, attributes map[string]string) schema.PhaseRow {
		return schema.PhaseRow{
			Tenant: Tenant, Namespace: "default", Function: "inference", Instance: instance, Version: "v3",
			Phase: name, Start: At(from), End: At(to), Attributes: attributes, Revision: 1,
		}
	}
	failed := phase(Broken, "pull", -49.5, -49, nil)
	failed.Error = "manifest unknown: no manifest v3 in registry.local:5000/inference"
	again := phase(Instance, "init", 4.402, 6.002, nil)
	again.Revision = 2
	Insert(t, conn, schema.Phases,
		phase(Instance, "queue", 0.002, 0.003, nil),
		phase(Instance, "schedule", 0.003, 0.012, nil),
		phase(Instance, "credentials", 0.012, 0.060, map[string]string{"token_ttl": "60"}),
		phase(Instance, "resolve", 0.060, 0.110, nil),
		phase(Instance, "pull", 0.110, 3.600, map[string]string{"bytes": "120400000"}),
		phase(Instance, "unpack", 0.800, 4.200, nil),
		phase(Instance, "create", 4.210, 4.340, nil),
		phase(Instance, "start", 4.340, 4.410, nil),
		phase(Instance, "init", 4.402, 6.002, nil),
		phase(Other, "pull", -99.9, -99.4, nil),
		phase(Other, "init", -99.2, -98, nil),
		failed,
	)
	Insert(t, conn, schema.Phases, again)
}

func insertLayers(t testing.TB, conn driver.Conn) {
	t.Helper()
	layer := func(digest, cache string, bytes int64, at ...float64) schema.LayerRow {
		row := schema.LayerRow{
			Tenant: Tenant, Namespace: "default", Function: "inference", Instance: Instance,
			Digest: "sha256:" + strings.Repeat(digest, 16), Cache: cache, Bytes: bytes, Revision: 1,
		}
		if len(at) == 4 {
			row.DownloadStart, row.DownloadEnd = new(At(at[0])), new(At(at[1]))
			row.UnpackStart, row.UnpackEnd = new(At(at[2])), new(At(at[3]))
		}
		return row
	}
	Insert(t, conn, schema.Layers,
		layer("a1b2", "hit", 11_600_000),
		layer("c3d4", "miss", 12_400_000, 0.120, 0.800, 0.800, 1.000),
		layer("e5f6", "miss", 108_000_000, 0.120, 3.600, 3.605, 4.200),
	)
}

func insertInvocations(t testing.TB, conn driver.Conn) {
	t.Helper()
	row := func(id, instance string, started float64) schema.InvocationRow {
		return schema.InvocationRow{
			Tenant: Tenant, Namespace: "default", Function: "inference", StartedAt: At(started), RequestID: id, Instance: instance,
			Version: new("v3"), Trigger: new("http"),
		}
	}
	ended := func(r schema.InvocationRow, queued, end float64, status string, code uint16) schema.InvocationRow {
		r.QueuedAt, r.EndedAt, r.Status, r.HTTPStatus = new(At(queued)), new(At(end)), new(status), new(code)
		r.DurationNS = new(At(end).Sub(r.StartedAt).Nanoseconds())
		r.Cold, r.ColdWaitNS = new(false), new(int64(0))
		return r
	}
	cold := ended(row(Cold, Instance, 6.004), 0, 6.2145, "ok", 200)
	cold.Cold, cold.ColdWaitNS = nil, nil // comes as a fact of its own
	cold.MemoryPeak, cold.CPUTimeNS, cold.BytesIn, cold.BytesOut = new(int64(318<<20)), new(int64(190_000_000)), new(int64(23)), new(int64(512))
	told := row(Cold, Instance, 6.004)
	told.Cold, told.ColdWaitNS = new(true), new(int64(6_002_000_000))
	waiter := ended(row(Waiter, Instance, 6.216), 4.5, 6.230, "ok", 200)
	waiter.Cold, waiter.ColdWaitNS = new(true), new(int64(1_502_000_000))
	failed := ended(row(Failed, Instance, 10), 9.999, 10.050, "error", 500)
	failed.Error = new("HTTP status 500")
	Insert(t, conn, schema.Invocations, row(Cold, Instance, 6.004), told, waiter, failed, row(Running, Instance, 12),
		ended(row(Twice, Other, 13), 13, 13.1, "cancelled", 499), ended(row(Twice, Instance, 14), 13, 14.2, "ok", 200))
	Insert(t, conn, schema.Invocations, cold)
	never := ended(row(NoStart, Broken, -49), -50.001, -49, "error", 0)
	never.Error, never.Cold, never.ColdWaitNS = new("pull image: manifest unknown"), new(true), new(int64(1_001_000_000))
	Insert(t, conn, schema.Invocations, never)
	foreign := ended(row(Cold, "i-foreign", 6.004), 6, 6.1, "ok", 200)
	foreign.Tenant, foreign.RequestID = "other", "foreign-request"
	Insert(t, conn, schema.Invocations, foreign)
}

func insertLines(t testing.TB, conn driver.Conn) {
	t.Helper()
	offset := uint64(0)
	line := func(at float64, stream, attribution, request, text string) schema.LogRow {
		offset += 100
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: Tenant, Namespace: "default", Function: "inference", Version: "v3", Instance: Instance},
				Host: "host-a", Time: At(at), Stream: faas.Stream(stream), Body: text, FileID: 0xfeed0123456789ab, Offset: offset,
			},
			Attribution: faas.Attribution(attribution), RequestID: request, Revision: 1,
		}
	}
	ambiguous := line(6.220, "stdout", "ambiguous", "", "flushed 1 batch")
	ambiguous.Candidates = []string{Waiter, "somebody-else"}
	truncated := line(6.150, "stdout", "window", Cold, "prediction "+strings.Repeat("7.5, ", 40))
	truncated.Truncated = 4096
	corrected := line(6.100, "stdout", "none", "", "predict half_plus_two n=3")
	Insert(t, conn, schema.Logs,
		line(0.002, "platform", "init", Cold, "instance demanded (on-demand) registry.local:5000/inference:v3"),
		line(3.6, "platform", "init", Cold, "pull took 3.49s"),
		line(4.45, "stderr", "init", Cold, "I0504 12:00:04.573 main.go:41] listening soon n=1"),
		line(5.9, "stderr", "init", Cold, "I0504 12:00:06.023 model.go:88] loaded half_plus_two (64 MB) in 1.4s n=2"),
		line(6.002, "platform", "init", Cold, "instance ready"),
		line(6.004, "platform", "explicit", Cold, "request started (http)"),
		corrected, truncated,
		line(6.200, "stdout", "explicit", Cold, "RequestId: "+Cold+" done n=5"),
		line(6.2145, "platform", "explicit", Cold, "request ended: ok, HTTP 200"),
		line(6.215, "stdout", "late", Cold, "closing response body n=6"),
		ambiguous,
		line(6.225, "stdout", "window", Waiter, "predict half_plus_two n=7"),
		line(7, "stdout", "none", "", "idle tick n=8"),
		line(10.01, "stderr", "window", Failed, "panic: index out of range [3] with length 3\n\ngoroutine 34 [running]:\nmain.boom(...)\n\t/src/main.go:112 +0x1d\nmain.handle(0xc000118000)\n\t/src/main.go:87 +0x94"),
	)
	corrected.RequestID, corrected.Attribution, corrected.Revision = Cold, "window", 2
	Insert(t, conn, schema.Logs, corrected)
}

// Many fills conn with three million lines of 200 functions of namespace n, f0
// to f199: ten lines a request, a request each 200 ms, every tenth told of by
// nobody, all in one day. Request i is of function i mod 200, and its ID is the
// MD5 of i. It gives the time of the first.
func Many(t testing.TB, conn driver.Conn) time.Time {
	t.Helper()
	const lines, blocks = 3_000_000, 6
	begin := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	for n := range blocks {
		from, count := n*lines/blocks, lines/blocks
		for _, sql := range []string{
			`INSERT INTO logs (tenant, namespace, function, version, instance, ts, stream, request_id, attribution, packed, file_id, offset, revision)
			SELECT 'default', 'n', concat('f', toString(intDiv(number, 10) %% 200)), 'v', concat('i', toString(intDiv(number, 10) %% 2000)),
				fromUnixTimestamp64Nano(%[1]d + toInt64(number) * 20000000, 'UTC'), 'stdout', hex(MD5(toString(intDiv(number, 10)))), 'explicit',
				concat('INFO handled ', toString(cityHash64(number)), ' in a while, and went on to the next'), intDiv(number, 10) %% 2000, number, 1 FROM numbers(%[2]d, %[3]d)`,
			`INSERT INTO invocations (tenant, namespace, function, instance, started_at, ended_at, request_id, status)
			SELECT 'default', 'n', concat('f', toString(number %% 200)), concat('i', toString(number %% 2000)),
				fromUnixTimestamp64Nano(%[1]d + toInt64(number) * 200000000, 'UTC') AS s, s + 0.5, hex(MD5(toString(number))), 'ok'
			FROM numbers(intDiv(%[2]d, 10), intDiv(%[3]d, 10)) WHERE number %% 10 != 9`,
			`INSERT INTO cold_starts (tenant, namespace, function, instance, demanded_at, ready_at, request_id)
			SELECT 'default', 'n', concat('f', toString(number %% 200)), concat('i', toString(number)),
				fromUnixTimestamp64Nano(%[1]d + toInt64(number) * 200000000, 'UTC') AS s, s + 0.1, hex(MD5(toString(number)))
			FROM numbers(2000) WHERE %[2]d = 0 AND %[3]d > 0`,
		} {
			if err := conn.Exec(t.Context(), fmt.Sprintf(sql, begin.UnixNano(), from, count)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return begin
}
