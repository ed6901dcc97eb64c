package kubernetes

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pods   = "/api/v1/pods"
	events = "/api/v1/events"
	uid    = "5f1c7e0a-3d5b-4c57-9d53-0a5b1d7e2f11"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, "2026-11-24T"+s+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

// recorder is what a watcher's owner sees.
type recorder struct {
	mu     sync.Mutex
	events []faas.Event
	known  []workload.Container
	wake   chan struct{} // of size 1
}

func newRecorder() *recorder { return &recorder{wake: make(chan struct{}, 1)} }

func (r *recorder) emit(_ context.Context, events ...faas.Event) error {
	r.mu.Lock()
	r.events = append(r.events, events...)
	r.mu.Unlock()
	r.poke()
	return nil
}

func (r *recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *recorder) find(id string) (faas.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.ID == id {
			return e, true
		}
	}
	return faas.Event{}, false
}

func (r *recorder) ids() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		ids = append(ids, e.ID)
	}
	return ids
}

// event waits for the event with this ID.
func (r *recorder) event(t *testing.T, id string) faas.Event {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		if e, ok := r.find(id); ok {
			return e
		}
		select {
		case <-r.wake:
		case <-deadline.C:
			t.Fatalf("no event %s, but %q", id, r.ids())
		}
	}
}

func options(t *testing.T, r *recorder) Options {
	t.Helper()
	m, err := workload.NewMapper(workload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		NodeName: "node-a", Source: "host-a", Whose: m.Ref, Emit: r.emit,
		Known: func(c *workload.Container) {
			r.mu.Lock()
			r.known = append(r.known, *c)
			r.mu.Unlock()
		},
		Logger: slog.New(slog.DiscardHandler),
	}
}

// watch runs a watcher of s until the test ends.
func watch(t *testing.T, s *apiServer, change func(*Options)) *recorder {
	t.Helper()
	r := newRecorder()
	o := options(t, r)
	dir := t.TempDir()
	o.URL, o.CAFile = s.URL, filepath.Join(dir, "ca.crt")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(o.CAFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func load(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventsOf gives each of a file's events as JSON.
func eventsOf(t testing.TB, name string) (all []string) {
	t.Helper()
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(load(t, name)), &raw); err != nil {
		t.Fatal(err)
	}
	for _, b := range raw {
		all = append(all, string(b))
	}
	return all
}

// simplePod is a pod of namespace shop with one container, app.
func simplePod(uid, status string) string {
	return fmt.Sprintf(`{"metadata":{"name":"app-%s","namespace":"shop","uid":%q,"creationTimestamp":"2026-11-24T10:00:00Z",
		"labels":{"app":"cart"}},"spec":{"nodeName":"node-a","containers":[{"name":"app","image":"r.example/app:1"}]},
		"status":{"conditions":[{"type":"PodScheduled","status":"True","lastTransitionTime":"2026-11-24T10:00:00Z"}],
		"containerStatuses":[%s]}}`, uid, uid, status)
}

// kubeletEvent is an event about simplePod's container, in whole seconds only.
func kubeletEvent(eventUID, podUID, reason, message, clock string, count int) string {
	m, _ := json.Marshal(message)
	return fmt.Sprintf(`{"metadata":{"name":"app-%s.x%s","uid":%q,"namespace":"shop"},"reason":%q,"message":%s,
		"involvedObject":{"kind":"Pod","uid":%q,"fieldPath":"spec.containers{app}"},"source":{"component":"kubelet","host":"node-a"},
		"firstTimestamp":"2026-11-24T%sZ","lastTimestamp":"2026-11-24T%sZ","count":%d,"type":"Normal","eventTime":null}`,
		podUID, eventUID, eventUID, reason, m, podUID, clock, clock, count)
}
