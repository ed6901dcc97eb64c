package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
)

// crashEnv has the test binary migrate crashDSN's database and die in the
// middle of it, holding the lock.
const crashEnv = "COLDSCOPE_TEST_MIGRATE_AND_DIE"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(crashEnv); dsn != "" {
		migrateAndDie(dsn)
	}
	clickhousetest.Main(m)
}

// three is a history as it grows: a table, a column, a second table.
var three = fstest.MapFS{
	"0001_start.sql": {Data: []byte("-- the start;\nCREATE TABLE IF NOT EXISTS a (n UInt8)\nENGINE = MergeTree ORDER BY n;\nCREATE TABLE IF NOT EXISTS b (n UInt8) ENGINE = MergeTree ORDER BY n;\n")},
	"0002_more.sql":  {Data: []byte("ALTER TABLE a ADD COLUMN IF NOT EXISTS s String;\r\n")},
	"0003_view.sql":  {Data: []byte("CREATE VIEW IF NOT EXISTS v AS SELECT n, ';' AS sep FROM a\n")},
}

func firstOf(t *testing.T, files fstest.MapFS, n int) []migration {
	t.Helper()
	all, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	return all[:n]
}

func tables(t *testing.T, conn driver.Conn) []string {
	t.Helper()
	var names []string
	const q = `SELECT groupArray(name) FROM (SELECT name FROM system.tables
WHERE database = currentDatabase() AND name NOT LIKE 'schema_lock_%' ORDER BY name)`
	if err := conn.QueryRow(t.Context(), q).Scan(&names); err != nil {
		t.Fatal(err)
	}
	return names
}

func recorded(t *testing.T, conn driver.Conn) []string {
	t.Helper()
	done, err := applied(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range done {
		names = append(names, m.String())
	}
	return names
}

func TestLoad(t *testing.T) {
	got := firstOf(t, three, 3)
	var flat [][]string
	for _, m := range got {
		flat = append(flat, m.statements)
	}
	want := [][]string{
		{"CREATE TABLE IF NOT EXISTS a (n UInt8)\nENGINE = MergeTree ORDER BY n", "CREATE TABLE IF NOT EXISTS b (n UInt8) ENGINE = MergeTree ORDER BY n"},
		{"ALTER TABLE a ADD COLUMN IF NOT EXISTS s String"},
		{"CREATE VIEW IF NOT EXISTS v AS SELECT n, ';' AS sep FROM a"},
	}
	if diff := cmp.Diff(want, flat); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	commented := fstest.MapFS{"0001_start.sql": {Data: []byte("-- said better\n\n" + string(three["0001_start.sql"].Data))}}
	if a, b := got[0].checksum, firstOf(t, commented, 1)[0].checksum; a != b {
		t.Errorf("a comment changed the checksum from %s to %s", a, b)
	}
}

func TestLoadRefuses(t *testing.T) {
	const table = "CREATE TABLE IF NOT EXISTS a (n UInt8) ENGINE = Null;"
	for name, tc := range map[string]struct {
		file, content, want string
	}{
		"gap":               {"0002_x.sql", table, "follows number 0"},
		"name":              {"one.sql", table, "not named NNNN_name.sql"},
		"empty":             {"0001_x.sql", "-- nothing;\n", "holds no statement"},
		"create":            {"0001_x.sql", "CREATE TABLE a (n UInt8) ENGINE = Null", "cannot run twice"},
		"drop":              {"0001_x.sql", "drop table a", "cannot run twice"},
		"add column":        {"0001_x.sql", "ALTER TABLE a ADD COLUMN IF NOT EXISTS b UInt8,\n add column c UInt8", "cannot run twice"},
		"drop index":        {"0001_x.sql", "ALTER TABLE a DROP INDEX i", "cannot run twice"},
		"insert":            {"0001_x.sql", "INSERT INTO a SELECT 1", "cannot run twice"},
		"rename":            {"0001_x.sql", "RENAME TABLE a TO b", "cannot run twice"},
		"rename column":     {"0001_x.sql", "ALTER TABLE a RENAME COLUMN b TO c", "cannot run twice"},
		"second statement":  {"0001_x.sql", table + "\nDROP VIEW v;", "cannot run twice"},
		"projection no if":  {"0001_x.sql", "ALTER TABLE a ADD PROJECTION p (SELECT n)", "cannot run twice"},
		"create or nothing": {"0001_x.sql", "CREATE MATERIALIZED VIEW v TO a AS SELECT 1", "cannot run twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(fstest.MapFS{tc.file: {Data: []byte(tc.content)}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("load = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestMigrateOwnFiles(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	start := time.Now()
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	t.Logf("version %d after %s", Version(), time.Since(start))
	start = time.Now()
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	t.Logf("nothing to do after %s", time.Since(start))
	if got := len(recorded(t, conn)); got != Version() {
		t.Errorf("%d migrations recorded, want %d", got, Version())
	}
	// A crash before the record has the statements of the last migration run again.
	all, err := known()
	if err != nil {
		t.Fatal(err)
	}
	again, _ := clickhousetest.DB(t)
	for n, m := range all {
		if err := migrate(t.Context(), again, all[:n+1]); err != nil {
			t.Fatal(err)
		}
		if err := m.apply(t.Context(), again); err != nil {
			t.Errorf("%s does not run twice: %v", m, err)
		}
	}
}

func TestMigrateOlder(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	for n, want := range [][]string{
		1: {"a", "b", "schema_migrations"},
		2: {"a", "b", "schema_migrations"},
		3: {"a", "b", "schema_migrations", "v"},
	} {
		if n == 0 {
			continue
		}
		if err := migrate(t.Context(), conn, firstOf(t, three, n)); err != nil {
			t.Fatalf("to version %d: %v", n, err)
		}
		if diff := cmp.Diff(want, tables(t, conn)); diff != "" {
			t.Errorf("tables at version %d (-want +got):\n%s", n, diff)
		}
		if n == 1 { // rows of the old version stay
			if err := conn.Exec(t.Context(), "INSERT INTO a SELECT 7"); err != nil {
				t.Fatal(err)
			}
		}
	}
	var s string
	if err := conn.QueryRow(t.Context(), "SELECT s FROM a WHERE n = 7").Scan(&s); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"0001_start", "0002_more", "0003_view"}, recorded(t, conn)); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestMigrateRefuses(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := migrate(t.Context(), conn, firstOf(t, three, 3)); err != nil {
		t.Fatal(err)
	}
	err := migrate(t.Context(), conn, firstOf(t, three, 2))
	if want := "schema is at version 3, this coldscope knows 2: upgrade coldscope"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("newer schema: %v, want %q", err, want)
	}
	changed := maps.Clone(three)
	changed["0002_more.sql"] = &fstest.MapFile{Data: []byte("ALTER TABLE a ADD COLUMN IF NOT EXISTS t String;")}
	err = migrate(t.Context(), conn, firstOf(t, changed, 3))
	if want := "migration 0002_more was applied with other statements"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("changed migration: %v, want %q", err, want)
	}
}

// A failed migration leaves what came before it, frees the lock, and goes on
// from there.
func TestMigrateFails(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	broken := maps.Clone(three)
	broken["0002_more.sql"] = &fstest.MapFile{Data: []byte("ALTER TABLE missing ADD COLUMN IF NOT EXISTS s String;")}
	err := migrate(t.Context(), conn, firstOf(t, broken, 3))
	if err == nil || !strings.Contains(err.Error(), "apply migration 0002_more: statement 1") {
		t.Fatalf("migrate = %v", err)
	}
	if diff := cmp.Diff([]string{"0001_start"}, recorded(t, conn)); diff != "" {
		t.Fatalf("recorded (-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), schemaLease/2)
	defer cancel()
	if err := migrate(ctx, conn, firstOf(t, three, 3)); err != nil {
		t.Fatal(err)
	}
}

// Many migrators at once all succeed, and only one of them does the work.
func TestMigrateConcurrently(t *testing.T) {
	_, dsn := clickhousetest.DB(t)
	all := firstOf(t, three, 3)
	const migrators = 6
	errs := make(chan error, migrators)
	for range migrators {
		go func() {
			conn, err := clickhouse.Open(t.Context(), dsn)
			if err == nil {
				err = errors.Join(migrate(t.Context(), conn, all), conn.Close())
			}
			errs <- err
		}()
	}
	for range migrators {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	conn, err := clickhouse.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var rows uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM schema_migrations").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != 3 {
		t.Errorf("%d records, want 3: a migration ran more than once", rows)
	}
}

func TestLockExcludes(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	const workers, rounds = 8, 3
	var mu sync.Mutex
	holders, highest := 0, 0
	var numbers []uint64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				l, _, err := acquire(t.Context(), conn, schemaLease)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				holders++
				highest = max(highest, holders)
				numbers = append(numbers, l.n)
				mu.Unlock()
				if err := conn.Exec(t.Context(), "SELECT sleep(0.01)"); err != nil {
					t.Error(err)
				}
				mu.Lock()
				holders--
				mu.Unlock()
				l.release(t.Context())
			}
		})
	}
	wg.Wait()
	if highest != 1 {
		t.Errorf("%d held the lock at once", highest)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i] <= numbers[i-1] {
			t.Errorf("lock numbers do not rise: %v", numbers)
			break
		}
	}
	var left uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'schema_lock_%'").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 1 {
		t.Errorf("%d lock tables left, want 1", left)
	}
}

// An owner that is alive keeps the lock past its first lease.
func TestLockIsRenewed(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	const lease = time.Second
	l, held, err := acquire(t.Context(), conn, lease)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*lease)
	defer cancel()
	other, _, err := acquire(ctx, conn, lease)
	// The driver's own deadline, made of ctx's, may pass a moment before ctx ends.
	if timeout, ok := errors.AsType[net.Error](err); !errors.Is(err, context.DeadlineExceeded) && (!ok || !timeout.Timeout()) {
		t.Errorf("a second process got lock %+v, %v", other, err)
	}
	if held.Err() != nil {
		t.Errorf("owner lost the lock: %v", context.Cause(held))
	}
	l.release(t.Context())
	other, _, err = acquire(t.Context(), conn, lease)
	if err != nil {
		t.Fatal(err)
	}
	other.release(t.Context())
}

// An owner whose lock was taken over stops before it does harm.
func TestLockLost(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	const lease = 300 * time.Millisecond
	l, held, err := acquire(t.Context(), conn, lease)
	if err != nil {
		t.Fatal(err)
	}
	// What a process that found the lease over would do.
	taken := fmt.Sprintf("CREATE TABLE schema_lock_%d (nothing UInt8) ENGINE = Null COMMENT 'held by other/1/x until 1'", l.n+1)
	if err := conn.Exec(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
		if cause := context.Cause(held); !errors.Is(cause, errLockLost) {
			t.Errorf("cause = %v, want errLockLost", cause)
		}
	case <-time.After(10 * lease):
		t.Error("owner did not notice that it lost the lock")
	}
	l.release(t.Context())
	next, _, err := acquire(t.Context(), conn, lease)
	if err != nil {
		t.Fatal(err)
	}
	if next.n != l.n+2 {
		t.Errorf("next lock is number %d, want %d", next.n, l.n+2)
	}
	next.release(t.Context())
}

// A process is killed while it holds the lock, with a migration half done.
func TestMigrateAfterCrash(t *testing.T) {
	conn, dsn := clickhousetest.DB(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), crashEnv+"="+dsn)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("process that should die: %v\n%s", err, out.String())
	}
	if diff := cmp.Diff([]string{"a", "schema_migrations"}, tables(t, conn)); diff != "" {
		t.Fatalf("left by the crash (-want +got):\n%s", diff)
	}
	start := time.Now()
	if err := migrate(t.Context(), conn, firstOf(t, three, 3)); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited < crashLease/2 || waited > crashLease+5*time.Second {
		t.Errorf("took the lock over after %s, want about %s", waited, crashLease)
	}
	if diff := cmp.Diff([]string{"a", "b", "schema_migrations", "v"}, tables(t, conn)); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

const crashLease = 3 * time.Second

func migrateAndDie(dsn string) {
	err := func() error {
		ctx := context.Background()
		all, err := load(three)
		if err != nil {
			return err
		}
		conn, err := clickhouse.Open(ctx, dsn)
		if err != nil {
			return err
		}
		if _, _, err := acquire(ctx, conn, crashLease); err != nil {
			return err
		}
		for _, statement := range []string{createMigrations, all[0].statements[0]} {
			if err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(3)
}

func TestPrepare(t *testing.T) {
	conn, dsn := clickhousetest.DB(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	const name = "made by-`prepare`"
	u.Path = "/" + name
	t.Cleanup(func() {
		if err := conn.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE IF EXISTS "+quoteName(name)+" SYNC"); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		made, err := Prepare(t.Context(), u.String())
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := made.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != name || len(recorded(t, made)) != Version() {
			t.Errorf("prepared database %q at version %d, want %q at %d", got, len(recorded(t, made)), name, Version())
		}
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReleased: what has been released does not change, or databases that
// have it would be refused.
func TestReleased(t *testing.T) {
	all, err := known()
	if err != nil {
		t.Fatal(err)
	}
	if got := all[0].checksum; got != "3939398df705eeea9d12b8de9629f5f41dee38d5ba20101e1d47cf56af6634cd" {
		t.Errorf("0001 has checksum %s", got)
	}
}

// TestUpgrade brings a database of the first release with rows in it to this
// one's version: they stay, and say nothing of what was not known then.
func TestUpgrade(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	all, err := known()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), conn, all[:1]); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"INSERT INTO invocations (tenant, started_at, request_id, memory_peak) VALUES ('t', '2026-01-02 03:04:05', 'r', 7)",
		"INSERT INTO cold_starts (tenant, instance, memory_peak) VALUES ('t', 'i', 7)",
	} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	var got string
	const sql = `SELECT toString((v.memory_peak, v.usage_memory_peak, v.usage_shared, s.memory_peak, s.cpu_time_ns))
		FROM (SELECT * FROM invocations FINAL) AS v CROSS JOIN (SELECT * FROM cold_starts FINAL) AS s`
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "(7,NULL,NULL,7,NULL)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestLinesByRequest finds a request's lines that were stored before there was
// an index on them.
func TestLinesByRequest(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	all, err := known()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), conn, all[:3]); err != nil {
		t.Fatal(err)
	}
	const lines = 200_000
	const insert = `INSERT INTO logs (tenant, function, ts, request_id, file_id, offset)
		SELECT 't', 'f', toDateTime64('2026-01-02 03:04:05', 9, 'UTC') + number / 1000, toString(intDiv(number, 10)), 1, number FROM numbers($1)`
	if err := conn.Exec(t.Context(), insert, lines); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for undone := uint64(1); undone > 0; {
		if err := conn.QueryRow(ctx, "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done").Scan(&undone); err != nil {
			t.Fatal(err)
		}
	}
	var read, found uint64
	ctx = clickhousego.Context(ctx, clickhousego.WithProgress(func(p *clickhousego.Progress) { read += p.Rows }))
	if err := conn.QueryRow(ctx, "SELECT count() FROM logs WHERE tenant = 't' AND request_id = '12345'").Scan(&found); err != nil {
		t.Fatal(err)
	}
	if found != 10 || read > lines/4 {
		t.Errorf("found %d lines, want 10, and read %d of %d for it", found, read, lines)
	}
}
