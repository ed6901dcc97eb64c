package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// parentEnv has the test binary run an engine in the directory it names and
// wait to be killed.
const parentEnv = "COLDSCOPE_TEST_PARENT"

func TestMain(m *testing.M) {
	RunChildIfAsked()
	if dir := os.Getenv(parentEnv); dir != "" {
		parent(dir)
	}
	if tasks := os.Getenv(strangerEnv); tasks != "" {
		stranger(tasks)
	}
	goleak.VerifyTestMain(m)
}

// parent is a process like coldscope's own: it prints the child's pid and the
// DSN, and waits.
func parent(dir string) {
	e, err := Start(context.Background(), Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, e.PID(), e.DSN())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func startEngine(t *testing.T, opts Options) *Engine {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	began := time.Now()
	e, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started after %s", time.Since(began))
	t.Cleanup(func() { closeEngine(t, e) })
	return e
}

func closeEngine(t *testing.T, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, dsn string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(t.Context(), dsn)
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

// eventually polls until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

// gone reports whether the process runs no more. A process that nobody has
// waited for yet (state Z) does not.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

func count(t *testing.T, conn driver.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// A child that is killed over and over, while rows are written, loses none
// that was acknowledged, and comes back under the same DSN.
func TestKilledChildKeepsRows(t *testing.T) {
	e := startEngine(t, Options{DataDir: t.TempDir()})
	dsn := e.DSN()
	conn := open(t, dsn)
	if err := conn.Exec(t.Context(), "CREATE TABLE rows (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	var acknowledged, failed uint64
	var worst time.Duration
	for kill := range 3 {
		pid := e.PID()
		for i := range 20 {
			if i == 10 {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.Exec(t.Context(), "INSERT INTO rows SELECT $1", acknowledged); err != nil {
				if !clickhouse.Retryable(err) {
					t.Errorf("not retryable after a kill: %v", err)
				}
				failed++
				continue
			}
			acknowledged++
		}
		began := time.Now()
		eventually(t, "a new child", func() bool { return e.PID() != 0 && e.PID() != pid && conn.Ping(t.Context()) == nil })
		worst = max(worst, time.Since(began))
		// A row that failed may be there (the kill came after the write), so
		// count what was acknowledged.
		if got := count(t, conn, "SELECT uniqExact(n) FROM rows WHERE n < "+strconv.FormatUint(acknowledged, 10)); got != acknowledged {
			t.Errorf("after kill %d: %d of %d acknowledged rows", kill+1, got, acknowledged)
		}
	}
	if failed == 0 {
		t.Error("no insert failed: nothing was tested")
	}
	if e.DSN() != dsn {
		t.Errorf("DSN changed from %s to %s", dsn, e.DSN())
	}
	t.Logf("%d acknowledged, %d failed, back after at most %s", acknowledged, failed, worst)
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	startEngine(t, Options{DataDir: dir})
	began := time.Now()
	_, err := Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("%s is used by process %d: stop that process first", dir, os.Getpid())) {
		t.Errorf("second Start = %v", err)
	}
	if waited := time.Since(began); waited > time.Second {
		t.Errorf("refused after %s, want at once", waited)
	}
}

// A store that another ClickHouse holds, which is none of ours.
func TestStoreInUse(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, storeDir), 0o700); err != nil {
		t.Fatal(err)
	}
	status := filepath.Join(dir, storeDir, "status")
	if err := os.WriteFile(status, []byte("PID: 4242\nStarted at: some time\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := flock(status, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Options{DataDir: dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process 4242") {
		t.Errorf("Start = %v, want in use by process 4242", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	startEngine(t, Options{DataDir: dir})
}

func TestOthersAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a <b> & 'c'")
	e := startEngine(t, Options{DataDir: dir})
	u, err := url.Parse(e.DSN())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	pid := e.PID()
	for name, user := range map[string]*url.Userinfo{
		"default":        url.User("default"),
		"wrong password": url.UserPassword(userName, "wrong"),
		"no password":    url.User(userName),
		"unknown user":   url.UserPassword("root", password),
	} {
		t.Run(name, func(t *testing.T) {
			other := *u
			other.User = user
			conn, err := clickhouse.Open(t.Context(), other.String())
			if err == nil {
				_ = conn.Close()
				t.Fatal("let in")
			}
			var exception *clickhousego.Exception
			if !errors.As(err, &exception) {
				t.Fatal(err)
			}
			t.Log(exception.Code, exception.Message)
			if strings.Contains(err.Error(), password) {
				t.Errorf("the error holds the password: %v", err)
			}
		})
	}
	// What a port scan, a web browser and a client that dies while it logs in send.
	for _, bytes := range []string{"", "\x00\x11coldsc", "GET / HTTP/1.0\r\n\r\n", "\x99\x99\x99"} {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, bytes)
		reset := conn.(*net.TCPConn).SetLinger(0)
		if err := errors.Join(err, reset, conn.Close()); err != nil {
			t.Error(err)
		}
	}
	other := *u
	other.Path = "/missing"
	if _, err := clickhouse.Open(t.Context(), other.String()); err == nil || !strings.Contains(err.Error(), `database "missing"`) {
		t.Errorf("missing database: %v", err)
	}
	open(t, e.DSN())
	if e.PID() != pid {
		t.Error("the engine died of it")
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range files {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s: others can read it", entry.Name(), info.Mode())
		}
		if content, err := os.ReadFile(filepath.Join(dir, usersFile)); err != nil || strings.Contains(string(content), password) {
			t.Errorf("%s holds the password, or %v", usersFile, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the data directory: %v, %v", info.Mode(), err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, dsnFile)); err != nil || string(content) != e.DSN()+"\n" {
		t.Errorf("%s holds %q, %v", dsnFile, content, err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	e := startEngine(t, Options{DataDir: dir})
	pid, dsn := e.PID(), e.DSN()
	conn := open(t, dsn)
	if err := conn.Exec(t.Context(), "CREATE TABLE rows (n UInt64) ENGINE = MergeTree ORDER BY n AS SELECT 7"); err != nil {
		t.Fatal(err)
	}
	// A query that does not end by itself must not hold Close up.
	slow := make(chan error, 1)
	go func() {
		slow <- conn.Exec(t.Context(), "SELECT count() FROM numbers(1000) WHERE NOT ignore(sleepEachRow(1)) SETTINGS max_block_size = 1")
	}()
	eventually(t, "the slow query", func() bool {
		return count(t, conn, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%' AND NOT query LIKE '%system%'") == 1
	})
	began := time.Now()
	closeEngine(t, e)
	t.Logf("closed after %s", time.Since(began))
	if err := <-slow; err == nil {
		t.Error("the slow query ended well")
	}
	if !gone(pid) {
		t.Errorf("process %d still runs", pid)
	}
	select {
	case <-e.Done():
	default:
		t.Error("Done is open after Close")
	}
	if e.Err() != nil || e.PID() != 0 {
		t.Errorf("after Close: Err = %v, PID = %d", e.Err(), e.PID())
	}
	closeEngine(t, e) // a second time is allowed

	again := startEngine(t, Options{DataDir: dir})
	if again.DSN() != dsn {
		t.Errorf("DSN after a restart is %s, was %s", again.DSN(), dsn)
	}
	if n := count(t, open(t, dsn), "SELECT n FROM rows"); n != 7 {
		t.Errorf("read %d, wrote 7", n)
	}
}

// A child that does not listen to SIGTERM is killed at Close's deadline.
func TestCloseKills(t *testing.T) {
	e := startEngine(t, Options{DataDir: t.TempDir()})
	pid := e.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("Close = %v", err)
	}
	if !gone(pid) {
		t.Errorf("process %d still runs", pid)
	}
}

// The child ends in order on SIGTERM from anybody, and is started again.
func TestTerminatedChild(t *testing.T) {
	e := startEngine(t, Options{DataDir: t.TempDir()})
	pid := e.PID()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new child", func() bool { return e.PID() != 0 && e.PID() != pid })
	open(t, e.DSN())
}

// The parent is killed: the child goes by itself, and the next parent finds
// the directory free, with the same DSN.
func TestKilledParent(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), parentEnv+"="+dir)
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var dsn string
	if _, err := fmt.Sscan(line, &pid, &dsn); err != nil {
		t.Fatal(err)
	}
	conn := open(t, dsn)
	if err := conn.Exec(t.Context(), "CREATE TABLE rows (n UInt64) ENGINE = MergeTree ORDER BY n AS SELECT 7"); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("Start beside another process = %v, want in use by %d", err, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	began := time.Now()
	eventually(t, "the child to go", func() bool { return gone(pid) })
	t.Logf("the child was gone %s after its parent", time.Since(began))
	e := startEngine(t, Options{DataDir: dir})
	if !gone(pid) {
		t.Errorf("the dead parent's child %d runs beside the new one", pid)
	}
	if e.DSN() != dsn {
		t.Errorf("DSN is %s, was %s", e.DSN(), dsn)
	}
	if n := count(t, open(t, dsn), "SELECT n FROM rows"); n != 7 {
		t.Errorf("read %d, wrote 7", n)
	}
}
