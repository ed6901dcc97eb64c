package runtime

import (
	"slices"
	"strings"
	"testing"
	"time"

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
	}, at(0))), "r:demanded r:layer d r:phase pull r:ready")
	expect("kubernetes knows no more", names(f.observed(byKubernetes, []faas.Event{
		event("k", "alone", pull), event("k", "alone", faas.PhaseDone{Name: faas.PhaseSchedule}),
	}, at(1))), "")
	expect("too early", names(f.due(at(5))), "")
	expect("kubernetes fills a hole", names(f.due(at(20))), "k:phase schedule")

	// The platform speaks: what it says wins, the runtime fills the holes.
	f.platform([]faas.Event{event("p", "both", faas.Demanded{}), event("p", "both", pull)}, at(0))
	expect("with a platform", names(f.observed(byRuntime, []faas.Event{
		event("r", "both", faas.Demanded{}), event("r", "both", pull), event("r", "both", unpack), event("r", "both", faas.Ready{}),
		event("r", "both", faas.InvocationUsage{}),
	}, at(1))), "r:")
	expect("the start goes on", names(f.due(at(10))), "")
	f.platform([]faas.Event{event("p", "both", faas.Ready{})}, at(11))
	expect("in the grace", names(f.due(at(12))), "")
	expect("after it", names(f.due(at(14))), "r:phase unpack")
	expect("told once", names(f.due(at(100))), "")

	// A platform that says nothing more does not keep facts from being told.
	f.platform([]faas.Event{event("p", "mute", faas.Demanded{})}, at(0))
	f.observed(byRuntime, []faas.Event{event("r", "mute", faas.Ready{}), event("r", "mute", faas.Stopped{})}, at(1))
	expect("a mute platform", names(f.due(at(62))), "r:ready r:stopped")

	f.due(at(1000))
	if f.instances["mute"] != nil {
		t.Error("a stopped instance is remembered")
	}
	for range 2 * maxInstances {
		f.observed(byRuntime, []faas.Event{event("r", time.Now().String(), faas.Ready{})}, time.Now())
	}
	if n := len(f.instances); n > maxInstances {
		t.Errorf("%d instances are remembered", n)
	}
}
