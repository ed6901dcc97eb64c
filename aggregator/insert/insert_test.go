package insert_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func migrated(tb testing.TB) driver.Conn {
	tb.Helper()
	conn, _ := clickhousetest.DB(tb)
	if err := schema.Migrate(tb.Context(), conn); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func logs(n int, start time.Time, step time.Duration) []schema.LogRow {
	rows := make([]schema.LogRow, n)
	for i := range rows {
		rows[i] = schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "ns", Function: "fn", Version: "1", Instance: "i"},
				Host: "h", Time: start.Add(time.Duration(i) * step), Stream: "stdout", Body: fmt.Sprint(i, strings.Repeat(" a line of a usual length", 7)), FileID: 1, Offset: uint64(i),
			},
			RequestID: fmt.Sprint("r-", i/10), Attribution: "window", Revision: 1,
		}
	}
	return rows
}

// TestManyDays: one batch over many days, each a partition of its own.
func TestManyDays(t *testing.T) {
	conn := migrated(t)
	w := insert.NewWriter(conn, slog.New(slog.DiscardHandler), func() { t.Error("a retry") })
	rows := logs(48, time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), 6*time.Hour)
	if err := w.Write(t.Context(), &insert.Batch{Logs: rows}); err != nil {
		t.Fatal(err)
	}
	var n, days uint64
	if err := conn.QueryRow(t.Context(), "SELECT count(), uniqExact(toDate(ts)) FROM logs").Scan(&n, &days); err != nil {
		t.Fatal(err)
	}
	if n != 48 || days != 12 {
		t.Errorf("%d rows on %d days", n, days)
	}
}

// TestPermanent: what the engine refuses for good is no reason to try again.
func TestPermanent(t *testing.T) {
	conn, _ := clickhousetest.DB(t) // not migrated: there is no table
	w := insert.NewWriter(conn, slog.New(slog.DiscardHandler), func() { t.Error("a retry") })
	err := w.Write(t.Context(), &insert.Batch{Logs: logs(1, time.Now(), 0)})
	if err == nil || !strings.Contains(err.Error(), "insert 1 rows into rollup_marks") {
		t.Errorf("got %v", err)
	}
}

// TestRetriesUntilStopped: while nobody answers it tries again, and says so,
// until its context ends.
func TestRetriesUntilStopped(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	retries := 0
	w := insert.NewWriter(conn, slog.New(slog.DiscardHandler), func() {
		if retries++; retries == 2 {
			cancel(stopping)
		}
	})
	if err := w.Write(ctx, &insert.Batch{Logs: logs(1, time.Now(), 0)}); !errors.Is(err, stopping) || retries != 2 {
		t.Errorf("%d retries, then %v", retries, err)
	}
}

func BenchmarkWrite(b *testing.B) {
	conn := migrated(b)
	w := insert.NewWriter(conn, slog.New(slog.DiscardHandler), func() {})
	batch := insert.Batch{Logs: logs(50_000, time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Millisecond)}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(50_000*b.N)/b.Elapsed().Seconds(), "rows/s")
}
