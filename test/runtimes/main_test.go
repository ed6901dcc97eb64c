// Package runtimes shows that a cold start is told from outside: real
// containers of dockerd and of containerd, started by a platform that keeps its
// own account of each start, are seen by a real collector, which is told
// nothing, and both accounts are put side by side.
package runtimes

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "runtimes")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// scratch is a directory of this run.
var scratch string

// patience is how long the tests wait for what must come.
const patience = 40 * time.Second

// host is the source of the collector's events.
const host = "outside"

// line is a line as it was shipped.
type line struct {
	faas.Ref
	Stream faas.Stream
	Body   string
	Time   time.Time
}

// sink takes what a collector ships, or what a platform sends. What comes again
// is kept once, as the store does.
type sink struct {
	t       *testing.T
	mu      sync.Mutex
	changed chan struct{} // closed and replaced on every change
	events  []faas.Event
	known   map[[2]string]bool // source and ID of events
	lines   map[[2]string]line // by file and offset
}

func newSink(t *testing.T) *sink {
	return &sink{t: t, changed: make(chan struct{}), known: map[[2]string]bool{}, lines: map[[2]string]line{}}
}

// SendEvents implements functionhost.Sink.
func (s *sink) SendEvents(_ context.Context, events []faas.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		s.add(events[i])
	}
	s.tell()
	return nil
}

// add and tell are called with mu held.
func (s *sink) add(e faas.Event) {
	key := [2]string{e.Source, e.ID}
	if !s.known[key] {
		s.known[key] = true
		s.events = append(s.events, e)
	}
}

func (s *sink) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// PushEncoded implements ship.Sink.
func (s *sink) PushEncoded(_ context.Context, tenant string, raw []byte) error {
	req, err := wire.DecodeRaw(raw)
	if err != nil {
		s.t.Errorf("push: %v", err)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	for _, stream := range req.Streams {
		labels, err := wire.ParseLabels(stream.Labels)
		if err != nil {
			s.t.Errorf("push: %v", err)
			continue
		}
		of := map[string]string{}
		for _, l := range labels {
			of[l.Name] = l.Value
		}
		for _, e := range stream.Entries {
			if of[wire.LabelStream] == string(faas.Platform) {
				event, err := wire.DecodeEvent([]byte(e.Line), tenant)
				if err != nil {
					s.t.Errorf("event %q: %v", e.Line, err)
					continue
				}
				s.add(event)
				continue
			}
			meta := map[string]string{}
			for _, m := range e.StructuredMetadata {
				meta[m.Name] = m.Value
			}
			s.lines[[2]string{meta[wire.MetaFileID], meta[wire.MetaOffset]}] = line{
				Ref: faas.Ref{
					Tenant: tenant, Namespace: of[wire.LabelNamespace], Function: of[wire.LabelFunction],
					Version: of[wire.LabelVersion], Instance: of[wire.LabelInstance],
				},
				Stream: faas.Stream(of[wire.LabelStream]), Body: e.Line, Time: e.Timestamp,
			}
		}
	}
	return nil
}

// of gives an instance's events, in the order in which they came.
func (s *sink) of(instance string) []faas.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ofLocked(instance)
}

func (s *sink) ofLocked(instance string) []faas.Event {
	var out []faas.Event
	for i := range s.events {
		if s.events[i].Instance == instance {
			out = append(out, s.events[i])
		}
	}
	return out
}

// linesOf gives an instance's lines by time.
func (s *sink) linesOf(instance string) []line {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []line
	for l := range maps.Values(s.lines) {
		if l.Instance == instance {
			out = append(out, l)
		}
	}
	slices.SortStableFunc(out, func(a, b line) int { return a.Time.Compare(b.Time) })
	return out
}

// wait waits until ok, which is called with mu held.
func (s *sink) wait(what string, ok func() bool, missing func() string) {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("%s did not come; there is\n%s", what, missing())
		}
	}
}

// await waits until the instance has all of the facts.
func (s *sink) await(instance string, facts ...string) []faas.Event {
	s.t.Helper()
	told := func() []string {
		var all []string
		for _, e := range s.ofLocked(instance) {
			all = append(all, factOf(&e))
		}
		return all
	}
	s.wait(fmt.Sprintf("of %s all of %v", instance, facts), func() bool {
		all := told()
		return !slices.ContainsFunc(facts, func(f string) bool { return !slices.Contains(all, f) })
	}, func() string { return strings.Join(told(), "\n") })
	return s.of(instance)
}

// awaitLines waits until the instance has n lines.
func (s *sink) awaitLines(instance string, n int) []line {
	s.t.Helper()
	count := func() (found int) {
		for _, l := range s.lines {
			if l.Instance == instance {
				found++
			}
		}
		return found
	}
	s.wait(fmt.Sprintf("of %s %d lines", instance, n), func() bool { return count() >= n }, func() string { return strconv.Itoa(count()) })
	return s.linesOf(instance)
}

// factOf names what an event says: demanded, ready, stopped, a phase's name, or
// layer with its digest.
func factOf(e *faas.Event) string {
	switch d := e.Data.(type) {
	case faas.PhaseDone:
		return string(d.Name)
	case faas.LayerPulled:
		return "layer " + d.Digest
	}
	return strings.TrimPrefix(string(e.Type()), "dev.coldscope.instance.")
}

// one finds the data of one kind, the last if there are several.
func one[T faas.Data](events []faas.Event, fact string) (data T, at time.Time, ok bool) {
	for i := range events {
		if d, is := events[i].Data.(T); is && factOf(&events[i]) == fact {
			data, at, ok = d, events[i].Time, true
		}
	}
	return data, at, ok
}

// collect runs a collector, as it comes but for what set changes, until the
// test's end. watching is closed when its log has said the given message.
func collect(t *testing.T, says string, set func(*collector.Config)) (c *collector.Collector, out *sink) {
	t.Helper()
	sock, err := os.MkdirTemp("", "cs") //nolint:usetesting // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sock) })
	cfg := collector.Config{DataDir: t.TempDir(), Socket: filepath.Join(sock, "s"), Host: host, CRI: []string{}}
	set(&cfg)
	said := &logged{message: says, said: make(chan struct{}), t: t}
	out = newSink(t)
	c, err = collector.New(cfg, collector.Deps{
		Sink: out, Logger: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	select {
	case <-said.said:
	case <-time.After(patience):
		t.Fatalf("the collector did not say %q", says)
	}
	return c, out
}

// logged is a log that is waited for to say something.
type logged struct {
	t       *testing.T
	message string
	mu      sync.Mutex
	said    chan struct{}
	over    bool
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.t.Output(), "collector: %s", p)
	if !l.over && bytes.Contains(p, []byte(l.message)) {
		l.over = true
		close(l.said)
	}
	return len(p), nil
}

// unique is a name that no other run has.
func unique(prefix string) string { return prefix + "-" + strconv.FormatInt(time.Now().UnixNano(), 36) }

// byTime orders events as they happened.
func byTime(events []faas.Event) []faas.Event {
	slices.SortStableFunc(events, func(a, b faas.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	return events
}
