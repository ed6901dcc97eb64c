package runtime

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

func event(source, instance string, d faas.Data) faas.Event {
	return faas.Event{ID: source, Source: source, Ref: faas.Ref{Function: "f", Instance: instance}, Data: d}
}

func names(events []faas.Event) string {
	var out []string
	for i := range events {
		out = append(out, events[i].Source+":"+fact(&events[i]))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestFacts(t *testing.T) {
	pull, unpack := faas.PhaseDone{Name: faas.PhasePull}, faas.PhaseDone{Name: faas.PhaseUnpack}
	whole := faas.Demanded{Image: "r/i:1", Digest: "sha256:1", ImageBytes: 1, Registry: "r", MemoryLimit: 1}
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: told %q, want %q", what, got, want)
		}
	}

	f := newFacts()
	expect("no platform", names(f.observed(byRuntime, []faas.Event{
		event("r", "alone", faas.Demanded{}), event("r", "alone", pull), event("r", "alone", faas.Ready{}), event("r", "alone", faas.LayerPulled{Digest: "d"}),
	}, at(0), at(0))), "r:demanded r:layer d r:phase pull r:ready")
	expect("kubernetes knows no more", names(f.observed(byKubernetes, []faas.Event{
		event("k", "alone", pull), event("k", "alone", faas.PhaseDone{Name: faas.PhaseSchedule}),
	}, at(1), at(0))), "")
	expect("too early", names(f.due(at(5))), "")
	expect("kubernetes fills a hole", names(f.due(at(20))), "k:phase schedule")

	// The platform speaks: what it says wins, the runtime fills the holes.
	f.platform([]faas.Event{event("p", "both", whole), event("p", "both", pull)}, at(0))
	expect("with a platform", names(f.observed(byRuntime, []faas.Event{
		event("r", "both", faas.Demanded{}), event("r", "both", pull), event("r", "both", unpack), event("r", "both", faas.Ready{}),
		event("r", "both", faas.InvocationUsage{}),
	}, at(1), at(1))), "r:")
	expect("the start goes on", names(f.due(at(10))), "")
	f.platform([]faas.Event{event("p", "both", faas.Ready{})}, at(11))
	expect("in the grace", names(f.due(at(12))), "")
	expect("after it", names(f.due(at(14))), "r:phase unpack")
	expect("told once", names(f.due(at(100))), "")

	// A platform that says nothing more does not keep facts from being told.
	f.platform([]faas.Event{event("p", "mute", faas.Demanded{})}, at(0))
	f.observed(byRuntime, []faas.Event{event("r", "mute", faas.Ready{}), event("r", "mute", faas.Stopped{})}, at(1), at(1))
	expect("a mute platform", names(f.due(at(12))), "r:stopped")
	expect("a mute platform's start", names(f.due(at(62))), "r:ready")

	f.due(at(1000))
	if f.instances["mute"] != nil {
		t.Error("a stopped instance is remembered")
	}
	for range 2 * maxInstances {
		f.observed(byRuntime, []faas.Event{event("r", time.Now().String(), faas.Ready{})}, time.Now(), time.Time{})
	}
	if n := len(f.instances); n > maxInstances {
		t.Errorf("%d instances are remembered", n)
	}
}

// TestEnds: an end is seen long before a platform tells of it, and is told once.
func TestEnds(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	code := 0
	f := newFacts()
	f.platform([]faas.Event{event("p", "i", faas.Ready{})}, at(0))
	if got := f.observed(byRuntime, []faas.Event{event("r", "i", faas.Stopped{})}, at(100), at(99)); len(got) > 0 {
		t.Errorf("told at once: %v", got)
	}
	if got := f.due(at(105)); len(got) > 0 {
		t.Errorf("told before the platform: %v", got)
	}
	if safe := f.safe(at(105)); !safe.Equal(at(99)) {
		t.Errorf("a restart would go on from %v, behind what is held", safe)
	}
	f.platform([]faas.Event{event("p", "i", faas.Stopped{Reason: "idle", ExitCode: &code, MemoryPeak: 1})}, at(106))
	if got := f.due(at(120)); len(got) > 0 {
		t.Errorf("told twice: %v", got)
	}
	if safe := f.safe(at(120)); !safe.Equal(at(120)) {
		t.Errorf("a restart would go on from %v", safe)
	}
}

// TestHoles: what a platform leaves out of a fact is filled in, once, and
// nothing that it says is changed.
func TestHoles(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	code := 137
	platform := []faas.Event{
		event("p", "i", faas.Demanded{RequestID: "q", Initialization: faas.Provisioned, Image: "r/i:1"}),
		event("p", "i", faas.LayerPulled{Digest: "d", Cache: "miss", DownloadStart: at(1), DownloadEnd: at(2)}),
		event("p", "i", faas.LayerPulled{Digest: "cached", Cache: "hit", Bytes: 3}),
		event("p", "i", faas.Stopped{Reason: "scaled down"}),
	}
	for n := range platform {
		platform[n].Time = at(n)
	}
	runtime := []faas.Event{
		event("r", "i", faas.Demanded{Initialization: faas.OnDemand, Image: "other", Digest: "sha256:1", ImageBytes: 9, Registry: "r", MemoryLimit: 7}),
		event("r", "i", faas.LayerPulled{Digest: "d", Bytes: 5, Cache: "hit", DownloadStart: at(8), DownloadEnd: at(8), UnpackStart: at(3), UnpackEnd: at(4)}),
		event("r", "i", faas.LayerPulled{Digest: "cached", Cache: "miss", Bytes: 4}),
		event("r", "i", faas.Stopped{Reason: "oom", ExitCode: &code, OOM: true, MemoryPeak: 11, CPUTime: 2}),
	}
	want := []faas.Data{
		faas.Demanded{RequestID: "q", Initialization: faas.Provisioned, Image: "r/i:1", Digest: "sha256:1", ImageBytes: 9, Registry: "r", MemoryLimit: 7},
		faas.LayerPulled{Digest: "d", Bytes: 5, Cache: "miss", DownloadStart: at(1), DownloadEnd: at(2), UnpackStart: at(3), UnpackEnd: at(4)},
		faas.Stopped{Reason: "scaled down", ExitCode: &code, OOM: true, MemoryPeak: 11, CPUTime: 2},
	}
	for name, steps := range map[string]func(*facts){
		"the platform first": func(f *facts) {
			f.platform(platform, at(0))
			f.observed(byRuntime, runtime, at(1), at(0))
		},
		"the runtime first": func(f *facts) {
			f.platform(platform[:1], at(0))
			f.observed(byRuntime, runtime, at(0), at(0))
			f.platform(platform[1:], at(1))
		},
		"Kubernetes, too": func(f *facts) {
			f.platform(platform, at(0))
			f.observed(byKubernetes, []faas.Event{event("k", "i", faas.Demanded{Image: "another"}), event("k", "i", faas.Stopped{Reason: "Completed"})}, at(0), at(0))
			f.observed(byRuntime, runtime, at(1), at(0))
		},
	} {
		f := newFacts()
		steps(f)
		if got := f.due(at(2)); len(got) > 0 {
			t.Errorf("%s: %s is told at once", name, names(got))
		}
		got := f.due(at(60))
		var data []faas.Data
		for n := range got {
			data = append(data, got[n].Data)
			if got[n].Source != "r" || got[n].ID != "r" {
				t.Errorf("%s: %s is told under the name of %s", name, fact(&got[n]), got[n].Source)
			}
		}
		if diff := cmp.Diff(want, data); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for n := range got {
			if want := []time.Time{at(0), at(1), at(3)}[n]; !got[n].Time.Equal(want) {
				t.Errorf("%s: %s is told for %v, the platform's is %v", name, fact(&got[n]), got[n].Time, want)
			}
		}
		if again := f.due(at(100)); len(again) > 0 {
			t.Errorf("%s: told again: %s", name, names(again))
		}
	}
}

// What a platform has said stays said over a restart.
func TestState(t *testing.T) {
	h, err := New(Options{Config: Config{Docker: off, Containerd: off, CRI: off, EBPF: off}, Source: "h"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	h.facts.platform([]faas.Event{event("p", "i", faas.Demanded{Image: "x"}), event("p", "i", faas.Ready{}), event("p", "gone", faas.Ready{}), event("p", "gone", faas.Stopped{})}, now)
	h.facts.observed(byRuntime, []faas.Event{event("r", "alone", faas.Ready{})}, now, now)
	b := h.State()
	if !slices.Equal(b, h.State()) {
		t.Error("one state is written in two ways")
	}
	if h, err = New(Options{Config: Config{Docker: off, Containerd: off, CRI: off, EBPF: off}, Source: "h", State: b}); err != nil {
		t.Fatal(err)
	}
	told := h.facts.observed(byRuntime, []faas.Event{event("r", "i", faas.Demanded{}), event("r", "i", faas.Ready{})}, now, now)
	told = append(told, h.facts.due(now.Add(time.Hour))...)
	if got := names(told); got != "" {
		t.Errorf("told again: %s", got)
	}
	if _, err := New(Options{Config: Config{Docker: off, Containerd: off, CRI: off, EBPF: off}, Source: "h", State: []byte("{")}); err != nil {
		t.Errorf("a damaged state: %v", err)
	}
}
