package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

func parse[T any](t testing.TB, raw string) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(raw), v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A connection that breaks in the middle of an object, and one that is ended
// in good order, lose nothing: the watch goes on behind what was told.
func TestDisconnects(t *testing.T) {
	s := newAPIServer(t)
	s.put(t, pods, simplePod("u0", ""))
	s.locked(func() { s.cut[pods], s.end[pods] = 2, 3 }) // an end is a cut twice
	r := watch(t, s, func(o *Options) { o.NoEvents = true })
	s.until(t, func() bool { return s.asked("watch=1") >= 1 })
	for i := range 5 {
		s.put(t, pods, simplePod(fmt.Sprintf("u%d", i+1), ""))
	}
	for i := range 6 {
		r.event(t, fmt.Sprintf("kubernetes/u%d/app/0/demanded", i))
	}
	if all, watches := s.asked(pods), s.asked("watch=1"); all-watches != 1 || watches < 4 {
		t.Errorf("%d lists, %d watches", all-watches, watches)
	}
	seen := map[string]bool{}
	for _, id := range r.ids() {
		if seen[id] {
			t.Errorf("%s twice", id)
		}
		seen[id] = true
	}
}

// The watch resumes at a bookmark, not at the last object, which may be long forgotten.
func TestBookmark(t *testing.T) {
	s := newAPIServer(t)
	s.put(t, pods, simplePod("u0", "")) // version 101
	r := watch(t, s, func(o *Options) { o.NoEvents = true })
	r.event(t, "kubernetes/u0/app/0/demanded")
	s.until(t, func() bool { return s.asked("watch=1") >= 1 })
	s.locked(func() { s.end[pods] = 1 })
	s.put(t, events, kubeletEvent("x", "other", "Pulling", "", "10:00:00", 1)) // no pod has version 102
	s.until(t, func() bool { return s.asked("watch=1") >= 2 })
	if s.asked("resourceVersion=102&") != 1 {
		t.Errorf("asked %q", s.requests)
	}
}

// What the server has forgotten is listed again, and what vanished meanwhile
// is told to have stopped.
func TestGone(t *testing.T) {
	s := newAPIServer(t)
	s.pageSize = 2
	for i := range 5 {
		s.put(t, pods, simplePod(fmt.Sprintf("u%d", i), `{"name":"app","containerID":"containerd://c","state":{"running":{"startedAt":"2026-11-24T10:00:02Z"}}}`))
	}
	r := watch(t, s, nil)
	for i := range 5 {
		r.event(t, fmt.Sprintf("kubernetes/u%d/app/0/demanded", i))
	}
	s.locked(func() { // without a word to the watch
		delete(s.kinds[pods].objects, "u3")
		s.version++
		s.oldest = s.version
	})
	if d := r.event(t, "kubernetes/u3/app/0/stopped").Data.(faas.Stopped); d.Reason != "shutdown" || d.ExitCode != nil {
		t.Errorf("%+v", d)
	}
	for _, id := range r.ids() {
		if strings.HasSuffix(id, "/stopped") && id != "kubernetes/u3/app/0/stopped" {
			t.Errorf("not gone: %s", id)
		}
	}
}

// The token is read again for each request.
func TestTokenRotation(t *testing.T) {
	s := newAPIServer(t)
	s.token = "one"
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	s.put(t, pods, simplePod("u0", ""))
	r := watch(t, s, func(o *Options) { o.TokenFile, o.NoEvents = file, true })
	r.event(t, "kubernetes/u0/app/0/demanded")
	write("two")
	s.locked(func() { s.token, s.cut[pods] = "two", 1 })
	s.put(t, pods, simplePod("u1", ""))
	r.event(t, "kubernetes/u1/app/0/demanded")
}

// Failures double the wait up to its bound, are told once, and end.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var asked []time.Time
		ctx, cancel := context.WithCancel(t.Context())
		r := &reflector[pod]{
			log: slog.New(slog.NewTextHandler(&log, nil)), paths: []string{pods}, selectors: []string{""},
			client:  newClient(endpoint{base: "http://127.0.0.1:1", tokenFile: filepath.Join(t.TempDir(), "none")}),
			deliver: func(context.Context, changeKind, *pod) error { asked = append(asked, time.Now()); return nil },
		}
		time.AfterFunc(10*time.Minute, cancel)
		if err := r.run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(asked) < 20 || len(asked) > 55 {
			t.Errorf("asked %d times in 10 minutes", len(asked))
		}
		for i := 1; i < len(asked); i++ {
			wait := asked[i].Sub(asked[i-1])
			longest := min(firstBackoff<<min(i-1, 10), lastBackoff)
			if wait < longest/2 || wait > longest {
				t.Errorf("wait %d was %s", i, wait)
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings: %s", n, &log)
		}
	})
}

// A server that ends each watch at once is not asked in a hot loop.
func TestShortWatches(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.FormValue("watch") == "" {
			io.WriteString(w, `{"metadata":{"resourceVersion":"7"},"items":null}`)
		}
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r := &reflector[pod]{
		log: slog.New(slog.DiscardHandler), paths: []string{pods}, selectors: []string{""},
		client: newClient(endpoint{base: s.URL}), deliver: func(context.Context, changeKind, *pod) error { return nil },
	}
	defer r.client.close()
	if err := r.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// A list and a watch, and watches after at least 0.25 s and 0.5 s.
	if n := asked.Load(); n > 4 {
		t.Errorf("asked %d times in a second", n)
	}
}

// A node with thousands of pods and long annotations costs some kilobytes each.
func TestManyPods(t *testing.T) {
	const many = 5000
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("watch") != "" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[`)
		for i := range many {
			if i > 0 {
				io.WriteString(w, ",")
			}
			raw := simplePod(fmt.Sprintf("u%d", i), `{"name":"app","containerID":"containerd://c","imageID":"x@sha256:1","state":{"running":{"startedAt":"2026-11-24T10:00:02Z"}}}`)
			raw = strings.Replace(raw, `"labels":`, `"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"`+strings.Repeat("x", maxValue+1)+`"},"labels":`, 1)
			io.WriteString(w, raw)
		}
		io.WriteString(w, `]}`)
	}))
	defer s.Close()
	var peak, before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	told := make(chan struct{})
	n, emits := 0, 0
	o := options(t, newRecorder())
	o.URL, o.NoEvents, o.Known = s.URL, true, nil
	o.Emit = func(_ context.Context, events ...faas.Event) error {
		emits++
		if n += len(events); n == 2*many { // demanded and schedule
			runtime.GC()
			runtime.ReadMemStats(&peak)
			close(told)
		}
		return nil
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	<-told
	cancel()
	<-done
	each := (int64(peak.HeapAlloc) - int64(before.HeapAlloc)) / many
	t.Logf("%d pods: %d bytes each, %d emits", many, each, emits)
	if each > 8192 {
		t.Errorf("%d bytes a pod", each)
	}
	if emits > many/50 {
		t.Errorf("%d emits for %d pods: each is a sync", emits, many)
	}
}

func TestDecodeList(t *testing.T) {
	for body, want := range map[string]string{
		`{"items":[{"metadata":{"uid":"a"}},{"metadata":{"uid":"b"}}],"metadata":{"resourceVersion":"5","continue":"c"},"x":{"y":[1]}}`: "a b 5 c",
		`{"metadata":{"resourceVersion":"5"},"items":null}`:                                                                             " 5 ",
		`{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"uid":"a"}}`:                                                         "error",
		`{"metadata":{"resourceVersion":"5"},"items":{}}`:                                                                               "error",
		`[]`: "error",
		`{"items":[{"metadata":{"labels":{"a":"` + strings.Repeat("x", maxObject) + `"`: "error",
	} {
		var uids []string
		meta, err := decodeList(strings.NewReader(body), func(p *pod) error {
			uids = append(uids, p.Metadata.UID)
			return nil
		})
		got := "error"
		if err == nil {
			got = strings.Join(uids, " ") + " " + meta.ResourceVersion + " " + meta.Continue
		}
		if got != want {
			t.Errorf("%.100s: %q %v", body, got, err)
		}
	}
}
