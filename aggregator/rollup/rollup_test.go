package rollup_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/aggregator/rollup"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func roller(conn driver.Conn, cutoff func(string) time.Time) *rollup.Roller {
	return rollup.New(rollup.Config{Interval: time.Second, Cutoff: cutoff}, conn, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func roll(t testing.TB, r *rollup.Roller) int {
	t.Helper()
	n, err := r.Roll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func line(function string, at time.Duration, offset uint64, severity faas.Severity, revision uint64) schema.LogRow {
	return schema.LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: "acme", Namespace: "shop", Function: function, Version: "v1", Instance: "i"},
			Time: t0.Add(at), Stream: "stdout", Body: fmt.Sprint("line ", offset), FileID: 1, Offset: offset, Severity: severity,
		},
		Attribution: "none", Revision: revision,
	}
}

// truth counts the lines of the range with FINAL.
func truth(t testing.TB, conn driver.Conn, within read.Range) map[string]uint64 {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT toUnixTimestamp(toStartOfMinute(ts)), toUInt8(if(logs.severity = 0, 0, intDiv(logs.severity - 1, 4) * 4 + 1)) AS range, toString(stream), count(), sum(length(body))
FROM logs FINAL WHERE tenant = 'acme' AND ts >= fromUnixTimestamp64Nano($1, 'UTC') AND ts < fromUnixTimestamp64Nano($2, 'UTC') GROUP BY ALL`,
		within.Since.UnixNano(), within.Until.UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]uint64{}
	for rows.Next() {
		var minute uint32
		var severity uint8
		var stream string
		var lines, bytes uint64
		if err := rows.Scan(&minute, &severity, &stream, &lines, &bytes); err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%d/%d/%s", minute, severity, stream)
		all[key+"/lines"], all[key+"/bytes"] = lines, bytes
	}
	return all
}

// same holds what a reader says against the rows.
func same(t testing.TB, conn driver.Conn, within read.Range) {
	t.Helper()
	if within == (read.Range{}) {
		within = read.Range{Since: t0.Add(-time.Hour), Until: t0.Add(time.Hour)}
	}
	volume, err := read.New(conn).Volume(t.Context(), "acme", read.HistoryFilter{Range: within, Step: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, v := range volume {
		key := fmt.Sprintf("%d/%d/%s", v.Time.Unix(), v.Severity, v.Stream)
		got[key+"/lines"], got[key+"/bytes"] = v.Lines, v.Bytes
	}
	if diff := gocmp.Diff(truth(t, conn, within), got); diff != "" {
		t.Errorf("(-rows +figures):\n%s", diff)
	}
}

// clean counts the minutes whose figures count.
func clean(t testing.TB, conn driver.Conn, kind string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM rollup_state WHERE kind = $1 AND dirtied <= rolled", kind).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A duplicate, a correction and a late line, each before and behind the roll.
func TestLines(t *testing.T) {
	conn := readtest.DB(t)
	r := roller(conn, nil)
	readtest.Insert(t, conn, schema.Logs, line("cart", 0, 0, 9, 1), line("cart", time.Second, 10, 17, 1), line("cart", time.Minute, 20, 0, 1), line("pay", 0, 0, 0, 1))
	same(t, conn, read.Range{})
	if n := roll(t, r); n != 3 || clean(t, conn, "lines") != 3 {
		t.Errorf("rolled %d minutes, want 3; %d are clean", n, clean(t, conn, "lines"))
	}
	same(t, conn, read.Range{})
	if n := roll(t, r); n != 0 {
		t.Errorf("rolled %d minutes again", n)
	}
	for name, row := range map[string]schema.LogRow{
		"duplicate":  line("cart", 0, 0, 9, 2),
		"correction": line("cart", time.Second, 10, 9, 3), // its old severity has no line any more
		"late":       line("cart", 30*time.Second, 30, 1, 1),
	} {
		readtest.Insert(t, conn, schema.Logs, row)
		same(t, conn, read.Range{})
		if n := roll(t, r); n != 1 {
			t.Errorf("%s: rolled %d minutes, want 1", name, n)
		}
		same(t, conn, read.Range{})
	}
	same(t, conn, read.Range{Since: t0.Add(500 * time.Millisecond), Until: t0.Add(61 * time.Second)})
	same(t, conn, read.Range{Since: t0.Add(500 * time.Millisecond), Until: t0.Add(time.Second + 1)})
}

// Rows from before there were marks get theirs once, whoever starts first.
func TestBackfill(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Insert(t, conn, schema.Logs, line("cart", 0, 0, 9, 1))
	if err := conn.Exec(t.Context(), "TRUNCATE TABLE rollup_marks"); err != nil {
		t.Fatal(err)
	}
	same(t, conn, read.Range{})
	if n := roll(t, roller(conn, nil)); n != 1 {
		t.Errorf("rolled %d minutes, want 1", n)
	}
	same(t, conn, read.Range{})
	if n := roll(t, roller(conn, nil)); n != 0 {
		t.Errorf("another one rolled %d minutes again", n)
	}
}

// Whatever of its inserts was a roller's last before a crash, readers count
// right, and the next roller makes the minute clean.
func TestCrash(t *testing.T) {
	for crash := 1; crash <= 3; crash++ {
		t.Run(fmt.Sprint("in step ", crash), func(t *testing.T) {
			conn := readtest.DB(t)
			readtest.Insert(t, conn, schema.Logs, line("cart", 0, 0, 9, 1), line("cart", 1, 10, 17, 1))
			roll(t, roller(conn, nil))
			readtest.Insert(t, conn, schema.Logs, line("cart", 1, 10, 9, 2), line("cart", 2, 20, 5, 2))
			dying := roller(&dyingConn{Conn: conn, after: crash - 1}, nil)
			if n, err := dying.Roll(t.Context()); err == nil {
				t.Fatalf("rolled %d minutes without dying", n)
			}
			if err := conn.Exec(t.Context(), "OPTIMIZE TABLE line_minutes FINAL"); err != nil {
				t.Fatal(err)
			}
			same(t, conn, read.Range{})
			if n := roll(t, roller(conn, nil)); n != 1 || clean(t, conn, "lines") != 1 {
				t.Errorf("the next one rolled %d minutes, want 1; %d are clean", n, clean(t, conn, "lines"))
			}
			same(t, conn, read.Range{})
		})
	}
}

// An insert that is sent again, because its answer did not come, marks its
// minutes although the rows are there already.
func TestRetriedInsert(t *testing.T) {
	conn := readtest.DB(t)
	ctx := ch.Context(t.Context(), ch.WithSettings(ch.Settings{"insert_deduplication_token": "t1", "deduplicate_blocks_in_dependent_materialized_views": 1}))
	send := func() {
		if err := schema.Logs.Insert(ctx, conn, []schema.LogRow{line("cart", 0, 0, 9, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	roll(t, roller(conn, nil))
	if err := conn.Exec(t.Context(), "DETACH TABLE rollup_marks_lines SYNC"); err != nil { // as if the engine had died between rows and mark
		t.Fatal(err)
	}
	send()
	if err := conn.Exec(t.Context(), "ATTACH TABLE rollup_marks_lines"); err != nil {
		t.Fatal(err)
	}
	send()
	if n := roll(t, roller(conn, nil)); n != 1 {
		t.Errorf("rolled %d minutes, want 1", n)
	}
	same(t, conn, read.Range{})
}

// dyingConn fails from its n-th insert of a roll on.
type dyingConn struct {
	driver.Conn
	after, n int
}

// Two rollers and writers that mark at the insert and ahead, with duplicates, corrections and readers:
// at every moment figures say what the rows say.
func TestTogether(t *testing.T) {
	conn := readtest.DB(t)
	var work sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		work.Go(func() {
			r := roller(conn, nil)
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := r.Roll(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	ahead := writer(conn, 20*time.Millisecond)
	for n := range uint64(60) {
		var rows []schema.LogRow
		for range 50 {
			offset := random.Uint64N(400)
			rows = append(rows, line(cmp.Or([]string{"", "pay"}[offset%2], "cart"), time.Duration(offset)*time.Second, offset, faas.Severity(random.IntN(25)), n*100+1))
		}
		if n%2 == 0 {
			readtest.Insert(t, conn, schema.Logs, rows...)
		} else {
			write(t, ahead, rows...)
		}
		same(t, conn, read.Range{})
	}
	close(done)
	work.Wait()
	rollAll(t, conn, 14-int(clean(t, conn, "lines")))
	same(t, conn, read.Range{})
	if n := clean(t, conn, "lines"); n != 14 {
		t.Errorf("%d minutes are clean, want 14", n)
	}
}

func (c *dyingConn) die() error {
	if c.n++; c.n > c.after {
		return fmt.Errorf("insert %d: killed", c.n)
	}
	return nil
}

func (c *dyingConn) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	if err := c.die(); err != nil {
		return nil, err
	}
	return c.Conn.PrepareBatch(ctx, query, opts...)
}

func (c *dyingConn) Exec(ctx context.Context, query string, args ...any) error {
	if err := c.die(); err != nil {
		return err
	}
	return c.Conn.Exec(ctx, query, args...)
}

func invocation(id string, at time.Duration) schema.InvocationRow {
	return schema.InvocationRow{Tenant: "acme", Namespace: "shop", Function: "cart", RequestID: id, Instance: "i", StartedAt: t0.Add(at)}
}

// Facts of invocations arrive in parts: figures say what the folded rows say.
func TestInvocations(t *testing.T) {
	t.Run("one server", func(t *testing.T) { checkInvocations(t, readtest.DB(t)) })
	t.Run("two shards", func(t *testing.T) { checkInvocations(t, readtest.Cluster(t)) })
}

func checkInvocations(t *testing.T, conn driver.Conn) {
	t.Helper()
	r := roller(conn, nil)
	compare := func(when string) {
		t.Helper()
		for _, within := range []read.Range{{}, {Since: t0, Until: t0.Add(time.Hour)}, {Since: t0.Add(time.Second), Until: t0.Add(100 * time.Second)}} {
			got, err := read.New(conn).Functions(t.Context(), "acme", within)
			if err != nil {
				t.Fatal(err)
			}
			want, err := read.New(unmarked{conn}).Functions(t.Context(), "acme", within)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s: (-rows +figures):\n%s", when, diff)
			}
		}
	}
	var rows []schema.InvocationRow
	for n := range 200 {
		v := invocation(fmt.Sprint("r", n), time.Duration(n)*time.Second)
		v.Version, v.Cold = new("v1"), new(n%7 == 0)
		rows = append(rows, v)
	}
	readtest.Insert(t, conn, schema.Invocations, rows...)
	compare("before the roll")
	if n := roll(t, r); n != 4 {
		t.Errorf("rolled %d minutes, want 4", n)
	}
	compare("rolled")
	for n := range rows {
		rows[n] = invocation(fmt.Sprint("r", n), time.Duration(n)*time.Second)
		rows[n].Status, rows[n].DurationNS = new([]string{"ok", "error"}[n%2]), new(int64(n+1)*int64(time.Millisecond))
		rows[n].EndedAt = new(rows[n].StartedAt.Add(time.Second))
	}
	readtest.Insert(t, conn, schema.Invocations, rows[:100]...)
	readtest.Insert(t, conn, schema.Invocations, rows...)
	compare("ended")
	roll(t, r)
	compare("ended and rolled")
}

// unmarked is a store whose reader takes all from the rows.
type unmarked struct{ driver.Conn }

func (u unmarked) Select(ctx context.Context, dest any, query string, args ...any) error {
	return u.Conn.Select(ctx, dest, strings.Replace(query, "rolled > 0", "false", 1), args...)
}

// A start's facts arrive one by one, from whomever; its demand may be told anew.
func TestStarts(t *testing.T) {
	t.Run("one server", func(t *testing.T) { checkStarts(t, readtest.DB(t)) })
	t.Run("two shards", func(t *testing.T) { checkStarts(t, readtest.Cluster(t)) })
}

func checkStarts(t *testing.T, conn driver.Conn) {
	t.Helper()
	r := roller(conn, nil)
	start := func(n int) schema.ColdStartRow {
		return schema.ColdStartRow{Tenant: "acme", Namespace: "shop", Function: "cart", Instance: fmt.Sprint("i", n)}
	}
	at := func(n int, s float64) time.Time {
		return t0.Add(time.Duration(n)*20*time.Second + time.Duration(s*float64(time.Second)))
	}
	compare := func(when string) {
		t.Helper()
		for _, within := range []read.Range{
			{Since: t0.Add(-time.Hour), Until: t0.Add(time.Hour)},
			{Since: t0.Add(-15 * time.Second), Until: t0.Add(130 * time.Second)}, // minutes that are cut
			{Since: t0.Add(25 * time.Second), Until: t0.Add(55 * time.Second)},
			{},
		} {
			f := read.HistoryFilter{Range: within, Step: time.Minute}
			got, err := read.New(conn).StartHistory(t.Context(), "acme", f)
			if err != nil {
				t.Fatal(err)
			}
			want, err := read.New(unmarked{conn}).StartHistory(t.Context(), "acme", f)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %v: (-rows +figures):\n%s", when, within, diff)
			}
		}
	}
	step := func(when string, want int) {
		t.Helper()
		compare(when)
		if n := roll(t, r); n != want {
			t.Errorf("%s: rolled %d minutes, want %d", when, n, want)
		}
		compare(when + ", rolled")
	}
	for n := range 9 {
		s := start(n)
		s.DemandedAt, s.Digest = new(at(n, 0)), new("sha256:1")
		readtest.Insert(t, conn, schema.ColdStarts, s)
	}
	step("demanded", 3)
	for n := range 6 {
		s := start(n)
		s.ReadyAt, s.Version = new(at(n, 2+float64(n))), new("v1")
		readtest.Insert(t, conn, schema.ColdStarts, s)
	}
	step("ready", 2)
	phase := schema.PhaseRow{Tenant: "acme", Namespace: "shop", Function: "cart", Instance: "i0", Phase: "pull", Start: at(0, 0), End: at(0, 1), Revision: 1}
	again := phase
	again.Start, again.End = at(0, 0.5), at(0, 1.5)
	readtest.Insert(t, conn, schema.Phases, phase, again)
	step("pulled", 1)
	moved := start(0)
	moved.DemandedAt = new(t0.Add(-30 * time.Second))
	readtest.Insert(t, conn, schema.ColdStarts, moved)
	step("demanded earlier", 2)
	if got, err := read.New(conn).StartHistory(t.Context(), "acme", read.HistoryFilter{Step: time.Hour}); err != nil || len(got) != 3 ||
		got[0].Phase != "pull" || got[0].MaxMS != 1500 || got[1].Phase != "total" || got[1].Count != 1 || got[1].MaxMS != 32000 || got[2].Count != 5 {
		t.Errorf("history: %+v, %v", got, err)
	}
}

// Once a minute's rows may be deleted, its figures stay what they are.
func TestExpired(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Insert(t, conn, schema.Logs, line("cart", 0, 0, 9, 1), line("cart", 1, 10, 17, 1))
	roll(t, roller(conn, nil))
	if err := conn.Exec(t.Context(), "ALTER TABLE logs DELETE WHERE 1 SETTINGS mutations_sync = 1"); err != nil {
		t.Fatal(err)
	}
	readtest.Insert(t, conn, schema.Logs, line("cart", 2, 20, 9, 1)) // far too late
	r := roller(conn, func(string) time.Time { return t0.AddDate(0, 0, 1) })
	for range 2 { // carried over, and carried over again
		if n := roll(t, r); n != 1 {
			t.Errorf("rolled %d minutes, want 1", n)
		}
		volume, err := read.New(conn).Volume(t.Context(), "acme", read.HistoryFilter{Step: time.Minute})
		if err != nil || len(volume) != 2 || volume[0].Severity != 9 || volume[0].Lines != 1 || volume[1].Severity != 17 {
			t.Errorf("figures are %+v, %v", volume, err)
		}
		readtest.Insert(t, conn, schema.Logs, line("cart", 3, 30, 9, 1))
	}
}
