package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/test/loss/rig"
)

// world is the server, and what it stands on.
type world struct {
	binary, dir, data string
	disk              string // the mount point of a disk that may be filled; empty: none
	url, address      string
	server            *rig.Process
	random            *rand.Rand
	done              map[string]int // harms
	out               io.Writer
}

// start starts the server, each time at the same port.
func (w *world) start(ctx context.Context) error {
	if w.address == "" {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		w.address = l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
		w.done = map[string]int{}
	}
	log, err := os.OpenFile(filepath.Join(w.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w.server, err = rig.StartProcess(ctx, log, w.binary, "aggregator", "--data-dir", w.data, "--listen", w.address, "--otlp-grpc", "")
	w.url = "http://" + w.address
	return err
}

func (w *world) close() {
	if w.server != nil {
		_ = w.server.Terminate(time.Minute)
	}
}

// recover brings the server back if it is away.
func (w *world) recover(ctx context.Context) error {
	if w.server != nil && w.server.Ended() == nil {
		return nil
	}
	return w.start(ctx)
}

// wait waits for a time between two, false if ctx has ended.
func (w *world) wait(ctx context.Context, least, most time.Duration) bool {
	return rig.Wait(ctx, least+time.Duration(w.random.Int64N(int64(most-least)))) == nil
}

// kill is kill -9 of the server, with which its engine goes.
func (w *world) kill(ctx context.Context) error {
	if err := w.server.Kill(); err != nil {
		return err
	}
	w.wait(ctx, 0, 2*time.Second)
	return w.start(context.WithoutCancel(ctx))
}

// killEngine is kill -9 of the engine alone.
func (w *world) killEngine(context.Context) error { return w.signal(syscall.SIGKILL) }

func (w *world) signal(s syscall.Signal) error {
	children, err := w.server.Children()
	if err != nil {
		return err
	}
	for _, pid := range children {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// freeze stops the engine for up to a minute.
func (w *world) freeze(ctx context.Context) error {
	if err := w.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	w.wait(ctx, 5*time.Second, time.Minute)
	return w.signal(syscall.SIGCONT)
}

// fill leaves the disk without a byte for some seconds.
func (w *world) fill(ctx context.Context) error {
	path := filepath.Join(w.disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	w.wait(ctx, 5*time.Second, 20*time.Second)
	return os.Remove(path)
}

// slow is senders that say what they will send, and do not.
func (w *world) slow(ctx context.Context) error {
	for range 200 {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", w.address)
		if err != nil {
			return nil
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 8000000\r\n\r\n%s", strings.Repeat("x", 1000))
	}
	w.wait(ctx, 5*time.Second, 15*time.Second)
	return nil
}

// crowd is ten thousand connections at a time.
func (w *world) crowd(ctx context.Context) error {
	for range 10_000 {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", w.address)
		if err != nil {
			break // there is a limit of open files, or the server is away
		}
		defer c.Close()
		fmt.Fprint(c, "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\n")
	}
	w.wait(ctx, 5*time.Second, 10*time.Second)
	return nil
}

// stored counts what is shown: lines, the different ones, those with their own
// request and those with another one, requests, those that have ended, events.
type stored struct{ Lines, Distinct, Right, Wrong, Invocations, Ended, Events uint64 }

// check compares what is stored with what was acknowledged.
func (w *world) check(ctx context.Context, l *load) error {
	dsn, err := os.ReadFile(filepath.Join(w.data, "clickhouse", "dsn"))
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, strings.TrimSpace(string(dsn)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var found stored
	for end := time.Now().Add(time.Minute); ; {
		err := conn.QueryRow(ctx, `
			SELECT
				countIf(stream != 'platform'), uniqExactIf((instance, file_id, offset), stream != 'platform'),
				countIf(stream != 'platform' AND request_id = extract(body, '^of ([^ ]+)')), countIf(stream != 'platform' AND request_id != extract(body, '^of ([^ ]+)')),
				(SELECT count() FROM invocations FINAL), (SELECT countIf(status = 'ok') FROM invocations FINAL), countIf(stream = 'platform')
			FROM logs FINAL`).Scan(&found.Lines, &found.Distinct, &found.Right, &found.Wrong, &found.Invocations, &found.Ended, &found.Events)
		late := time.Now().After(end)
		switch {
		case err != nil && (late || !clickhouse.Retryable(err)):
			return fmt.Errorf("count what is stored: %w", err)
		case err == nil && (late || found.Wrong == 0):
			if err := w.compare(l, &found); err != nil {
				return err
			}
			return w.figures(ctx, conn, found.Lines+found.Events, found.Invocations)
		}
		if err := rig.Wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

// figures waits until those of all minutes are there, and holds them against what is stored.
func (w *world) figures(ctx context.Context, conn driver.Conn, rows, requests uint64) error {
	const patience = 3 * time.Minute
	for end := time.Now().Add(patience); ; {
		var dirty uint64
		err := conn.QueryRow(ctx, "SELECT count() FROM rollup_state WHERE dirtied > rolled").Scan(&dirty)
		switch {
		case err == nil && dirty == 0:
			return w.compareFigures(ctx, conn, rows, requests)
		case err != nil && !clickhouse.Retryable(err):
			return fmt.Errorf("look which minutes have no figures: %w", err)
		case time.Now().After(end):
			return fmt.Errorf("%d minutes have no figures after %s (%w)", dirty, patience, err)
		}
		if err := rig.Wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (w *world) compareFigures(ctx context.Context, conn driver.Conn, rows, requests uint64) error {
	const newest = "WHERE (tenant, namespace, function, minute, generation) IN (SELECT tenant, namespace, function, minute, max(generation) FROM "
	for _, of := range []struct {
		table, column string
		want          uint64
	}{{"line_minutes", "lines", rows}, {"invocation_minutes", "invocations", requests}} {
		var got uint64
		sql := "SELECT sum(" + of.column + ") FROM " + of.table + " FINAL " + newest + of.table + " GROUP BY tenant, namespace, function, minute)"
		if err := conn.QueryRow(ctx, sql).Scan(&got); err != nil {
			return fmt.Errorf("read figures: %w", err)
		}
		if got != of.want {
			return fmt.Errorf("%d %s are stored, figures by the minute say %d", of.want, of.column, got)
		}
	}
	fmt.Fprintln(w.out, "chaos: figures by the minute say the same")
	return nil
}

func (w *world) compare(l *load, found *stored) error {
	lines, requests := l.lines.Load(), l.requests.Load()
	fmt.Fprintf(w.out, "chaos: harms %v\nchaos: %d lines and %d requests were acknowledged, %d pushes sent again; stored: %+v\n", w.done, lines, requests, l.again.Load(), *found)
	switch {
	case found.Lines != lines || found.Distinct != lines:
		return fmt.Errorf("%d lines were acknowledged, %d are shown, %d of them different", lines, found.Lines, found.Distinct)
	case found.Wrong > 0:
		return fmt.Errorf("%d lines have another request than their own", found.Wrong)
	case found.Invocations != requests || found.Ended != requests || found.Events != 2*requests:
		return fmt.Errorf("%d requests were acknowledged, %d are shown, %d of them as ended, with %d events", requests, found.Invocations, found.Ended, found.Events)
	}
	return nil
}
