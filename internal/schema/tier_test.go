package schema

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
	"github.com/coldscope/coldscope/internal/faas"
)

// engineWith starts an engine of the test's own with a place for older data.
func engineWith(t *testing.T, dir string, cold *embedded.Cold) (*embedded.Engine, driver.Conn, func()) {
	t.Helper()
	engine, err := embedded.Start(t.Context(), embedded.Options{DataDir: dir, Cold: cold, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Prepare(t.Context(), engine.DSN())
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return engine, conn, stop
}

func disks(t *testing.T, conn driver.Conn, table string) string {
	t.Helper()
	var list []string
	const query = "SELECT arraySort(groupUniqArray(concat(partition, ' ', disk_name))) FROM system.parts WHERE database = currentDatabase() AND table = $1 AND active"
	if err := conn.QueryRow(t.Context(), query, table).Scan(&list); err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, ", ")
}

// moved waits until the old day's lines are on the second disk and today's are not.
func moved(t *testing.T, conn driver.Conn, table string, old, today time.Time) {
	t.Helper()
	want := old.Format(time.DateOnly) + " coldscope_cold, " + today.Format(time.DateOnly) + " default"
	for deadline := time.Now().Add(time.Minute); disks(t, conn, table) != want; {
		if time.Now().After(deadline) {
			t.Fatalf("parts are on %s, want %s", disks(t, conn, table), want)
		}
	}
}

func dated(function string, at time.Time, body string) LogRow {
	return LogRow{
		Line:        &faas.Line{Ref: faas.Ref{Tenant: "a", Function: function}, Time: at, Stream: faas.Stdout, Body: body},
		Attribution: faas.AttributionNone,
	}
}

// Rows that were stored before and rows that come later move to the second disk
// by their age, and are there after a restart.
func TestTier(t *testing.T) {
	dir := t.TempDir()
	cold := &embedded.Cold{Path: filepath.Join(t.TempDir(), "co<ld")}
	_, conn, stop := engineWith(t, dir, nil)
	today := time.Now().UTC().Truncate(time.Hour)
	old := today.AddDate(0, 0, -20)
	insertRows(t, conn, &Logs, dated("f", old, "old"))
	insertRows(t, conn, &Logs, dated("f", today, "new"))
	if err := Tier(t.Context(), conn, 7); err == nil || !strings.Contains(err.Error(), "docs/store.md") {
		t.Errorf("without a second disk: %v", err)
	}
	stop()

	_, conn, stop = engineWith(t, dir, cold)
	for range 2 {
		if err := Tier(t.Context(), conn, 7); err != nil {
			t.Fatal(err)
		}
	}
	moved(t, conn, "logs", old, today)
	stop()

	_, conn, stop = engineWith(t, dir, cold)
	defer stop()
	var bodies []string
	if err := conn.QueryRow(t.Context(), "SELECT arraySort(groupArray(body)) FROM logs FINAL").Scan(&bodies); err != nil {
		t.Fatal(err)
	}
	if strings.Join(bodies, " ") != "new old" {
		t.Errorf("after a restart: %q", bodies)
	}
}

// In a cluster rows move on every server.
func TestTierShards(t *testing.T) {
	s := clickhousetest.Cluster(t)
	c := prepared(t, s, clickhousetest.TwoShards)
	today := time.Now().UTC().Truncate(time.Hour)
	old := today.AddDate(0, 0, -20)
	for i, conn := range s.Conns {
		local := Logs
		local.Name = Local(Logs.Name)
		insertRows(t, conn, &local, dated(strconv.Itoa(i), old, "old"))
		insertRows(t, conn, &local, dated(strconv.Itoa(i), today, "new"))
	}
	for range 2 {
		if err := Tier(t.Context(), c, 7); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range s.Conns {
		moved(t, conn, Local("logs"), old, today)
	}
	var rows uint64
	if err := c.QueryRow(t.Context(), "SELECT count() FROM logs FINAL").Scan(&rows); err != nil || rows != 4 {
		t.Errorf("%d rows, %v", rows, err)
	}

	// Of a shard one server may be away, but not all.
	lost, err := clickhouse.OpenCluster(t.Context(), s.DSN, clickhousetest.LostReplica)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Tier(t.Context(), lost, 8), lost.Close()); err != nil {
		t.Error(err)
	}
	var definition string
	if err := s.Conns[0].QueryRow(t.Context(), "SHOW CREATE TABLE logs_local").Scan(&definition); err != nil || !strings.Contains(definition, "toIntervalDay(8)") {
		t.Errorf("the server that is there has %s, %v", definition, err)
	}
}

// A bucket that is away does not keep the engine from starting with it.
func TestTierS3(t *testing.T) {
	_, conn, stop := engineWith(t, t.TempDir(), &embedded.Cold{Endpoint: "http://127.0.0.1:1/bucket/cold/", Region: "r", AccessKeyID: "k&y", Secret: "s<cret"})
	defer stop()
	if err := Tier(t.Context(), conn, 7); err != nil {
		t.Fatal(err)
	}
	var kind string
	if err := conn.QueryRow(t.Context(), "SELECT object_storage_type FROM system.disks WHERE name = 'coldscope_cold'").Scan(&kind); err != nil || kind != "S3" {
		t.Errorf("the disk is of type %q, %v", kind, err)
	}
}
