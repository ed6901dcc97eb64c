package kubernetes

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

func TestParsePulled(t *testing.T) {
	const ms = time.Millisecond
	for text, want := range map[string]pulled{
		`Successfully pulled image "r:5000/a/b:1"`:                                                           {image: "r:5000/a/b:1"},
		`Successfully pulled image "b" in 2.345s`:                                                            {image: "b", pull: 2345 * ms},
		`Successfully pulled image "b" in 1.2s (1.5s including waiting)`:                                     {image: "b", pull: 1200 * ms, waiting: 1500 * ms},
		`Successfully pulled image "b" in 345ms (1m2.3s including waiting). Image size: 12345 bytes.`:        {image: "b", pull: 345 * ms, waiting: 62300 * ms, size: 12345},
		`Container image "b" already present on machine`:                                                     {image: "b", cached: true},
		`Container image "b" already present on machine and can be accessed by the pod`:                      {image: "b", cached: true},
		`spec.containers{app}: Successfully pulled image "b" in 1s`:                                          {image: "b", pull: time.Second},
		`(combined from similar events): Successfully pulled image "b" in 1s (1s including waiting)`:         {image: "b", pull: time.Second, waiting: time.Second},
		`Successfully pulled image "b" in 1.2s.`:                                                             {image: "b", pull: 1200 * ms},
		`Successfully pulled image "b" in soon (never including waiting). Image size: -1 bytes.`:             {image: "b"},
		`Successfully pulled image "b" in 900000h`:                                                           {image: "b"},
		`Successfully pulled image "b" in 2562047h47m16.854775807s (1ns including waiting). Image size: 9 b`: {image: "b", waiting: 1, size: 9},
	} {
		got, ok := parsePulled(text)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(pulled{})); diff != "" || !ok {
			t.Errorf("%s: %v %s", text, ok, diff)
		}
	}
	for _, text := range []string{"", "Pulled", `Successfully pulled image b`, `Successfully pulled image "b`, `Container image "b" is somewhere`} {
		if got, ok := parsePulled(text); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestParseFailure(t *testing.T) {
	for text, want := range map[string]failure{
		`Failed to pull image "b": rpc error: code = NotFound desc = b: not found`: {pull: true, text: "rpc error: code = NotFound desc = b: not found"},
		`Back-off pulling image "b"`:                                                        {pull: true, backOff: true, text: `Back-off pulling image "b"`},
		`Back-off pulling image "b": ErrImagePull: x`:                                       {pull: true, backOff: true, text: `Back-off pulling image "b": ErrImagePull: x`},
		`Container image "b" is not present with pull policy of Never`:                      {pull: true, text: `Container image "b" is not present with pull policy of Never`},
		`Failed to apply default image tag "B:1": couldn't parse image name "B:1": invalid`: {pull: true, text: `"B:1": couldn't parse image name "B:1": invalid`},
		`Error: failed to start container "app": OCI runtime create failed`:                 {text: `failed to start container "app": OCI runtime create failed`},
		`spec.containers{app}: Failed to pull image "b": x`:                                 {pull: true, text: "x"},
	} {
		if got, ok := parseFailure(text); !ok || got != want {
			t.Errorf("%s: %v %+v", text, ok, got)
		}
	}
	for _, text := range []string{"", "Error: ErrImagePull", "Error: ImagePullBackOff", "Back-off restarting failed container app in pod x", "Error: "} {
		if got, ok := parseFailure(text); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestKillReason(t *testing.T) {
	for text, want := range map[string]string{
		"Stopping container app":                                 "shutdown",
		"Container app failed liveness probe, will be restarted": "unhealthy",
		"Container app failed startup probe, will be restarted":  "unhealthy",
	} {
		if got := killReason(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestEventTimes(t *testing.T) {
	for raw, want := range map[string]stamp{
		// The name's nanosecond counts if it lies in the stamp's second.
		`{"metadata":{"name":"a.b.18eaf2d6061c3900"},"count":1,"firstTimestamp":"2026-11-24T10:00:02Z","lastTimestamp":"2026-11-24T10:00:02Z"}`: {time: at("10:00:02.5")},
		`{"metadata":{"name":"a.b.18eaf2d6061c3900"},"count":1,"firstTimestamp":"2026-11-24T10:00:09Z","lastTimestamp":"2026-11-24T10:00:09Z"}`: {time: at("10:00:09"), coarse: true},
		`{"metadata":{"name":"a.9"},"eventTime":"2026-11-24T10:00:02.123456Z"}`:                                                                 {time: at("10:00:02.123456")},
		`{"metadata":{"name":"a.18eaf2d6061c3900"},"count":3,"firstTimestamp":"2026-11-24T10:00:02Z","lastTimestamp":"2026-11-24T10:07:00Z"}`:   {time: at("10:07:00"), coarse: true},
		`{"metadata":{"name":"a"},"eventTime":"2026-11-24T10:00:02.1Z","series":{"count":4,"lastObservedTime":"2026-11-24T10:08:00.000001Z"}}`:  {time: at("10:08:00.000001")},
		`{"metadata":{"name":"a","creationTimestamp":"2026-11-24T10:00:01Z"},"eventTime":null}`:                                                 {time: at("10:00:01"), coarse: true},
	} {
		got := parse[event](t, raw).last()
		if !got.time.Equal(want.time) || got.coarse != want.coarse {
			t.Errorf("%s: %+v", raw, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for s, want := range map[string]int64{
		"128974848": 128974848, "129e6": 129e6, "129M": 129e6, "123Mi": 123 << 20, "1.5Gi": 3 << 29, "1G": 1e9, "128974848000m": 128974848,
		"1E": 1e18, "": 0, "x": 0, "-1": 0, "Mi": 0, "9Ei": 0, "1e99": 0, "NaN": 0, "1Zi": 0, "1k": 1000,
	} {
		if got := parseBytes(s); got != want {
			t.Errorf("%s: %d", s, got)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(`Successfully pulled image "b" in 345ms (1m2.3s including waiting). Image size: 12345 bytes.`)
	f.Add(`Container image "b" already present on machine`)
	f.Add(`spec.containers{a}: Failed to pull image "b": x`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := parsePulled(text); ok && (p.pull < 0 || p.pull > maxPull || p.waiting < 0 || p.waiting > maxPull || p.size < 0) {
			t.Errorf("%+v", p)
		}
		parseFailure(text)
		killReason(text)
		parseBytes(text)
	})
}

// Whatever pods and events an API server sends, what is told is valid.
func FuzzNode(f *testing.F) {
	f.Add(load(f, "pod_running.json"), load(f, "events_start.json"))
	f.Add(simplePod("u1", `{"name":"app","restartCount":-3,"state":{"terminated":{"exitCode":1}},"lastState":{"terminated":{}}}`), "[]")
	f.Fuzz(func(t *testing.T, rawPod, rawEvents string) {
		p := new(pod)
		if json.Unmarshal([]byte(rawPod), p) != nil {
			return
		}
		var events []event
		_ = json.Unmarshal([]byte(rawEvents), &events)
		rec := newRecorder()
		o := Options{
			NodeName: "node-a", Source: "s", Emit: rec.emit, now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Whose: func(c *workload.Container) (faas.Ref, bool) {
				return faas.Ref{Function: "f", Instance: "i" + c.Pod.UID}, true
			},
		}
		n := newNode(&o)
		for i := range events {
			n.change(change{kind: applied, event: &events[i]})
			if i == 0 {
				n.change(change{kind: applied, pod: p})
			}
		}
		n.change(change{kind: applied, pod: p})
		n.look()
		n.change(change{kind: deleted, pod: p})
		for _, e := range n.out {
			if err := e.Validate(); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
		}
		if len(n.pods) != 0 {
			t.Errorf("%d pods are left", len(n.pods))
		}
	})
}
