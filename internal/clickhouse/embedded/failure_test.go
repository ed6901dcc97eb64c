package embedded

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

func TestGivesUp(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, Options{DataDir: dir, maxFailures: 2})
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("<broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("still trying")
	}
	if err := e.Err(); err == nil || !strings.Contains(err.Error(), "3 times in a row") || !strings.Contains(err.Error(), logFile) {
		t.Errorf("Err = %v", err)
	}
	startEngine(t, Options{DataDir: dir}) // the directory is free again
}

// The port is somebody else's: the first time another is taken.
func TestPortTaken(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, Options{DataDir: dir})
	addr, dsn := e.access.addr(), e.DSN()
	closeEngine(t, e)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again := startEngine(t, Options{DataDir: dir})
	if again.DSN() == dsn {
		t.Errorf("started on a port that is taken: %s", addr)
	}
	open(t, again.DSN())
}

// While the child is down, nobody can take its port: it comes back under the
// same DSN.
func TestPortIsKept(t *testing.T) {
	e := startEngine(t, Options{DataDir: t.TempDir()})
	pid := e.PID()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child's death", func() bool { return e.PID() != pid })
	tries := 0
	eventually(t, "a new child", func() bool {
		tries++
		if l, err := net.Listen("tcp", e.access.addr()); err == nil {
			t.Error("the port could be taken")
			_ = l.Close()
		}
		return e.PID() != 0
	})
	t.Logf("refused %d times", tries)
	open(t, e.DSN())
	held, port, err := reserve(t.Context(), e.access.Port)
	if err != nil {
		t.Fatal(err)
	}
	if port == e.access.Port {
		t.Error("a second engine got the port of the first")
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}

// The child cannot listen: that is said at once, and not after a time-out.
func TestChildCannotListen(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, Options{DataDir: dir, maxFailures: 1})
	config, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(config), "<listen_host>127.0.0.1", "<listen_host>192.0.2.1") // nobody's
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	select {
	case <-e.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("still trying")
	}
	t.Logf("given up after %s: %v", time.Since(began), e.Err())
	if err := e.Err(); err == nil || !strings.Contains(err.Error(), "does not listen") || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("Err = %v", err)
	}
}

func TestNotInstalled(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(libraryEnv, "")
	_, err := Start(t.Context(), Options{DataDir: t.TempDir()})
	if !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("Start = %v", err)
	}
	for _, want := range []string{"coldscope engine install", "COLDSCOPE_LIBCHDB=", "--clickhouse DSN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// A library that was named is not replaced by another one.
func TestNamedLibrary(t *testing.T) {
	missing := filepath.Join(t.TempDir(), libraryName)
	if _, err := findLibrary(missing); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), missing) {
		t.Errorf("findLibrary(missing) = %v", err)
	}
	t.Setenv(libraryEnv, missing)
	if _, err := findLibrary(""); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), libraryEnv) {
		t.Errorf("findLibrary with %s = %v", libraryEnv, err)
	}
	if err := os.WriteFile(missing, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "load "+missing) {
		t.Errorf("Start with a broken library = %v", err)
	}
}

// The settings that keep the engine small are taken, and nothing is logged
// into tables or beside the one listener.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, Options{DataDir: dir, MemoryLimit: 512 << 20})
	conn := open(t, e.DSN())
	var version string
	if err := conn.QueryRow(t.Context(), "SELECT version()").Scan(&version); err != nil || version != engineVersion {
		t.Errorf("version is %q, %v; want %q", version, err, engineVersion)
	}
	rows, err := conn.Query(t.Context(), `SELECT name, value FROM system.server_settings WHERE name IN
('max_server_memory_usage', 'mark_cache_size', 'uncompressed_cache_size', 'background_pool_size', 'background_schedule_pool_size')`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			t.Fatal(err)
		}
		got[name] = value
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"max_server_memory_usage": "536870912", "mark_cache_size": "67108864", "uncompressed_cache_size": "0",
		"background_pool_size": "4", "background_schedule_pool_size": "4",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("server settings (-want +got):\n%s", diff)
	}
	if n := count(t, conn, "SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime'"); time.Duration(n)*time.Second <= diskPatience {
		t.Errorf("parts that were merged stay for %d s, the engine is started again %s after its disk was full", n, diskPatience)
	}
	if n := count(t, conn, "SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = 'number_of_free_entries_in_pool_to_execute_mutation'"); n != 2 {
		t.Errorf("mutations need %d free entries in the pool, want 2", n)
	}
	if n := count(t, conn, "SELECT count() FROM system.tables WHERE database = 'system' AND name LIKE '%\\_log'"); n != 0 {
		t.Errorf("%d system log tables", n)
	}
	if err := conn.Exec(t.Context(), "SELECT length(groupArray(number)) FROM numbers(1000000000)"); !clickhouse.Retryable(err) {
		t.Errorf("a query over the memory limit: %v", err)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(e.PID()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "Threads") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if info, err := os.Stat(filepath.Join(dir, logFile)); err != nil || info.Size() > 64<<10 {
		t.Errorf("engine log: %v, %v", info.Size(), err)
	}
}
