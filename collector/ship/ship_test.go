package ship

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a function as a Sink.
type sink func(ctx context.Context, tenant string, req *push.PushRequest) error

func (s sink) PushEncoded(ctx context.Context, tenant string, raw []byte) error {
	req, err := wire.DecodeRaw(raw)
	if err != nil {
		panic(err) // ours can always be read
	}
	return s(ctx, tenant, req)
}

// send adds a line and hands it over.
func send(ctx context.Context, w *Writer, to *Stream, l *Line) error {
	if err := w.Add(ctx, to, l); err != nil {
		return err
	}
	return w.Flush(ctx)
}

func status(code int, after time.Duration) error {
	return fmt.Errorf("push: %w", &wire.StatusError{Code: code, Message: "no", RetryAfter: after})
}

var (
	quiet  = slog.New(slog.DiscardHandler)
	stdout = NewStream(faas.Ref{Function: "f", Instance: "i"}, faas.Stdout, "h")
	events = NewStream(faas.Ref{Function: "f", Instance: "i"}, faas.Platform, "h")
	now    = time.Unix(1_790_000_000, 0)
)

func newShipper(t testing.TB, opts Options, s sink, reg prometheus.Registerer) (*Shipper, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dead")
	dead := NewDeadLetters(path, 1<<20)
	t.Cleanup(func() { dead.Close() })
	made, err := New(opts, []Target{{"one", s}}, dead, quiet, reg)
	if err != nil {
		t.Fatal(err)
	}
	return made, path
}

// running runs s until the returned function is called.
func running(s *Shipper) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

func line(i int, body string) *Line {
	return &Line{Time: now, Body: []byte(body), Offset: int64(10 * i), Safe: int64(10*i + 10)}
}

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []*push.PushRequest
		s, _ := newShipper(t, Options{}, func(_ context.Context, tenant string, req *push.PushRequest) error {
			mu.Lock()
			defer mu.Unlock()
			if tenant != "default" {
				t.Errorf("tenant %q", tenant)
			}
			got = append(got, req)
			return nil
		}, nil)
		defer running(s)()
		f, j := NewFile(0xab, 0), NewFile(1, 0)
		w := s.Writer(f)
		long := line(1, "second")
		long.Truncated = 7
		for _, err := range []error{
			w.Add(t.Context(), stdout, line(0, "first")),
			w.Add(t.Context(), stdout, long),
			w.Flush(t.Context()),
			send(t.Context(), s.Writer(j), events, line(0, "{}")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if f.Committed() != 0 {
			t.Error("committed before it was sent")
		}
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.Committed() != 20 || j.Committed() != 10 || s.Unacknowledged() != 0 {
			t.Errorf("committed %d and %d, unacknowledged %d", f.Committed(), j.Committed(), s.Unacknowledged())
		}
		mu.Lock()
		first := got[0]
		mu.Unlock()
		b, _ := json.Marshal(first.Streams)
		want := `[{"labels":"{function=\"f\", host=\"h\", instance=\"i\", stream=\"platform\"}","entries":[{"ts":"2026-09-21T14:13:20Z","line":"{}"}]},` +
			`{"labels":"{function=\"f\", host=\"h\", instance=\"i\", stream=\"stdout\"}","entries":[{"ts":"2026-09-21T14:13:20Z","line":"first"},{"ts":"2026-09-21T14:13:20Z","line":"second"}]}]`
		if strings.ReplaceAll(string(b), now.Format(time.RFC3339), "2026-09-21T14:13:20Z") != want {
			t.Errorf("events come first\ngot  %s\nwant %s", b, want)
		}
		meta := fmt.Sprint(first.Streams[1].Entries[1].StructuredMetadata)
		if meta != "[{file_id 00000000000000ab} {offset 10} {truncated 7}]" {
			t.Errorf("metadata %s", meta)
		}
		// Age alone sends too.
		if err := send(t.Context(), w, stdout, line(2, "third")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Millisecond) //nolint:forbidigo // fake time
		synctest.Wait()
		if f.Committed() != 20 {
			t.Error("sent too early")
		}
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // fake time
		synctest.Wait()
		if f.Committed() != 30 {
			t.Errorf("committed %d", f.Committed())
		}
	})
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []error{
			errors.New("connection refused"), status(503, 0), status(429, 7*time.Second), status(404, 0), status(401, 0), nil,
		}
		var at []time.Time
		reg := prometheus.NewRegistry()
		s, dead := newShipper(t, Options{}, func(context.Context, string, *push.PushRequest) error {
			err := answers[len(at)]
			at = append(at, time.Now())
			return err
		}, reg)
		defer running(s)()
		f := NewFile(1, 0)
		if err := send(t.Context(), s.Writer(f), stdout, line(0, "x")); err != nil {
			t.Fatal(err)
		}
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(at) != len(answers) || f.Committed() != 10 {
			t.Fatalf("%d attempts, committed %d", len(at), f.Committed())
		}
		for i, limits := range [][2]time.Duration{
			{0, 100}, {0, 200}, {7000, 7400}, {0, 800}, {0, 1600},
		} {
			if d := at[i+1].Sub(at[i]); d < limits[0]*time.Millisecond || d > limits[1]*time.Millisecond {
				t.Errorf("pause %d is %s, not between %d and %d ms", i, d, limits[0], limits[1])
			}
		}
		if _, err := os.Stat(dead); !os.IsNotExist(err) {
			t.Error("something was given up")
		}
		if n := testutil.ToFloat64(s.metrics.pushes.WithLabelValues("one", "429")); n != 1 {
			t.Errorf("%v pushes with 429", n)
		}
	})
}

// One bad entry of many is found by halving; all others arrive, in order.
func TestDeadLetter(t *testing.T) {
	var mu sync.Mutex
	var got []string
	pushes := 0
	reg := prometheus.NewRegistry()
	s, path := newShipper(t, Options{MinBackoff: time.Millisecond}, func(_ context.Context, _ string, req *push.PushRequest) error {
		mu.Lock()
		defer mu.Unlock()
		pushes++
		var lines []string
		for _, stream := range req.Streams {
			for _, e := range stream.Entries {
				if strings.HasPrefix(e.Line, "bad") {
					return status(400, 0)
				}
				lines = append(lines, e.Line)
			}
		}
		got = append(got, lines...)
		return nil
	}, reg)
	defer running(s)()
	f := NewFile(0xab, 0)
	w := s.Writer(f)
	var want []string
	for i := range 100 {
		body := fmt.Sprintf("good %d", i)
		if i == 37 {
			body = "bad \x00"
		} else {
			want = append(want, body)
		}
		if err := w.Add(t.Context(), stdout, line(i, body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("got %v", got)
	}
	if f.Committed() != 1000 || pushes > 20 || f.Refused() != 1 {
		t.Errorf("committed %d after %d pushes, %d refused", f.Committed(), pushes, f.Refused())
	}
	var letter Letter
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &letter); err != nil {
		t.Fatal(err)
	}
	if letter.Reason != "http_400" || letter.Line != "bad \x00" || letter.Offset != "370" || letter.FileID != "00000000000000ab" || letter.Labels == "" {
		t.Errorf("letter %+v", letter)
	}
	if n := testutil.ToFloat64(s.metrics.dead.WithLabelValues("http_400")); n != 1 {
		t.Errorf("%v counted", n)
	}
}

// What cannot be written down is not given up.
func TestDeadLetterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing")
		dead := NewDeadLetters(filepath.Join(dir, "dead"), 1<<20)
		defer dead.Close()
		s, err := New(Options{}, []Target{{"one", sink(func(context.Context, string, *push.PushRequest) error { return status(400, 0) })}}, dead, quiet, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer running(s)()
		f := NewFile(1, 0)
		if err := send(t.Context(), s.Writer(f), stdout, line(0, "x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // fake time
		if f.Committed() != 0 {
			t.Fatal("given up without a letter")
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := s.Drain(t.Context()); err != nil || f.Committed() != 10 {
			t.Errorf("committed %d, %v", f.Committed(), err)
		}
	})
}

func TestDeadLettersAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	d := NewDeadLetters(path, 1000)
	for range 50 {
		if err := d.write(Letter{Line: strings.Repeat("x", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".1"} {
		info, err := os.Stat(p)
		if err != nil || info.Size() > 1000 {
			t.Errorf("%s: %v, %v", p, info.Size(), err)
		}
	}
}

// Readers wait at the bound, and one tenant's outage leaves room for others.
func TestMemoryBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 1 << 20
		s, _ := newShipper(t, Options{MaxBytes: bound, BatchBytes: 64 << 10}, func(_ context.Context, tenant string, _ *push.PushRequest) error {
			if tenant == "down" {
				return status(503, 0)
			}
			return nil
		}, nil)
		defer running(s)()
		down := NewStream(faas.Ref{Tenant: "down", Function: "f"}, faas.Stdout, "h")
		f, g := NewFile(1, 0), NewFile(2, 0)
		fw, gw := s.Writer(f), s.Writer(g)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sent := 0
		var err error
		for err == nil {
			if err = send(ctx, fw, down, line(sent, strings.Repeat("x", 1000))); err == nil {
				sent++
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) || s.Unacknowledged() > bound/2+1200 || sent < 400 {
			t.Fatalf("%v after %d lines, %d bytes", err, sent, s.Unacknowledged())
		}
		for i := range 2000 {
			if err := gw.Add(t.Context(), stdout, line(i, strings.Repeat("x", 1000))); err != nil {
				t.Fatal(err)
			}
		}
		if err := gw.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) //nolint:forbidigo // fake time
		if g.Committed() != 20_000 || f.Committed() != 0 {
			t.Errorf("committed %d and %d", g.Committed(), f.Committed())
		}
	})
}

// A line larger than the whole bound still gets through, alone.
func TestLargerThanBound(t *testing.T) {
	s, _ := newShipper(t, Options{MaxBytes: 1000, BatchAge: time.Millisecond},
		func(context.Context, string, *push.PushRequest) error { return nil }, nil)
	defer running(s)()
	f := NewFile(1, 0)
	w := s.Writer(f)
	for i := range 3 {
		if err := send(t.Context(), w, stdout, line(i, strings.Repeat("x", 5000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drain(t.Context()); err != nil || f.Committed() != 30 {
		t.Errorf("committed %d, %v", f.Committed(), err)
	}
}

// Whatever order batches are answered in, and however often they fail, a
// file's offset never passes a line that is not stored, and gets to the end.
func TestOffsetsMoveInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctestRun(t, rt)
	})
}

func synctestRun(t *testing.T, rt *rapid.T) {
	const files = 3
	seed := rapid.Uint64().Draw(rt, "seed")
	n := rapid.IntRange(1, 60).Draw(rt, "lines")
	flush := rapid.SliceOfN(rapid.Bool(), 1, 10).Draw(rt, "flush")
	opts := Options{
		BatchBytes: int64(rapid.IntRange(1, 2000).Draw(rt, "batch")), InFlight: rapid.IntRange(1, 6).Draw(rt, "in flight"),
		MaxBytes: 4000, BatchAge: time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 3 * time.Millisecond,
	}
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(seed, 1))
		var mu sync.Mutex
		stored := map[string]bool{}
		var all [files]*File
		for i := range all {
			all[i] = NewFile(uint64(i), 0)
		}
		check := func() { // mu is held
			for i, f := range all {
				for o := int64(0); o < f.Committed(); o += 10 {
					if !stored[fmt.Sprintf("%d/%d", i, o)] && o%30 != 20 {
						t.Errorf("file %d is committed to %d, without %d", i, f.Committed(), o)
					}
				}
			}
		}
		s, _ := newShipper(t, opts, func(ctx context.Context, _ string, req *push.PushRequest) error {
			mu.Lock()
			wait, fate := time.Duration(dice.IntN(5))*time.Millisecond, dice.IntN(4)
			mu.Unlock()
			time.Sleep(wait) //nolint:forbidigo // fake time
			if fate == 0 {
				return status(503, 0)
			}
			mu.Lock()
			defer mu.Unlock()
			check()
			for _, stream := range req.Streams {
				for _, e := range stream.Entries {
					stored[e.Line] = true
				}
			}
			if fate == 1 {
				return errors.New("stored, but the answer was lost")
			}
			return ctx.Err()
		}, nil)
		stop := running(s)
		var senders sync.WaitGroup
		for i, f := range all {
			senders.Go(func() {
				w := s.Writer(f)
				for k := range n {
					if k%3 == 2 { // nothing to send
						w.Advance(int64(10*k + 10))
						continue
					}
					to := stdout
					if k%3 == 1 {
						to = NewStream(faas.Ref{Tenant: "other"}, faas.Stdout, "h")
					}
					if err := w.Add(t.Context(), to, line(k, fmt.Sprintf("%d/%d", i, 10*k))); err != nil {
						t.Error(err)
					}
					if flush[k%len(flush)] {
						if err := w.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
				if err := w.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		senders.Wait()
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		mu.Lock()
		check()
		mu.Unlock()
		for i, f := range all {
			if f.Committed() != int64(10*n) {
				t.Errorf("file %d is committed to %d of %d", i, f.Committed(), 10*n)
			}
		}
		stop()
	})
}
