package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// eventually waits until done holds.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// lineWith gives what the sink has of the only line that contains text.
func (s *store) lineWith(text string) (place, entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, e := range s.lines {
		if strings.Contains(e.Body, text) {
			return p, e, true
		}
	}
	return place{}, entry{}, false
}

// logsOf gives c's files without its journal.
func logsOf(c *Collector) []FileStatus {
	return slices.DeleteFunc(c.Status().Files, func(f FileStatus) bool { return f.Function == "" })
}

func TestRotationWhileWriting(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s := newStore()
	c, _ := start(t, cfg, Deps{Sink: s})
	logs := []*logFile{newCRI(t, cfg.CRI[0], "hello", "uid"), newDocker(t, cfg.Docker[0], "world", strings.Repeat("d", 64))}
	var writers sync.WaitGroup
	for _, l := range logs {
		writers.Go(func() {
			for g := range 20 {
				for i := range 500 {
					l.line([]string{"stdout", "stderr"}[i%2], fmt.Sprintf("line %d of generation %d", i, g))
				}
				if l.docker {
					for i := g; i > 0; i-- {
						_ = os.Rename(fmt.Sprintf("%s.%d", l.path, i), fmt.Sprintf("%s.%d", l.path, i+1))
					}
					l.rotate(".1")
				} else {
					l.rotate(fmt.Sprintf(".20261123-%06d", g))
				}
			}
			l.line("stdout", "the last one")
		})
	}
	writers.Wait()
	settle(t, c)
	if n := check(t, s, logs...); n != 2*(20*500+1) {
		t.Errorf("%d lines", n)
	}
	_, e, _ := s.lineWith("line 0 of generation 3")
	if want := `{function="hello", host="h1", instance="uid", namespace="ns", stream="stdout", version="v1"}`; e.Labels != want &&
		e.Labels != strings.NewReplacer("hello", "world", "uid", strings.Repeat("d", 64)).Replace(want) {
		t.Errorf("labels %s", e.Labels)
	}
	if s.twice > 0 {
		t.Errorf("%d lines came twice", s.twice)
	}
}

// A deleted file is read to its end, however long the sink was away.
func TestDeletionWhileSinkIsDown(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s := newStore()
	down := s.breakable()
	down.Store(true)
	c, _ := start(t, cfg, Deps{Sink: s})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	l.line("stdout", "first")
	eventually(t, "file is found", func() bool { return len(c.Status().Files) == 1 })
	for i := range 20_000 {
		l.line("stdout", fmt.Sprintf("line %d", i))
	}
	if err := os.RemoveAll(filepath.Dir(filepath.Dir(l.path))); err != nil {
		t.Fatal(err)
	}
	l.line("stdout", "after the deletion")
	down.Store(false)
	settle(t, c)
	check(t, s, l)
	eventually(t, "the deleted file is closed", func() bool { return len(logsOf(c)) == 0 })
	l.f.Close()
	eventually(t, "the checkpoint forgets it", func() bool {
		b, err := durable.ReadFile(filepath.Join(cfg.DataDir, "checkpoint"))
		return err == nil && !strings.Contains(string(b), "/hello/0.log")
	})
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s := newStore()
	reg := prometheus.NewRegistry()
	c, _ := start(t, cfg, Deps{Sink: s, Registerer: reg, Gatherer: reg})
	const long = 10 << 20
	d := newDocker(t, cfg.Docker[0], "world", strings.Repeat("e", 64))
	for range long / 16384 {
		d.piece("stdout", strings.Repeat("d", 16384), false)
		d.line("stderr", "in between")
	}
	d.piece("stdout", "", true)
	d.line("stdout", "behind it")
	// In one record, which no runtime writes.
	one := newCRI(t, cfg.CRI[0], "hello", "one")
	one.line("stdout", strings.Repeat("c", long))
	one.line("stdout", "behind it")
	exact := newCRI(t, cfg.CRI[0], "hello", "exact")
	exact.line("stdout", strings.Repeat("é", 1<<19))
	exact.line("stdout", strings.Repeat("é", 1<<19)+"x")
	settle(t, c)

	for _, l := range []*logFile{d, one, exact} {
		for p, body := range l.want {
			want := body[:min(len(body), 1<<20)]
			l.want[p] = want
			if got := s.get()[p]; got.Truncated != int64(len(body)-len(want)) {
				t.Errorf("%v: %d bytes are truncated, want %d", p, got.Truncated, len(body)-len(want))
			}
		}
	}
	check(t, s, d, one, exact)
	if n := testutil.ToFloat64(c.metrics.truncated); n != 3 {
		t.Errorf("%v lines are counted as truncated", n)
	}
}

func TestBytesThatAreNoText(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	c, _ := start(t, cfg, Deps{Sink: s})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	for in, want := range map[string]string{
		"a\xff\xfe b": "a\ufffd\ufffd b", "nul \x00 is kept": "nul \x00 is kept", "10%\r20%\r": "10%\r20%\r", "": "", "  ": "  ",
	} {
		offset := l.offset
		l.line("stdout", in)
		l.want[place{l.id, offset}] = want
	}
	l.piece("stderr", "cut \xc3", false) // a rune in two pieces
	l.piece("stderr", "\xa9", true)
	settle(t, c)
	check(t, s, l)
}

// What has no end is taken as it is when none will come.
func TestLinesWithoutEnd(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.PartialTimeout = time.Second
	s := newStore()
	start(t, cfg, Deps{Sink: s})
	quiet := newCRI(t, cfg.CRI[0], "hello", "quiet")
	quiet.line("stdout", "whole")
	quiet.piece("stdout", "quiet file", false)
	deleted := newCRI(t, cfg.CRI[0], "hello", "deleted")
	deleted.line("stdout", "whole")
	deleted.piece("stderr", "deleted file", false)
	fmt.Fprintf(deleted.f, "2026-11-23T04:51:59Z stdout F torn reco")
	rotated := newDocker(t, cfg.Docker[0], "world", strings.Repeat("f", 64))
	rotated.piece("stdout", "rotated file", false)
	rotated.rotate(".1")
	alone := newCRI(t, cfg.CRI[0], "hello", "alone")
	fmt.Fprintf(alone.f, "2026-11-23T04:51:59Z stdout F torn and alone")
	busy := newCRI(t, cfg.CRI[0], "hello", "busy")
	busy.piece("stdout", "overtaken", false)
	busy.clock = busy.clock.Add(time.Minute)
	busy.line("stderr", "a minute later")
	_, _, found := s.lineWith("deleted file")
	if found {
		t.Error("taken too early")
	}
	eventually(t, "all files are found", func() bool {
		_, _, ok := s.lineWith("a minute later")
		return ok
	})
	for _, l := range []*logFile{deleted, alone} {
		if err := os.Remove(l.path); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"quiet file", "deleted file", "torn reco", "rotated file", "torn and alone", "overtaken"} {
		eventually(t, want, func() bool {
			_, e, ok := s.lineWith(want)
			return ok && e.Body == want
		})
	}
}

// copytruncate: the file is copied, then cut, then goes on.
func TestTruncation(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	reg := prometheus.NewRegistry()
	c, _ := start(t, cfg, Deps{Sink: s, Registerer: reg})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	for range 3 {
		for i := range 100 {
			l.line("stdout", fmt.Sprintf("line %d", i))
		}
		settle(t, c)
		if err := l.f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		l.id, l.offset = "", 0
	}
	l.line("stdout", "last")
	settle(t, c)
	check(t, s, l)
	if n := testutil.ToFloat64(c.metrics.restarts.WithLabelValues("truncated")); n != 3 {
		t.Errorf("%v truncations are counted", n)
	}
}

// A damaged checkpoint costs duplicates and nothing else; a good one does not
// even cost those.
func TestCheckpoint(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	write := func() {
		for i := range 100 {
			l.line("stdout", fmt.Sprintf("line %d", i))
		}
	}
	session := func(log *slog.Logger) {
		c, stop := start(t, cfg, Deps{Sink: s, Logger: log})
		settle(t, c)
		stop()
		check(t, s, l)
	}
	write()
	session(nil)
	write()
	session(nil)
	if s.twice != 0 {
		t.Errorf("%d lines came twice", s.twice)
	}
	// Renamed while we were away.
	l.rotate(".20261123-000000")
	write()
	session(nil)
	if s.twice != 0 {
		t.Errorf("%d lines came twice after a rotation", s.twice)
	}
	path := filepath.Join(cfg.DataDir, "checkpoint")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	write()
	var log bytes.Buffer
	session(slog.New(slog.NewTextHandler(&log, nil)))
	if s.twice != 300 {
		t.Errorf("%d lines came twice, want 300", s.twice)
	}
	if !strings.Contains(log.String(), "checkpoint cannot be used") {
		t.Errorf("no warning: %s", log.String())
	}
}

// An offset that does not fit the file is not believed.
func TestCheckpointGuard(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	l.line("stdout", "one")
	l.line("stdout", "two")
	b := fmt.Appendf(nil, `{"version":1,"files":{%q:{"offset":7,"seen":1}}}`, l.id)
	if err := os.MkdirAll(cfg.DataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(cfg.DataDir, "checkpoint"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := start(t, cfg, Deps{Sink: s})
	settle(t, c)
	check(t, s, l)
}

func TestBadRecords(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	reg := prometheus.NewRegistry()
	c, stop := start(t, cfg, Deps{Sink: s, Registerer: reg, Gatherer: reg})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	l.line("stdout", "before")
	n, _ := l.f.WriteString("no record at all\n")
	l.offset += int64(n)
	l.line("stdout", "behind")
	n, _ = l.f.WriteString("another at the end\n")
	l.offset += int64(n)
	settle(t, c)
	check(t, s, l)
	if f := c.Status().Files; len(f) != 1 || f[0].Lag != 0 || f[0].Acknowledged != l.offset {
		t.Errorf("status %+v", f)
	}
	stop()
	b, err := os.ReadFile(filepath.Join(cfg.DataDir, "dead-letters.jsonl"))
	if err != nil || strings.Count(string(b), `"reason":"bad_record"`) != 2 || !strings.Contains(string(b), `"line":"no record at all"`) {
		t.Errorf("dead letters %s, %v", b, err)
	}
}

func testEvent(id string) faas.Event {
	return faas.Event{
		ID: id, Source: "test", Time: time.Unix(1_790_000_000, 0).UTC(),
		Ref: faas.Ref{Tenant: "acme", Namespace: "ns", Function: "f", Version: "v", Instance: "i"}, Data: faas.Ready{},
	}
}

// Events go through the socket and the journal; consumed segments are deleted.
func TestEvents(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.JournalBytes = 1 << 20 // segments of 128 KiB
	s := newStore()
	c, stop := start(t, cfg, Deps{Sink: s})
	client, err := wire.NewClient("unix://" + c.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const batches, each = 40, 50
	for b := range batches {
		var events []faas.Event
		for i := range each {
			events = append(events, testEvent(fmt.Sprintf("e%d-%d", b, i)))
		}
		eventually(t, "events are taken", func() bool {
			err := client.SendEvents(t.Context(), events)
			if status, ok := errors.AsType[*wire.StatusError](err); err != nil && (!ok || status.Code != http.StatusTooManyRequests) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	settle(t, c)
	ids := map[string]bool{}
	for _, e := range s.get() {
		ev, err := wire.DecodeEvent([]byte(e.Body), "default")
		if err != nil {
			t.Fatal(err)
		}
		if want := `{function="f", host="h1", instance="i", namespace="ns", stream="platform", version="v"}`; e.Labels != want {
			t.Fatalf("labels %s", e.Labels)
		}
		if !e.Time.Equal(ev.Time) {
			t.Fatalf("time %s of an event of %s", e.Time, ev.Time)
		}
		ids[ev.ID] = true
	}
	if len(ids) != batches*each {
		t.Errorf("%d events of %d", len(ids), batches*each)
	}
	eventually(t, "consumed segments are deleted", func() bool {
		segments, err := durable.Segments(filepath.Join(cfg.DataDir, "journal"))
		return err == nil && len(segments) == 1
	})
	stop()

	// A damaged record is skipped, counted and written down.
	segments, _ := durable.Segments(filepath.Join(cfg.DataDir, "journal"))
	f, err := os.OpenFile(segments[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("00000000 {damaged}\n")
	_, _ = f.Write(durable.AppendRecord(nil, []byte("no event")))
	good, _ := wire.EncodeEvent(&faas.Event{ID: "behind", Source: "test", Time: time.Now(), Ref: faas.Ref{Function: "f", Instance: "i"}, Data: faas.Ready{}})
	_, _ = f.Write(durable.AppendRecord(nil, good))
	f.Close()
	reg := prometheus.NewRegistry()
	c, _ = start(t, cfg, Deps{Sink: s, Registerer: reg})
	settle(t, c)
	if _, _, ok := s.lineWith(`"behind"`); !ok {
		t.Error("the event behind the damage is missing")
	}
	got := map[string]bool{}
	families, _ := reg.Gather()
	for _, fam := range families {
		if fam.GetName() == "coldscope_collector_dead_letter_total" {
			for _, m := range fam.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue() == 1
			}
		}
	}
	if !got["bad_record"] || !got["bad_event"] {
		t.Errorf("dead letters %v", got)
	}
}

func TestBadEvents(t *testing.T) {
	c, _ := start(t, testConfig(t), Deps{Sink: newStore()})
	for body, want := range map[string]int{
		"{": 400, `{"specversion":"1.0","id":"1","source":"s","type":"unknown","time":"2026-11-23T00:00:00Z","data":{}}`: 400,
		strings.Repeat("x", wire.MaxEventsBytes+1): 413,
	} {
		r := httptest.NewRequest(http.MethodPost, wire.PathEvents, strings.NewReader(body))
		r.Header.Set("Content-Type", wire.MediaEvent)
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%.20q: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestHandler(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	s.fail = func(int) error { return errors.New("down") }
	reg := prometheus.NewRegistry()
	c, _ := start(t, cfg, Deps{Sink: s, Registerer: reg, Gatherer: reg})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	l.line("stdout", "waits")
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	eventually(t, "ready", func() bool { return get("/ready").Code == 200 })
	eventually(t, "the file is read", func() bool {
		var status Status
		if err := json.Unmarshal(get(PathStatus).Body.Bytes(), &status); err != nil {
			t.Fatal(err)
		}
		return len(status.Files) == 1 && status.Files[0].Read == l.offset
	})
	var status Status
	_ = json.Unmarshal(get(PathStatus).Body.Bytes(), &status)
	f := status.Files[0]
	if f.Path != l.path || f.Function != "hello" || f.FileID != l.id || f.Size != l.offset || f.Acknowledged != 0 || f.Lag != l.offset {
		t.Errorf("status %+v", f)
	}
	eventually(t, "metrics", func() bool {
		body := get("/metrics").Body.String()
		return strings.Contains(body, fmt.Sprintf("coldscope_collector_lag_bytes %d", l.offset)) &&
			strings.Contains(body, `coldscope_collector_read_lines_total{stream="stdout"} 1`) &&
			strings.Contains(body, `coldscope_collector_pushes_total{code="error",target="default"}`) &&
			strings.Contains(body, "coldscope_collector_files 1")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Settled(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("settled with a sink that is down: %v", err)
	}
}

// What vanished while nobody looked is counted.
func TestVanished(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	s.fail = func(int) error { return errors.New("down") }
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	l.line("stdout", "never acknowledged")
	cfg.StopTimeout = 10 * time.Millisecond
	c, stop := start(t, cfg, Deps{Sink: s})
	eventually(t, "read", func() bool { f := c.Status().Files; return len(f) == 1 && f[0].Read > 0 })
	stop()
	if err := os.Remove(l.path); err != nil {
		t.Fatal(err)
	}
	c, stop = start(t, cfg, Deps{Sink: s})
	defer stop()
	eventually(t, "ready", c.ready.Load)
	c.prune(t.Context(), time.Now())
	if n := testutil.ToFloat64(c.metrics.missed.WithLabelValues("vanished")); n != float64(l.offset) {
		t.Errorf("%v bytes are missed, want %d", n, l.offset)
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := testConfig(t)
	c, err := New(cfg, Deps{Sink: newStore()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, Deps{Sink: newStore()}); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("a second collector on the same data: %v", err)
	}
	other := testConfig(t)
	other.Socket = cfg.Socket
	if _, err := New(other, Deps{Sink: newStore()}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second collector on the same socket: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c, err = New(other, Deps{Sink: newStore()}); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestConfig(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	bad := Config{CRI: []string{"relative"}, LineBytes: 5, BatchAge: -1, InFlight: 1000, JournalBytes: 3}
	err := bad.Validate()
	for _, key := range []string{"cri", "line_bytes", "batch_age", "in_flight", "journal_bytes"} {
		if err == nil || !strings.Contains(err.Error(), "collector."+key+":") {
			t.Errorf("%s is not in %v", key, err)
		}
	}
	if c := (Config{CRI: []string{}}).WithDefaults(); len(c.CRI) != 0 || len(c.Docker) != 1 {
		t.Errorf("an empty list: %v, %v", c.CRI, c.Docker)
	}
}

// Credentials never leave the host, equal ones look equal, and the place of a
// line stays.
func TestRedact(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	c, _ := start(t, cfg, Deps{Sink: s})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	l.line("stdout", "X-Scf-Secret-Key: Gu5t9xGARNpq86cd98joQYCN3EXAMPLE")
	l.line("stderr", "again X-Scf-Secret-Key: Gu5t9xGARNpq86cd98joQYCN3EXAMPLE and Authorization: Bearer abcdefghijklmnop0123456789")
	l.line("stdout", "nothing")
	settle(t, c)
	var marks []string
	for p, e := range s.get() {
		if _, ok := l.want[p]; !ok {
			continue
		}
		if strings.Contains(e.Body, "Gu5t9x") || strings.Contains(e.Body, "abcdefghijklmnop") {
			t.Errorf("left the host: %s", e.Body)
		}
		if _, mark, ok := strings.Cut(e.Body, "X-Scf-Secret-Key: "); ok {
			marks = append(marks, mark[:len("[redacted:scf-secret-key:123456789012]")-8])
		}
	}
	if len(marks) != 2 || marks[0] != marks[1] || !strings.HasPrefix(marks[0], "[redacted:") {
		t.Errorf("marks %q", marks)
	}
	if n := testutil.ToFloat64(c.metrics.secrets); n != 3 {
		t.Errorf("%v secrets are counted", n)
	}
}

// AWS Lambda's records become events and lines; a body that comes again is the same.
func TestLambda(t *testing.T) {
	cfg := testConfig(t)
	s := newStore()
	c, _ := start(t, cfg, Deps{Sink: s})
	body := `[{"time":"2026-11-23T04:00:00.000Z","type":"platform.start","record":{"requestId":"r1","version":"$LATEST"}},
{"time":"2026-11-23T04:00:00.100Z","type":"function","record":"hello from a function\n"},
{"time":"2026-11-23T04:00:00.200Z","type":"platform.runtimeDone","record":{"requestId":"r1","status":"success","metrics":{"durationMs":200}}}]`
	for range 2 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/lambda/telemetry?function=f&instance=i&namespace=n", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		c.Handler().ServeHTTP(w, r)
		if w.Code/100 != 2 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	settle(t, c)
	ids, lines := map[string]bool{}, 0
	for _, e := range s.get() {
		if !strings.Contains(e.Labels, "platform") {
			lines++
			continue
		}
		ev, err := wire.DecodeEvent([]byte(e.Body), "default")
		if err != nil {
			t.Fatal(err)
		}
		ids[ev.ID] = true
	}
	if lines != 1 || len(ids) != 2 {
		t.Errorf("%d lines, %d events", lines, len(ids))
	}
}
