package ship

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/faas"
)

func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // fake time
	synctest.Wait()
}

// slowSink takes a time for each push and notes when lines arrived.
type slowSink struct {
	takes time.Duration
	fail  func() error

	mu  sync.Mutex
	now int // in flight
	figures
}

// figures are what a slowSink saw.
type figures struct {
	pushes, lines int
	most          int // in flight
	lag           time.Duration
}

func (s *slowSink) seen() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.figures
}

func (s *slowSink) push(ctx context.Context, _ string, req *push.PushRequest) error {
	s.mu.Lock()
	s.pushes++
	s.now++
	s.most = max(s.most, s.now)
	for _, stream := range req.Streams {
		for _, e := range stream.Entries {
			s.lines++
			s.lag = max(s.lag, time.Since(e.Timestamp))
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if !wait(ctx, s.takes) {
		return ctx.Err()
	}
	if s.fail != nil {
		return s.fail()
	}
	return nil
}

// Lines of a hundred files are under way within a few batch ages, at few
// pushes a second, also to a target that takes 200 ms to answer.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		takes     time.Duration
		lag       time.Duration
		perSecond int
	}{
		{time.Millisecond, 32 * time.Millisecond, 34},
		{200 * time.Millisecond, 50 * time.Millisecond, 25},
	} {
		synctest.Test(t, func(t *testing.T) {
			to := &slowSink{takes: c.takes}
			s, _ := newShipper(t, Options{}, to.push, nil)
			defer running(s)()
			var files sync.WaitGroup
			for i := range 100 {
				files.Go(func() {
					w := s.Writer(NewFile(uint64(i), 0))
					time.Sleep(time.Duration(i) * 500 * time.Microsecond) //nolint:forbidigo // fake time
					for k := range 200 {                                  // 10 s
						if err := send(t.Context(), w, stdout, &Line{Time: time.Now(), Body: []byte("x"), Safe: int64(k)}); err != nil {
							t.Error(err)
						}
						time.Sleep(50 * time.Millisecond) //nolint:forbidigo // fake time
					}
				})
			}
			files.Wait()
			if err := s.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("answers in %s: the slowest after %s, %d pushes", c.takes, to.seen().lag, to.seen().pushes)
			if to.seen().lines != 20_000 || to.seen().lag > c.lag || to.seen().pushes > 10*c.perSecond {
				t.Errorf("answers in %s: %d lines, the slowest after %s, in %d pushes", c.takes, to.seen().lines, to.seen().lag, to.seen().pushes)
			}
		})
	}
}

// Many tenants do not mean as many pushes as they could make.
func TestPaceOfTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &slowSink{takes: time.Millisecond}
		s, _ := newShipper(t, Options{}, to.push, nil)
		defer running(s)()
		var files sync.WaitGroup
		for i := range 100 {
			tenant := NewStream(faas.Ref{Tenant: strconv.Itoa(i)}, faas.Stdout, "h")
			files.Go(func() {
				w := s.Writer(NewFile(uint64(i), 0))
				for k := range 100 { // 1 s
					if err := send(t.Context(), w, tenant, line(k, "x")); err != nil {
						t.Error(err)
					}
					time.Sleep(10 * time.Millisecond) //nolint:forbidigo // fake time
				}
			})
		}
		files.Wait()
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if to.seen().pushes > 700 {
			t.Errorf("%d pushes", to.seen().pushes)
		}
	})
}

// A target that asks for mercy gets it: fewer at once, then fewer a second;
// and what it can take again when it can.
func TestThrottle(t *testing.T) {
	for _, code := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			busy := true
			var to *slowSink
			to = &slowSink{takes: 100 * time.Millisecond, fail: func() error {
				to.mu.Lock()
				defer to.mu.Unlock()
				if busy {
					return status(code, 0)
				}
				return nil
			}}
			s, _ := newShipper(t, Options{BatchBytes: 1000, InFlight: 8}, to.push, nil)
			defer running(s)()
			ctx, cancel := context.WithCancel(t.Context())
			var writing sync.WaitGroup
			writing.Go(func() {
				w := s.Writer(NewFile(1, 0))
				for i := 0; ctx.Err() == nil; i++ {
					if err := send(ctx, w, stdout, line(i, strings.Repeat("x", 1000))); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					_ = wait(ctx, time.Millisecond)
				}
			})
			sleep(time.Second)
			if to.seen().most != 8 {
				t.Errorf("%d at once at first", to.seen().most)
			}
			sleep(time.Minute)
			before := to.seen().pushes
			sleep(time.Minute)
			if n := to.seen().pushes - before; n > 8*20 {
				t.Errorf("%d pushes in a minute to a target that takes none", n)
			}
			var ln *lane
			s.mu.Lock()
			for _, ln = range s.lanes {
				if !ln.throttled(8, time.Now()) || ln.limit > 1.5 {
					t.Errorf("limit %v, gap %s", ln.limit, ln.gap)
				}
			}
			s.mu.Unlock()
			to.mu.Lock()
			busy, to.most = false, 0
			to.mu.Unlock()
			sleep(time.Minute)
			s.mu.Lock()
			if ln.limit != 8 || ln.gap != 0 || to.seen().most != 8 {
				t.Errorf("after a minute: limit %v, gap %s, %d at once", ln.limit, ln.gap, to.seen().most)
			}
			s.mu.Unlock()
			cancel()
			writing.Wait()
		})
	}
}

// Retry-After holds for the whole lane.
func TestRetryAfterIsTheLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &slowSink{takes: time.Millisecond}
		to.fail = func() error {
			if to.seen().pushes == 1 {
				return status(429, 5*time.Second)
			}
			return nil
		}
		s, _ := newShipper(t, Options{}, to.push, nil)
		defer running(s)()
		w := s.Writer(NewFile(1, 0))
		for i := range 40 {
			if err := send(t.Context(), w, stdout, line(i, "x")); err != nil {
				t.Fatal(err)
			}
			sleep(100 * time.Millisecond)
		}
		if to.seen().pushes != 1 {
			t.Errorf("%d pushes within 4 s", to.seen().pushes)
		}
		sleep(3 * time.Second)
		if to.seen().lines != 41 { // the first one twice
			t.Errorf("%d lines in the end", to.seen().lines)
		}
	})
}

// All files get on when memory is scarce, and none of them waits for ever.
func TestManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &slowSink{takes: 10 * time.Millisecond}
		s, _ := newShipper(t, Options{MaxBytes: 100_000, BatchBytes: 20_000}, to.push, nil)
		defer running(s)()
		var files sync.WaitGroup
		for i := range 200 {
			f := NewFile(uint64(i), 0)
			files.Go(func() {
				w := s.Writer(f)
				for k := range 50 {
					if err := w.Add(t.Context(), stdout, line(k, strings.Repeat("x", 500))); err != nil {
						t.Error(err)
					}
					if n := s.Unacknowledged(); n > 100_000 {
						t.Errorf("%d bytes", n)
					}
				}
				if err := w.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		files.Wait()
		if err := s.Drain(t.Context()); err != nil || to.seen().lines != 200*50 {
			t.Errorf("%d lines, %v", to.seen().lines, err)
		}
		if n := s.holding.Load(); n != 0 {
			t.Errorf("%d writers hold something", n)
		}
	})
}

// What could not be handed over when ctx ended is still there for the next pass.
func TestFlushInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		to := &slowSink{takes: time.Millisecond}
		to.fail = func() error {
			if !up.Load() {
				return errors.New("down")
			}
			return nil
		}
		s, _ := newShipper(t, Options{MaxBytes: 1000}, to.push, nil)
		defer running(s)()
		f := NewFile(1, 0)
		w := s.Writer(f)
		other := NewStream(faas.Ref{Tenant: "other"}, faas.Stdout, "h")
		if err := send(t.Context(), w, stdout, line(0, strings.Repeat("x", 900))); err != nil {
			t.Fatal(err)
		}
		for i, to := range []*Stream{other, stdout} {
			if err := w.Add(t.Context(), to, line(i+1, "y")); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		up.Store(true)
		sleep(time.Minute)
		if f.Committed() != 10 {
			t.Errorf("committed %d before the rest was handed over", f.Committed())
		}
		w.Advance(35)
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Drain(t.Context()); err != nil || f.Committed() != 35 || f.Acknowledged().IsZero() || s.LastAcknowledged().IsZero() {
			t.Errorf("committed %d at %s, %v", f.Committed(), f.Acknowledged(), err)
		}
	})
}

func TestLaneMetricsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s, _ := newShipper(t, Options{}, func(context.Context, string, *push.PushRequest) error { return status(503, 0) }, reg)
		defer running(s)()
		for i := range 300 {
			to := NewStream(faas.Ref{Tenant: fmt.Sprintf("t\xff%d", i)}, faas.Stdout, "h")
			if err := send(t.Context(), s.Writer(NewFile(uint64(i), 0)), to, line(1, strings.Repeat("x", i))); err != nil {
				t.Fatal(err)
			}
		}
		sleep(time.Second)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != "coldscope_collector_unacknowledged_bytes" {
				continue
			}
			sum := 0.0
			for _, m := range family.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
			if len(family.GetMetric()) != 101 || int64(sum) != s.Unacknowledged() {
				t.Errorf("%d series with %v bytes", len(family.GetMetric()), sum)
			}
			return
		}
		t.Error("no such metric")
	})
}

// What comes a line at a time leaves as one stream, events first, and in the
// order in which it came.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		s, _ := newShipper(t, Options{}, func(_ context.Context, _ string, req *push.PushRequest) error {
			for _, stream := range req.Streams {
				got = append(got, stream.Labels[len(stream.Labels)-8:])
				for _, e := range stream.Entries {
					got = append(got, e.Line)
				}
			}
			return nil
		}, nil)
		defer running(s)()
		stderr := NewStream(faas.Ref{Function: "f", Instance: "i"}, faas.Stderr, "h")
		f := NewFile(1, 0)
		w := s.Writer(f)
		for i, to := range []*Stream{stdout, stderr, events, stdout, events, stderr, stdout} {
			if err := send(t.Context(), w, to, line(i, strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Drain(t.Context()); err != nil || f.Committed() != 70 {
			t.Fatal(err, f.Committed())
		}
		want := `atform"} 2 4 stdout"} 0 3 6 stderr"} 1 5`
		if text := strings.Join(got, " "); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	})
}
