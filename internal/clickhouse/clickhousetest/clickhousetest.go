// Package clickhousetest gives tests a real ClickHouse: one engine for a test
// binary, a database for each test.
//
//	func TestMain(m *testing.M) { clickhousetest.Main(m) }
//
//	func TestX(t *testing.T) {
//		conn, dsn := clickhousetest.DB(t)
//	}
//
// Cluster gives a database of a cluster of two such engines.
package clickhousetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
)

// shared is the test binary's engine, started by the first test that asks.
var shared struct {
	mu     sync.Mutex
	ready  bool // Main ran: the binary can be its own child
	dir    string
	engine *embedded.Engine
	err    error // why the engine did not start; asked once
	n      int   // databases made
}

// Main runs the tests, stops the engine if one was started, looks for leaked
// goroutines, and exits. It must be called from TestMain: the engine is the
// test binary run again, which Main recognizes.
func Main(m *testing.M) {
	embedded.RunChildIfAsked()
	shared.ready = true
	code := m.Run()
	if err := errors.Join(stop(), stopCluster()); err != nil {
		fmt.Fprintln(os.Stderr, "clickhousetest:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "clickhousetest:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// DB returns a connection to a new, empty database and the DSN that names it.
// Both go with the test. Without libchdb the test fails and says what to do.
func DB(t testing.TB) (driver.Conn, string) {
	t.Helper()
	engine, name, err := start(t.Context())
	if err != nil {
		t.Fatalf("this test needs the engine: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	return database(ctx, t, engine, name)
}

// database makes the database and drops it after the test.
func database(ctx context.Context, t testing.TB, engine *embedded.Engine, name string) (driver.Conn, string) {
	t.Helper()
	admin, err := clickhouse.Open(ctx, engine.DSN())
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	dsn, err := url.Parse(engine.DSN())
	if err != nil {
		t.Fatal(err)
	}
	dsn.Path = "/" + name
	conn, err := clickhouse.Open(ctx, dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := conn.Close(); err != nil {
			t.Errorf("close connection: %v", err)
		}
		if err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" SYNC"); err != nil {
			t.Errorf("drop database: %v", err)
		}
		if err := admin.Close(); err != nil {
			t.Errorf("close connection: %v", err)
		}
	})
	return conn, dsn.String()
}

// start returns the engine, started if need be, and the name of a new database.
func start(ctx context.Context) (*embedded.Engine, string, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.ready {
		return nil, "", fmt.Errorf("add func TestMain(m *testing.M) { clickhousetest.Main(m) }")
	}
	if shared.engine == nil && shared.err == nil {
		shared.engine, shared.err = startEngine(ctx)
	}
	shared.n++
	return shared.engine, fmt.Sprintf("test_%d", shared.n), shared.err
}

func startEngine(ctx context.Context) (*embedded.Engine, error) {
	dir, err := os.MkdirTemp("", "coldscope-engine-*")
	if err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	shared.dir = dir
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return embedded.Start(ctx, embedded.Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
}

func stop() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.engine != nil {
		if err := shared.engine.Close(context.Background()); err != nil { //nolint:forbidigo // a testing.M has no context
			return err
		}
	}
	if shared.dir == "" {
		return nil
	}
	return os.RemoveAll(shared.dir)
}
