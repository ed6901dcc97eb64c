package runtimes

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// forgetful hands a platform's events on to a collector's socket, and forgets
// some of what they say.
type forgetful struct {
	to     *wire.Client
	forget func(*faas.Event) (keep bool)

	mu   sync.Mutex
	sent []faas.Event
}

// SendEvents implements functionhost.Sink.
func (f *forgetful) SendEvents(ctx context.Context, events []faas.Event) error {
	kept := make([]faas.Event, 0, len(events))
	for _, e := range events {
		if f.forget(&e) {
			kept = append(kept, e)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	if err := f.to.SendEvents(ctx, kept); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, kept...)
	return nil
}

// TestBoth: where a platform speaks and the runtime is seen too, each fact is
// told once, by the platform, and what the platform leaves out is filled in.
func TestBoth(t *testing.T) {
	d := needDocker(t)
	c, out := d.watch()
	client, err := wire.NewClient("unix://" + c.Socket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f := &forgetful{to: client}
	var layer string // the one that is forgotten
	f.forget = func(e *faas.Event) bool {
		switch d := e.Data.(type) {
		case faas.PhaseDone:
			return d.Name != faas.PhaseUnpack
		case faas.LayerPulled:
			if layer == "" {
				layer = d.Digest
			}
			return d.Digest != layer
		case faas.Demanded:
			d.ImageBytes, d.MemoryLimit = 0, 0
			e.Data = d
		case faas.Stopped:
			d.MemoryPeak, d.ExitCode = 0, nil
			e.Data = d
		}
		return true
	}
	p := newPlatform(t, f)
	instance := p.invoke("1")
	p.stop()

	stopped := func(e *faas.Event) bool {
		s, ok := e.Data.(faas.Stopped)
		return ok && s.MemoryPeak > 0
	}
	out.wait("the memory peak", func() bool {
		events := out.ofLocked(instance)
		return slices.ContainsFunc(events, func(e faas.Event) bool { return stopped(&e) }) &&
			slices.ContainsFunc(events, func(e faas.Event) bool { return factOf(&e) == "layer "+layer }) &&
			slices.ContainsFunc(events, func(e faas.Event) bool { return factOf(&e) == string(faas.PhaseUnpack) })
	}, func() string { return told(out.ofLocked(instance)) })

	events := out.of(instance)
	t.Log("told:\n" + told(byTime(slices.Clone(events))))
	by := map[string][]string{} // sources, by fact
	for i := range events {
		e := &events[i]
		if strings.HasPrefix(string(e.Type()), "dev.coldscope.instance.") {
			by[factOf(e)] = append(by[factOf(e)], e.Source)
		}
	}
	for _, sources := range by {
		slices.Sort(sources)
	}
	want := map[string][]string{
		"demanded": {host, "platform"}, "stopped": {host, "platform"}, // completed
		"unpack": {host}, "layer " + layer: {host},
		"ready": {"platform"},
	}
	for _, name := range []faas.Phase{
		faas.PhaseQueue, faas.PhaseCredentials, faas.PhaseResolve, faas.PhasePull, faas.PhaseCreate, faas.PhaseStart, faas.PhaseInit,
	} {
		want[string(name)] = []string{"platform"}
	}
	for i := range f.sent {
		if l, ok := f.sent[i].Data.(faas.LayerPulled); ok {
			want["layer "+l.Digest] = []string{"platform"}
		}
	}
	if diff := cmp.Diff(want, by); diff != "" {
		t.Errorf("who told what (-want +got):\n%s", diff)
	}
	completed(t, events)
}

// completed holds a completed fact to what the platform said of it.
func completed(t *testing.T, events []faas.Event) {
	t.Helper()
	for i := range events {
		if events[i].Source != "platform" {
			continue
		}
		for n := range events {
			if events[n].Source != host || factOf(&events[n]) != factOf(&events[i]) {
				continue
			}
			if !events[n].Time.Equal(events[i].Time) {
				t.Errorf("%s is at %v, the platform says %v", factOf(&events[i]), events[n].Time, events[i].Time)
			}
			switch got := events[n].Data.(type) {
			case faas.Stopped:
				want := events[i].Data.(faas.Stopped)
				if got.Reason != want.Reason || got.ExitCode == nil || got.MemoryPeak < 32<<20 {
					t.Errorf("stopped is completed to %+v", got)
				}
			case faas.Demanded:
				want := events[i].Data.(faas.Demanded)
				if got.RequestID != want.RequestID || got.Region != want.Region || got.Image != want.Image || got.ImageBytes == 0 || got.MemoryLimit == 0 {
					t.Errorf("demanded is completed to %+v", got)
				}
			}
		}
	}
}

func told(events []faas.Event) string {
	var b strings.Builder
	for i := range events {
		e := &events[i]
		b.WriteString(e.Time.Format("05.000 ") + e.Source + " " + factOf(e) + "\n")
	}
	return b.String()
}
