package read_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// TestTenantFirst holds every query to its first condition, to a limit, and to
// rows that are folded.
func TestTenantFirst(t *testing.T) {
	// Pieces of a query that Go puts together, and why what is read is not folded.
	pieces := []string{"logs_list.sql", "logs_matching.sql"}
	unfolded := map[string]string{
		"known_function.sql":  "the rows of a start all have its time",
		"known_functions.sql": "the rows of a version are folded by it",
		"logs_attempts.sql":   "the rows of an attempt all have its key",
		"logs_firsts.sql":     "the rows of an attempt all have its key",
		"tail.sql":            "who follows is told of corrections, too",
		"tail_count.sql":      "who follows is told of corrections, too",
	}
	files, err := os.ReadDir("sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile("sql/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		sql := string(b)
		piece := slices.Contains(pieces, f.Name())
		if n, first := strings.Count(sql, "WHERE"), strings.Count(sql, "WHERE tenant = {tenant:String}"); n == 0 && !piece || n != first {
			t.Errorf("%s: %d conditions, %d begin with the tenant", f.Name(), n, first)
		}
		if !strings.Contains(sql, "LIMIT ") && !piece && f.Name() != "tail_count.sql" {
			t.Errorf("%s has no LIMIT", f.Name())
		}
		if !strings.Contains(sql, " FINAL") && !strings.Contains(sql, "FROM rollup_state") && !piece && unfolded[f.Name()] == "" {
			t.Errorf("%s has no FINAL", f.Name())
		}
	}
}

func TestOtherTenant(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	r := read.New(conn)
	ctx := t.Context()
	for _, tenant := range []string{"", "nobody", "other' OR 1=1 --", "default\x00"} {
		if _, err := r.Request(ctx, tenant, read.RequestFilter{ID: readtest.Cold}, readtest.At(20)); !errors.Is(err, read.ErrNotFound) {
			t.Errorf("%q: request: %v", tenant, err)
		}
		list, err := r.Invocations(ctx, tenant, read.InvocationQuery{Limit: 10})
		if err != nil || len(list.Requests) != 0 {
			t.Errorf("%q: %d requests, %v", tenant, len(list.Requests), err)
		}
		functions, err := r.Functions(ctx, tenant, read.Range{})
		if err != nil || len(functions.Functions) != 0 {
			t.Errorf("%q: %d functions, %v", tenant, len(functions.Functions), err)
		}
		starts, _, err := r.ColdStarts(ctx, tenant, read.StartFilter{})
		if err != nil || len(starts) != 0 {
			t.Errorf("%q: %d starts, %v", tenant, len(starts), err)
		}
	}
}

func TestCursor(t *testing.T) {
	for _, bad := range []string{"", "x", "!!", "WzEsMiwzXQ", "bnVsbA", "W10", strings.Repeat("A", 5000)} {
		if _, err := read.ParseCursor(bad); !errors.Is(err, read.ErrCursor) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.String().Draw(r, "text")
		c, err := read.ParseCursor(text)
		if err == nil && c.String() == "" {
			r.Fatal("an empty cursor")
		}
	})
}

// TestPruning reads a page's lines and a request's row out of a large table
// and looks at what the store had to read for it.
func TestPruning(t *testing.T) {
	conn := readtest.DB(t)
	const rows = 400_000
	// A day of a busy function and of its neighbours, at about 18 lines a second.
	exec(t, conn, fmt.Sprintf(`INSERT INTO logs (tenant, namespace, function, instance, ts, stream, request_id, attribution, packed, file_id, offset, revision)
		SELECT 'default', 'n', ['f', 'g', 'h', 'i'][number %% 4 + 1], 'i', fromUnixTimestamp64Nano(1777852800000000000 + toInt64(number) * 216000000, 'UTC'),
			'stdout', toString(intDiv(number, 100)), 'window', 'a line', 1, number, 1 FROM numbers(%d)`, rows))
	exec(t, conn, fmt.Sprintf(`INSERT INTO invocations (tenant, namespace, function, instance, started_at, ended_at, request_id, status)
		SELECT 'default', 'n', 'f', 'i', fromUnixTimestamp64Nano(1777852800000000000 + toInt64(number) * 216000000, 'UTC') AS s, s + 1, toString(number), 'ok'
		FROM numbers(%d)`, rows))
	exec(t, conn, `INSERT INTO logs (tenant, namespace, function, instance, ts, stream, request_id, attribution, packed, file_id, offset, revision)
		SELECT 'default', 'n', 'h', 'i', fromUnixTimestamp64Nano(1777896000000000000, 'UTC'), 'stdout', 'untold', 'explicit', 'a line', 2, 0, 1`)
	exec(t, conn, "OPTIMIZE TABLE logs FINAL")
	exec(t, conn, "OPTIMIZE TABLE invocations FINAL")

	var mu sync.Mutex // a page's queries run at the same time
	var scanned map[string]uint64
	counting := countingConn{conn, func(sql string, n uint64) {
		mu.Lock()
		defer mu.Unlock()
		name, _, _ := strings.Cut(strings.TrimPrefix(sql, "-- "), ",")
		scanned[name] += n
	}}
	for id, want := range map[string]faas.Status{"200000": faas.StatusOK, "untold": faas.StatusUnknown} {
		scanned = map[string]uint64{}
		page, err := read.New(counting).Request(t.Context(), "default", read.RequestFilter{ID: id}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if page.Invocation.Status != want {
			t.Errorf("%+v", page.Invocation)
		}
		var all uint64
		for name, n := range scanned {
			t.Logf("%s: %d rows: %s", id, n, name)
			all += n
		}
		if all == 0 || all > rows/5 {
			t.Errorf("%d rows read for one page of a store of %d", all, 2*rows)
		}
	}

	scanned = map[string]uint64{}
	at := time.Unix(0, 1777852800000000000).Add(12 * time.Hour)
	list, err := read.New(counting).Invocations(t.Context(), "default", read.InvocationQuery{
		InvocationFilter: read.InvocationFilter{Namespace: "n", Function: "f", Range: read.Range{Since: at, Until: at.Add(5 * time.Minute)}}, Limit: 100,
	})
	if err != nil || len(list.Requests) != 100 || list.NextCursor == "" {
		t.Fatalf("%+v %v", list, err)
	}
	for _, n := range scanned {
		if n == 0 || n > rows/10 {
			t.Errorf("%d rows read for five minutes of one function", n)
		}
	}
}

func exec(t *testing.T, conn driver.Conn, sql string) {
	t.Helper()
	if err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// countingConn tells how many rows the store read for each query.
type countingConn struct {
	driver.Conn
	told func(sql string, rows uint64)
}

func (c countingConn) progress(ctx context.Context, sql string) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) { c.told(sql, p.Rows) }))
}

func (c countingConn) Select(ctx context.Context, dest any, sql string, args ...any) error {
	return c.Conn.Select(c.progress(ctx, sql), dest, sql, args...)
}

func (c countingConn) Query(ctx context.Context, sql string, args ...any) (driver.Rows, error) {
	return c.Conn.Query(c.progress(ctx, sql), sql, args...)
}

// TestSharedInstance keeps the lines of requests that ran at the same time
// on the same instance apart, and finds what the request printed elsewhere.
func TestSharedInstance(t *testing.T) {
	conn := readtest.DB(t)
	end := readtest.At(10)
	for _, id := range []string{"a", "b"} {
		readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{
			Tenant: "default", Namespace: "n", Function: "f", StartedAt: readtest.At(0), EndedAt: &end, RequestID: id, Instance: "i", Status: new("ok"),
		})
	}
	n := 0
	line := func(at float64, instance, request string, attribution faas.Attribution) schema.LogRow {
		n++
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: instance},
				Time: readtest.At(at), Stream: "stdout", Body: strconv.Itoa(n), FileID: 1, Offset: uint64(n),
			},
			RequestID: request, Attribution: attribution, Revision: 1,
		}
	}
	readtest.Insert(t, conn, schema.Logs,
		line(-5, "i", "", "init"),        // 1: of a start that a did not wait for
		line(1, "i", "a", "explicit"),    // 2
		line(2, "i", "b", "explicit"),    // 3: b's
		line(3, "i", "", "ambiguous"),    // 4
		line(4, "j", "", "none"),         // 5: another instance's
		line(5, "j", "a", "explicit"),    // 6: elsewhere, but a's own word
		line(10.5, "i", "a", "late"),     // 7
		line(11, "i", "", "none"),        // 8: after its end
		line(30, "i", "a", "explicit"),   // 9: went on in the background
		line(3600, "i", "a", "explicit"), // 10: too late to be looked for
	)
	page, err := read.New(conn).Request(t.Context(), "default", read.RequestFilter{ID: "a"}, readtest.At(20))
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, l := range page.Lines {
		bodies = append(bodies, l.Body)
	}
	if want := []string{"2", "4", "6", "7", "9"}; !slices.Equal(bodies, want) {
		t.Errorf("lines %v, want %v", bodies, want)
	}
}

// TestCompleteness reads accounts that the store holds: of the page's own
// tenant and instance, the newest of a file's, and the gaps of its time.
func TestCompleteness(t *testing.T) {
	conn := readtest.DB(t)
	request := func(id, instance string, from, to float64) {
		t.Helper()
		end := readtest.At(to)
		readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{
			Tenant: "default", Namespace: "n", Function: "f", StartedAt: readtest.At(from), EndedAt: &end, RequestID: id, Instance: instance, Status: new("ok"),
			MemoryPeak: new(int64(5)), UsageMemoryPeak: new(int64(9)), UsageCPUTimeNS: new(int64(7_000_000)), UsageShared: new(true),
		})
	}
	request("before", "i", 10, 20)
	request("within", "i", 30, 40)
	request("behind", "i", 50, 60)
	request("elsewhere", "j", 30, 40)
	line := func(at float64, instance, request string, file uint64) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: instance},
				Time: readtest.At(at), Stream: "stdout", FileID: file, Offset: uint64(at),
			},
			RequestID: request, Attribution: "window", Revision: 1,
		}
	}
	readtest.Insert(t, conn, schema.Logs, line(15, "i", "before", 0xa), line(35, "i", "within", 0xb), line(55, "i", "behind", 0xb),
		line(36, "elsewhere", "within", 0xc)) // its own word on another instance, whose files say nothing of this one's
	ledger := func(tenant, instance, file string, from, to float64, revision uint64) schema.LedgerRow {
		return schema.LedgerRow{
			Tenant: tenant, Namespace: "n", Function: "f", Instance: instance, FileID: file, From: new(readtest.At(from)), To: new(readtest.At(to)), Revision: revision,
		}
	}
	complete := ledger("default", "i", "000000000000000a", 1, 25, 5)
	complete.Complete = true
	empty := schema.LedgerRow{Tenant: "default", Namespace: "n", Function: "f", Instance: "i", FileID: "000000000000000d"}
	readtest.Insert(t, conn, schema.Ledgers, complete, ledger("default", "i", "000000000000000b", 31, 55, 9), empty,
		ledger("other", "j", "000000000000000b", 1, 99, 1))
	readtest.Insert(t, conn, schema.Ledgers, ledger("default", "i", "000000000000000b", 31, 32, 8)) // older, but comes later
	gap := func(tenant string, file string, offset int64, from *time.Time, to float64, bytes int64) schema.GapRow {
		return schema.GapRow{
			Tenant: tenant, Namespace: "n", Function: "f", Instance: "i", FileID: file, Offset: offset, From: from, To: readtest.At(to), Bytes: bytes, Reason: "truncated", Revision: 1,
		}
	}
	at := func(s float64) *time.Time { return new(readtest.At(s)) }
	for range 2 { // sent twice
		readtest.Insert(t, conn, schema.Gaps,
			gap("default", "000000000000000b", 5, at(28), 30, 100), gap("default", "000000000000000b", 9, at(40), 41, 20), gap("default", "000000000000000b", 10, at(42), 43, 3),
			gap("other", "000000000000000b", 5, at(1), 99, 1000))
	}
	for id, want := range map[string]string{
		"before": "complete [] 0", "within": "partial [5 9] 120", "behind": "unknown [] 0", "elsewhere": "unknown [] 0",
	} {
		page, err := read.New(conn).Request(t.Context(), "default", read.RequestFilter{ID: id}, readtest.At(100))
		if err != nil {
			t.Fatal(err)
		}
		offsets := []int64{}
		for _, g := range page.Completeness.Gaps {
			offsets = append(offsets, g.Offset)
		}
		if got := fmt.Sprint(page.Completeness.State, " ", offsets, " ", page.Completeness.LostBytes); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
		if v := page.Invocation; *v.MemoryPeak != 5 || *v.CPUTimeMS != 7 || !v.UsageShared {
			t.Errorf("%s: the platform's word and the host's: %d %v %v", id, *v.MemoryPeak, *v.CPUTimeMS, v.UsageShared)
		}
	}
	readtest.Insert(t, conn, schema.Gaps, gap("default", "", 0, nil, 100, 0)) // from any time of the instance's
	page, err := read.New(conn).Request(t.Context(), "default", read.RequestFilter{ID: "before"}, readtest.At(100))
	if err != nil || page.Completeness.State != read.Partial || page.Completeness.Gaps[0].From != nil {
		t.Errorf("%+v %v", page, err)
	}
}
