package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/collector/runtime"
	"github.com/coldscope/coldscope/collector/tail"
	"github.com/coldscope/coldscope/internal/wire"
)

// place names a line for ever.
type place struct {
	File   string
	Offset int64
}

// entry is what a sink got at a place.
type entry struct {
	Labels    string
	Body      string
	Time      time.Time
	Truncated int64
}

// store is a sink that keeps everything.
type store struct {
	mu        sync.Mutex
	lines     map[place]entry
	pushes    int
	twice     int      // entries that came again
	conflicts []string // entries that came again with another content
	fail      func(n int) error
}

func newStore() *store { return &store{lines: map[place]entry{}} }

// PushEncoded implements ship.Sink.
func (s *store) PushEncoded(_ context.Context, _ string, raw []byte) error {
	req, err := wire.DecodeRaw(raw)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushes++
	if s.fail != nil {
		if err := s.fail(s.pushes); err != nil {
			return err
		}
	}
	s.take(req)
	return nil
}

// breakable gives a switch that makes s fail.
func (s *store) breakable() *atomic.Bool {
	down := new(atomic.Bool)
	s.fail = func(int) error {
		if down.Load() {
			return errors.New("connection refused")
		}
		return nil
	}
	return down
}

func (s *store) take(req *push.PushRequest) {
	for _, stream := range req.Streams {
		for _, e := range stream.Entries {
			var p place
			got := entry{Labels: stream.Labels, Body: e.Line, Time: e.Timestamp.UTC()}
			for _, m := range e.StructuredMetadata {
				switch m.Name {
				case wire.MetaFileID:
					p.File = m.Value
				case wire.MetaOffset:
					p.Offset, _ = strconv.ParseInt(m.Value, 10, 64)
				case wire.MetaTruncated:
					got.Truncated, _ = strconv.ParseInt(m.Value, 10, 64)
				}
			}
			old, again := s.lines[p]
			if again {
				s.twice++
				if old != got {
					s.conflicts = append(s.conflicts, fmt.Sprintf("%v: %.80q and %.80q", p, old.Body, got.Body))
				}
			}
			s.lines[p] = got
		}
	}
}

func (s *store) get() map[place]entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.lines)
}

// serve puts an HTTP server in front of s, which fails as often as fail says
// (0 to 1): half of the time before and half of the time after storing.
func (s *store) serve(t *testing.T, fail func() float64) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
		if err != nil {
			t.Errorf("bad push: %v", err)
			wire.Refuse(w, err)
			return
		}
		dice := rand.Float64() / max(fail(), 1e-9)
		switch {
		case dice < 0.25:
			wire.ComeBack(w, io.ErrShortWrite)
			return
		case dice < 0.5:
			panic(http.ErrAbortHandler)
		}
		s.mu.Lock()
		s.pushes++
		s.take(req)
		s.mu.Unlock()
		if dice < 1 {
			panic(http.ErrAbortHandler) // stored, but nobody learns of it
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	return srv
}

// logFile writes a container's log, and notes what a collector has to make of it.
type logFile struct {
	t      testing.TB
	path   string
	owner  string
	docker bool

	f      *os.File
	id     string
	offset int64
	want   map[place]string // bodies by place; shared by the generations
	at     map[string]place // of an open line, by stream
	open   map[string]string
	clock  time.Time
}

func newCRI(t testing.TB, root, function, uid string) *logFile {
	t.Helper()
	dir := filepath.Join(root, "ns_"+function+"-v1_"+uid, function)
	return newLog(t, dir, filepath.Join(dir, "0.log"), uid+"/"+function, false)
}

func newDocker(t testing.TB, root, function, id string) *logFile {
	t.Helper()
	dir := filepath.Join(root, id)
	l := newLog(t, dir, filepath.Join(dir, id+"-json.log"), id, true)
	cfg := map[string]any{"ID": id, "Name": "/" + function, "Config": map[string]any{"Labels": map[string]string{
		"dev.coldscope.function": function, "dev.coldscope.namespace": "ns", "dev.coldscope.version": "v1", "dev.coldscope.instance": id,
	}}}
	b, _ := json.Marshal(cfg)
	if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

func newLog(t testing.TB, dir, path, owner string, docker bool) *logFile {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l := &logFile{
		t: t, path: path, owner: owner, docker: docker, want: map[place]string{},
		at: map[string]place{}, open: map[string]string{}, clock: time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC),
	}
	l.create()
	t.Cleanup(func() { l.f.Close() })
	return l
}

func (l *logFile) create() {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	l.f, l.id, l.offset = f, "", 0
}

// rotate renames the file to path+suffix and begins a new one.
func (l *logFile) rotate(suffix string) {
	if err := os.Rename(l.path, l.path+suffix); err != nil {
		l.t.Fatal(err)
	}
	l.f.Close()
	l.create()
}

// line writes a whole line.
func (l *logFile) line(stream, body string) { l.piece(stream, body, true) }

// piece writes a part of a line; end is its last one.
func (l *logFile) piece(stream, text string, end bool) {
	l.clock = l.clock.Add(1234567 * time.Nanosecond)
	stamp := l.clock.Format(time.RFC3339Nano)
	var rec []byte
	if l.docker {
		if end {
			text += "\n"
		}
		rec = dockerRecord(text, stream, stamp)
		text = string(bytes.TrimSuffix([]byte(text), []byte("\n")))
	} else {
		tag := "F"
		if !end {
			tag = "P"
		}
		rec = []byte(stamp + " " + stream + " " + tag + " " + text + "\n")
	}
	if l.id == "" {
		l.id = wire.FormatFileID(tail.FileID(l.owner, rec))
	}
	if _, ok := l.open[stream]; !ok {
		l.at[stream] = place{l.id, l.offset}
	}
	l.open[stream] += text
	if end {
		l.want[l.at[stream]] = l.open[stream]
		delete(l.open, stream)
	}
	if _, err := l.f.Write(rec); err != nil {
		l.t.Error(err)
	}
	l.offset += int64(len(rec))
}

func dockerRecord(text, stream, stamp string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if err := enc.Encode(text); err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"log":%s,"stream":"%s","time":"%s"}`+"\n", bytes.TrimSpace(b.Bytes()), stream, stamp)
}

// check compares what s has with what the logs say, and returns the number of lines.
func check(t *testing.T, s *store, logs ...*logFile) int {
	t.Helper()
	want, got := map[place]string{}, map[place]string{}
	files := map[string]bool{}
	for _, l := range logs {
		for p, body := range l.want {
			want[p] = body
			files[p.File] = true
		}
	}
	for p, e := range s.get() {
		if files[p.File] || want[p] != "" {
			got[p] = e.Body
		}
	}
	if len(s.conflicts) > 0 {
		t.Errorf("%d places have two contents, the first: %s", len(s.conflicts), s.conflicts[0])
	}
	if len(want) != len(got) || !cmp.Equal(want, got) {
		missing, wrong := 0, 0
		for p, body := range want {
			if g, ok := got[p]; !ok {
				if missing++; missing == 1 {
					t.Errorf("missing %v: %.80q", p, body)
				}
			} else if g != body {
				if wrong++; wrong == 1 {
					t.Errorf("at %v: got %.80q (%d), want %.80q (%d)", p, g, len(g), body, len(body))
				}
			}
		}
		for p, body := range got {
			if _, ok := want[p]; !ok {
				t.Errorf("nobody wrote %v: %.80q (%d)", p, body, len(body))
				for w, b := range want {
					if w.File == p.File && w.Offset < p.Offset && w.Offset+int64(len(b)) > p.Offset-20000 {
						t.Logf("  near: %v %.20q (%d)", w, b, len(b))
					}
				}
			}
		}
		t.Errorf("want %d lines, got %d: %d missing, %d wrong", len(want), len(got), missing, wrong)
	}
	return len(want)
}

func testConfig(t testing.TB) Config {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{
		DataDir: filepath.Join(dir, "data"), Host: "h1",
		CRI: []string{filepath.Join(dir, "pods")}, Docker: []string{filepath.Join(dir, "docker")},
		Runtimes:     runtime.Config{Docker: "off", Containerd: "off", Kubernetes: "off", EBPF: "off"},
		ScanInterval: 50 * time.Millisecond, BatchAge: 20 * time.Millisecond, StopTimeout: time.Second,
	}
	// A Unix socket's path is short.
	sock, err := os.MkdirTemp("", "cs") //nolint:usetesting // TempDir's paths are too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sock) })
	cfg.Socket = filepath.Join(sock, "s")
	return cfg
}

// start runs a collector in this process until stop is called.
func start(t *testing.T, cfg Config, deps Deps) (c *Collector, stop func()) {
	t.Helper()
	c, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return c, stop
}

func settle(t *testing.T, c *Collector) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Settled(ctx); err != nil {
		t.Fatalf("settle: %v", err)
	}
}
