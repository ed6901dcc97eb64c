package journal

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func event(id string) faas.Event {
	return faas.Event{
		ID: id, Source: "test", Time: time.Unix(1_790_000_000, 1), Ref: faas.Ref{Function: "f", Instance: "i"},
		Data: faas.InvocationEnded{RequestID: "r", StartedAt: time.Unix(1_790_000_000, 0), Status: faas.StatusOK, Error: "a\nb"},
	}
}

func TestAppend(t *testing.T) {
	dir := t.TempDir()
	appended := 0
	j, err := Open(dir, Options{Appended: func() { appended++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Append(t.Context(), []faas.Event{event("1"), event("2")}); err != nil {
		t.Fatal(err)
	}
	segments, _ := durable.Segments(dir)
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range bytes.Lines(b) {
		p, ok := durable.Record(bytes.TrimSuffix(line, []byte("\n")))
		if !ok {
			t.Fatalf("bad record %q", line)
		}
		if durable.Header(p) {
			continue
		}
		e, err := wire.DecodeEvent(p, "default")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if strings.Join(ids, " ") != "1 2" || appended != 1 {
		t.Errorf("ids %v, notified %d times", ids, appended)
	}
}

func TestFull(t *testing.T) {
	j, err := Open(t.TempDir(), Options{MaxBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	srv := httptest.NewServer(wire.EventsHandler(j.Append))
	defer srv.Close()
	c, err := wire.NewClient(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 20 {
		if err = c.SendEvents(t.Context(), []faas.Event{event(strconv.Itoa(i))}); err != nil {
			break
		}
	}
	status, ok := errors.AsType[*wire.StatusError](err)
	if !ok || status.Code != http.StatusTooManyRequests || status.RetryAfter == 0 {
		t.Errorf("a full journal answers %v", err)
	}
}

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "cs") //nolint:usetesting // TempDir's paths are too long
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sub", "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a socket in use: %v", err)
	}
	// What a killed process leaves.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if l, err = Listen(path); err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("a file was replaced")
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("a long path: %v", err)
	}
}
