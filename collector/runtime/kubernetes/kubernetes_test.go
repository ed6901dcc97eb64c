package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// A whole start, from the pod and its events, whichever comes first.
func TestStart(t *testing.T) {
	for _, order := range []string{"pod first", "events first", "listed"} {
		t.Run(order, func(t *testing.T) {
			s := newAPIServer(t)
			all := eventsOf(t, "events_start.json")
			putEvents := func() {
				for _, e := range all {
					s.put(t, events, e)
				}
			}
			var r *recorder
			switch order {
			case "pod first":
				r = watch(t, s, nil)
				s.put(t, pods, load(t, "pod_running.json"))
				r.event(t, "kubernetes/"+uid+"/user-container/0/demanded")
				putEvents()
			case "events first":
				s.put(t, events, all[0])
				r = watch(t, s, nil)
				putEvents()
				s.put(t, pods, load(t, "pod_running.json"))
			case "listed":
				s.put(t, pods, load(t, "pod_running.json"))
				putEvents()
				r = watch(t, s, nil)
			}
			ref := faas.Ref{Tenant: "default", Namespace: "shop", Function: "cart", Version: "cart-00007", Instance: uid}
			prefix := "kubernetes/" + uid + "/user-container"
			want := map[string]faas.Event{
				prefix + "/0/demanded": {Time: at("10:00:00"), Data: faas.Demanded{
					Initialization: faas.OnDemand, Image: "registry.example:5000/cart:7", Digest: "sha256:cccc",
					Registry: "registry.example:5000", MemoryLimit: 256 << 20,
				}},
				prefix + "/schedule/event": {Time: at("10:00:00.400123"), Data: faas.PhaseDone{
					Name: faas.PhaseSchedule, Start: at("10:00:00"), End: at("10:00:00.400123"),
					Attributes: faas.Attributes{"observer": "kubernetes", "precision": "1s"},
				}},
				"kubernetes/event/e2/1/queue": {Time: at("10:00:03.255"), Data: faas.PhaseDone{
					Name: faas.PhaseQueue, Start: at("10:00:02.6"), End: at("10:00:03.255"),
					Attributes: faas.Attributes{"observer": "kubernetes", "image": "registry.example:5000/cart:7", "for": "pull"},
				}},
				"kubernetes/event/e2/1/pull": {Time: at("10:00:05.6"), Data: faas.PhaseDone{
					Name: faas.PhasePull, Start: at("10:00:03.255"), End: at("10:00:05.6"),
					Attributes: faas.Attributes{"observer": "kubernetes", "image": "registry.example:5000/cart:7", "bytes": "49123456"},
				}},
				"kubernetes/event/e3/1/create": {Time: at("10:00:05.75"), Data: faas.PhaseDone{
					Name: faas.PhaseCreate, Start: at("10:00:05.6"), End: at("10:00:05.75"), Attributes: faas.Attributes{"observer": "kubernetes"},
				}},
				"kubernetes/event/e4/1/start": {Time: at("10:00:06.1"), Data: faas.PhaseDone{
					Name: faas.PhaseStart, Start: at("10:00:05.75"), End: at("10:00:06.1"), Attributes: faas.Attributes{"observer": "kubernetes"},
				}},
			}
			for id, e := range want {
				e.ID, e.Source, e.Ref = id, "host-a", ref
				if diff := cmp.Diff(e, r.event(t, id)); diff != "" {
					t.Errorf("%s: %s", id, diff)
				}
			}
			for _, id := range r.ids() {
				if strings.Contains(id, "queue-proxy") || strings.Contains(id, "/e5/") || strings.Contains(id, "setup") {
					t.Errorf("an event of nobody's container: %s", id)
				}
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			names := map[string]workload.Container{}
			for _, c := range r.known {
				names[c.Name] = c
			}
			if len(names) != 3 || len(r.known) != 3 || names["user-container"].ID != "3333" || names["queue-proxy"].ID != "2222" ||
				names["setup"].Pod.Labels["serving.knative.dev/service"] != "cart" {
				t.Errorf("known: %+v", r.known)
			}
		})
	}
}

// The pod's status alone, with all events missing.
func TestWithoutEvents(t *testing.T) {
	s := newAPIServer(t)
	r := watch(t, s, func(o *Options) {
		o.NoEvents = true
		o.now = func() time.Time { return at("12:00:00") }
		o.Exited = func(id string) workload.Usage {
			return workload.Usage{MemoryPeak: int64(len(id)) << 20, CPUTime: 3 * time.Second}
		}
	})
	id := "kubernetes/u1/app"
	s.put(t, pods, simplePod("u1", ""))
	if d := r.event(t, id+"/0/demanded").Data.(faas.Demanded); d.Digest != "" || d.Image != "r.example/app:1" {
		t.Errorf("%+v", d)
	}
	r.event(t, id+"/schedule")

	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff",
		"message":"Back-off pulling image \"r.example/app:1\": ErrImagePull: r.example/app:1: not found"}}}`))
	p := r.event(t, id+"/0/failed").Data.(faas.PhaseDone)
	want := faas.Attributes{"observer": "kubernetes", "precision": "receipt", "error_class": "not_found", "image": "r.example/app:1"}
	if p.Name != faas.PhasePull || !strings.Contains(p.Error, "not found") || !p.Start.Equal(p.End) || cmp.Diff(want, p.Attributes) != "" {
		t.Errorf("%+v", p)
	}

	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":0,"imageID":"r.example/app@sha256:dd","containerID":"containerd://c0",
		"state":{"running":{"startedAt":"2026-11-24T10:01:00Z"}}}`))
	if d := r.event(t, id+"/0/image").Data.(faas.Demanded); d.Digest != "sha256:dd" {
		t.Errorf("%+v", d)
	}

	// Killed for its memory, then waiting, then again.
	oom := `{"terminated":{"exitCode":137,"reason":"OOMKilled","startedAt":"2026-11-24T10:01:00Z","finishedAt":"2026-11-24T10:05:00Z","containerID":"containerd://c0"}}`
	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":0,"containerID":"containerd://c0","imageID":"r.example/app@sha256:dd",
		"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":`+oom+`}`))
	stopped := r.event(t, id+"/0/stopped")
	code := 137
	if diff := cmp.Diff(faas.Stopped{Reason: "oom", OOM: true, ExitCode: &code, MemoryPeak: 2 << 20, CPUTime: 3}, stopped.Data); diff != "" || !stopped.Time.Equal(at("10:05:00")) {
		t.Errorf("%s %s", stopped.Time, diff)
	}
	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":1,"containerID":"containerd://c1","imageID":"r.example/app@sha256:dd",
		"state":{"running":{"startedAt":"2026-11-24T10:05:20Z"}},"lastState":`+oom+`}`))
	again := r.event(t, id+"/1/demanded")
	if !again.Time.Equal(at("10:05:00")) || again.Data.(faas.Demanded).Digest != "sha256:dd" {
		t.Errorf("%+v", again)
	}

	// Deleted while it runs: nothing says how it ended.
	s.remove(t, pods, simplePod("u1", `{"name":"app","restartCount":1,"containerID":"containerd://c1","imageID":"r.example/app@sha256:dd",
		"state":{"running":{"startedAt":"2026-11-24T10:05:20Z"}},"lastState":`+oom+`}`))
	end := r.event(t, id+"/1/stopped")
	if d := end.Data.(faas.Stopped); d.Reason != "shutdown" || d.ExitCode != nil || !end.Time.Equal(at("12:00:00")) {
		t.Errorf("%+v", end)
	}
	seen := map[string]bool{}
	for _, id := range r.ids() {
		if seen[id] {
			t.Errorf("%s twice", id)
		}
		seen[id] = true
	}
}

// A collector that starts in the middle tells the same of what it still can see.
func TestRestartedInTheMiddle(t *testing.T) {
	s := newAPIServer(t)
	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":4,"containerID":"containerd://c4",
		"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1,"reason":"Error",
		"startedAt":"2026-11-24T10:04:00Z","finishedAt":"2026-11-24T10:04:05Z","containerID":"containerd://c4"}}}`))
	r := watch(t, s, nil)
	if e := r.event(t, "kubernetes/u1/app/4/demanded"); !e.Time.Equal(at("10:04:00")) {
		t.Errorf("%+v", e)
	}
	if e := r.event(t, "kubernetes/u1/app/4/stopped"); e.Data.(faas.Stopped).Reason != "error" || *e.Data.(faas.Stopped).ExitCode != 1 {
		t.Errorf("%+v", e)
	}
}

// An instance can be one run of a container: the old run's end is the old
// instance's, though the new one is known already.
func TestInstancePerRun(t *testing.T) {
	s := newAPIServer(t)
	m, err := workload.NewMapper(workload.Options{
		Presets:   []string{"template"},
		Templates: []workload.Template{{Function: "{container.name}", Instance: "{pod.uid}-{annotation." + restartAnnotation + "}"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := watch(t, s, func(o *Options) { o.Whose = m.Ref })
	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":1,"containerID":"containerd://c1","state":{"running":{"startedAt":"2026-11-24T10:05:20Z"}},
		"lastState":{"terminated":{"exitCode":2,"reason":"Error","finishedAt":"2026-11-24T10:05:00Z","containerID":"containerd://c0"}}}`))
	if e := r.event(t, "kubernetes/u1/app/1/demanded"); e.Instance != "u1-1" {
		t.Errorf("%+v", e)
	}
	if e := r.event(t, "kubernetes/u1/app/0/stopped"); e.Instance != "u1-0" {
		t.Errorf("%+v", e)
	}
}

func TestFailedPulls(t *testing.T) {
	s := newAPIServer(t)
	r := watch(t, s, nil)
	s.put(t, pods, simplePod("u1", `{"name":"app","restartCount":0,"state":{"waiting":{"reason":"ErrImagePull","message":"unauthorized: token expired"}}}`))
	s.put(t, events, kubeletEvent("a", "u1", "Pulling", `Pulling image "r.example/app:1"`, "10:00:01", 1))
	s.put(t, events, kubeletEvent("b", "u1", "Failed", `Failed to pull image "r.example/app:1": unauthorized: token expired`, "10:00:04", 1))
	s.put(t, events, kubeletEvent("c", "u1", "Failed", `Error: ErrImagePull`, "10:00:04", 1))
	s.put(t, events, kubeletEvent("d", "u1", "BackOff", `Back-off pulling image "r.example/app:1"`, "10:00:05", 3))
	s.put(t, events, kubeletEvent("e", "u1", "Pulling", `Pulling image "r.example/app:1"`, "10:00:19", 2))
	s.put(t, events, kubeletEvent("f", "u1", "Pulled", `Successfully pulled image "r.example/app:1" in 500ms`, "10:00:20", 1))
	s.put(t, events, kubeletEvent("g", "u1", "Failed", `Error: failed to create containerd task: exec: "/app": permission denied`, "10:00:21", 1))
	want := []faas.Event{
		{ID: "kubernetes/event/b/1/failed", Time: at("10:00:04"), Data: faas.PhaseDone{
			Name: faas.PhasePull, Start: at("10:00:01"), End: at("10:00:04"), Error: "unauthorized: token expired",
			Attributes: faas.Attributes{"observer": "kubernetes", "precision": "1s", "image": "r.example/app:1", "error_class": "credentials_expired"},
		}},
		{ID: "kubernetes/event/f/1/pull", Time: at("10:00:20"), Data: faas.PhaseDone{
			Name: faas.PhasePull, Start: at("10:00:19.5"), End: at("10:00:20"),
			Attributes: faas.Attributes{"observer": "kubernetes", "precision": "1s", "image": "r.example/app:1"},
		}},
		{ID: "kubernetes/event/g/1/failed", Time: at("10:00:21"), Data: faas.PhaseDone{
			Name: faas.PhaseCreate, Start: at("10:00:20"), End: at("10:00:21"), Error: `failed to create containerd task: exec: "/app": permission denied`,
			Attributes: faas.Attributes{"observer": "kubernetes", "precision": "1s", "image": "r.example/app:1"},
		}},
	}
	r.event(t, want[2].ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []faas.Event
	for _, e := range r.events {
		if strings.HasPrefix(e.ID, "kubernetes/event/") {
			e.Source, e.Ref = "", faas.Ref{}
			got = append(got, e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A failure that no event tells is told from the pod's status, a while later.
func TestFailureWithoutEvent(t *testing.T) {
	o := options(t, newRecorder())
	clock := at("10:00:10")
	o.now = func() time.Time { return clock }
	n := newNode(&o)
	waiting := parse[pod](t, simplePod("u1", `{"name":"app","state":{"waiting":{"reason":"ErrImagePull","message":"x: no such host"}}}`))
	told := func() (all []faas.PhaseDone) {
		for _, e := range n.out {
			if p, ok := e.Data.(faas.PhaseDone); ok && p.Name == faas.PhasePull {
				all = append(all, p)
			}
		}
		return all
	}
	n.change(change{kind: applied, pod: waiting})
	clock = clock.Add(failureWait - time.Second)
	if n.look(); len(told()) != 0 {
		t.Errorf("too early: %+v", told())
	}
	clock = clock.Add(time.Second)
	n.look()
	n.look()
	if got := told(); len(got) != 1 || !got[0].End.Equal(at("10:00:10")) || got[0].Attributes["error_class"] != "dns" {
		t.Errorf("%+v", got)
	}
}

// Other nodes' events are nobody's here, and kept for nobody.
func TestForeignEvents(t *testing.T) {
	n := newNode(&Options{NodeName: "node-b", Logger: options(t, newRecorder()).Logger, now: time.Now})
	for _, raw := range eventsOf(t, "events_start.json") {
		n.change(change{kind: applied, event: parse[event](t, raw)})
	}
	if len(n.early) != 0 {
		t.Errorf("kept %d", len(n.early))
	}
	n.opts.NodeName = "node-a"
	clock := at("10:00:00")
	n.opts.now = func() time.Time { return clock }
	for range maxEarly {
		n.change(change{kind: applied, event: parse[event](t, eventsOf(t, "events_start.json")[1])})
	}
	n.change(change{kind: applied, event: parse[event](t, eventsOf(t, "events_start.json")[0])})
	if len(n.early) != maxEarly || !n.dropped {
		t.Errorf("kept %d, dropped %v", len(n.early), n.dropped)
	}
	clock = clock.Add(maxEarlyAge + time.Second)
	if n.look(); len(n.early) != 0 {
		t.Errorf("kept %d after %s", len(n.early), maxEarlyAge)
	}
}

// A static pod's log directory and its containers' labels have its
// configuration's hash for a UID.
func TestMirrorPod(t *testing.T) {
	p := parse[pod](t, `{"metadata":{"uid":"api","annotations":{"kubernetes.io/config.hash":"h4sh","kubernetes.io/config.mirror":"h4sh"}}}`)
	if p.uid() != "h4sh" {
		t.Error(p.uid())
	}
}

func TestNowhere(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	w, err := New(options(t, newRecorder()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for what, change := range map[string]func(*Options){
		"Emit":        func(o *Options) { o.Emit = nil },
		"URL":         func(o *Options) { o.URL = "unix:///x" },
		"node's name": func(o *Options) { o.URL, o.NodeName = "https://h:1", "" },
		"certificate": func(o *Options) { o.URL, o.CertFile = "https://h:1", "x" },
	} {
		o := options(t, newRecorder())
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	w, err := New(options(t, newRecorder()))
	if err != nil || w.client.base != "https://[fd00::1]:443" || w.client.tokenFile != serviceAccount+"token" {
		t.Errorf("%v %+v", err, w.client)
	}
}

// The events' own API does where the core one is forbidden.
func TestForbidden(t *testing.T) {
	s := newAPIServer(t)
	s.refused[events] = http.StatusForbidden
	s.put(t, pods, simplePod("u1", ""))
	s.put(t, events, `{"metadata":{"name":"app.18eaf2d6061c3900x","uid":"e1"},"regarding":{"kind":"Pod","uid":"u1","fieldPath":"spec.containers{app}"},
		"reason":"Pulled","note":"Successfully pulled image \"i\" in 2s","deprecatedSource":{"component":"kubelet","host":"node-a"},
		"deprecatedFirstTimestamp":"2026-11-24T10:00:05Z","deprecatedLastTimestamp":"2026-11-24T10:00:05Z","deprecatedCount":1,"eventTime":null}`)
	r := watch(t, s, nil)
	p := r.event(t, "kubernetes/event/e1/1/pull").Data.(faas.PhaseDone)
	if !p.Start.Equal(at("10:00:03")) || p.Attributes["precision"] != "1s" {
		t.Errorf("%+v", p)
	}
}
