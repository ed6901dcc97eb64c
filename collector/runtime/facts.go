package runtime

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// rank is how much a source's word counts.
type rank uint8

const (
	byKubernetes rank = iota + 1 // whole seconds, and sometimes nothing
	byRuntime                    // what the runtime or the kernel says
	byPlatform                   // who started the instance, and knows why
)

// How long what was seen waits for somebody who knows better.
const (
	// kubernetesWait is for Kubernetes' word where a runtime may have seen the same.
	kubernetesWait = 10 * time.Second
	// platformGrace is after a start has ended, where the platform speaks.
	platformGrace = 2 * time.Second
	// platformWait is the longest, where a start does not end.
	platformWait = 60 * time.Second
	// stopWait is for a platform's word about an end, which a runtime may tell long before.
	stopWait = 10 * time.Second
	// forgetAfter is when an instance that has stopped is forgotten.
	forgetAfter = 5 * time.Minute
	// maxInstances bounds what is remembered.
	maxInstances = 20_000
)

// facts knows which facts of which instance were told, and by whom. A fact that
// was told by somebody who knows less is dropped, but for what it adds to the
// better word: then both are told as one, as the platform tells it and with its
// holes filled. The store takes that for the same fact.
type facts struct {
	mu        sync.Mutex
	instances map[string]*instance
}

type instance struct {
	told     map[string]rank       // by fact
	said     map[string]faas.Event // by the platform, and may have holes
	platform bool                  // the platform speaks about it
	settled  time.Time             // when the platform said that its start is over
	ended    time.Time             // when it said that it has stopped
	stopped  time.Time
	seen     time.Time
	held     []held
}

type held struct {
	event    faas.Event
	rank     rank
	until    time.Time
	position time.Time // of the daemon's events when it was seen
}

func newFacts() *facts { return &facts{instances: map[string]*instance{}} }

// fact names what an event says; empty if everybody may say it.
func fact(e *faas.Event) string {
	switch d := e.Data.(type) {
	case faas.PhaseDone:
		return "phase " + string(d.Name)
	case faas.LayerPulled:
		return "layer " + d.Digest
	case faas.InvocationUsage, faas.InvocationStarted, faas.InvocationEnded, faas.Ledger, faas.Gap:
		return ""
	}
	return strings.TrimPrefix(string(e.Type()), "dev.coldscope.instance.")
}

// of gives an instance; f.mu is held.
func (f *facts) of(id string, now time.Time) *instance {
	i := f.instances[id]
	if i == nil {
		if len(f.instances) >= maxInstances {
			f.prune(now)
		}
		i = &instance{told: map[string]rank{}}
		f.instances[id] = i
	}
	i.seen = now
	return i
}

// prune forgets the older half.
func (f *facts) prune(now time.Time) {
	var oldest, newest time.Time
	for _, i := range f.instances {
		if oldest.IsZero() || i.seen.Before(oldest) {
			oldest = i.seen
		}
		if i.seen.After(newest) {
			newest = i.seen
		}
	}
	middle := oldest.Add(newest.Sub(oldest) / 2)
	for id, i := range f.instances {
		if !i.seen.After(middle) && len(i.held) == 0 || !i.stopped.IsZero() && now.Sub(i.stopped) > platformGrace && len(i.held) == 0 {
			delete(f.instances, id)
		}
	}
}

// platform notes what the platform says.
func (f *facts) platform(events []faas.Event, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range events {
		e := &events[n]
		key := fact(e)
		if key == "" {
			continue
		}
		i := f.of(e.Instance, now)
		i.platform = true
		i.told[key] = byPlatform
		i.keep(key, e)
		switch e.Data.(type) {
		case faas.Ready:
			i.settled = now
		case faas.Stopped:
			i.settled, i.ended, i.stopped = now, now, now
		}
	}
}

// observed takes what a source of the given rank has seen, when the daemon's
// events had been looked at up to position, and gives what can be told now.
func (f *facts) observed(r rank, events []faas.Event, now, position time.Time) []faas.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []faas.Event
	for n := range events {
		e := events[n]
		key := fact(&e)
		if key == "" {
			out = append(out, e)
			continue
		}
		i := f.of(e.Instance, now)
		if _, ok := e.Data.(faas.Stopped); ok {
			i.stopped = now
		}
		_, holes := i.said[key]
		switch {
		case i.told[key] > r && !holes:
		case i.platform:
			i.held = append(i.held, held{e, r, now.Add(waitFor(&e)), position})
		case r == byKubernetes:
			i.held = append(i.held, held{e, r, now.Add(kubernetesWait), position})
		default:
			i.told[key] = r
			out = append(out, e)
		}
	}
	return out
}

// waitFor is how long an event waits for the platform's word at most.
func waitFor(e *faas.Event) time.Duration {
	if _, ok := e.Data.(faas.Stopped); ok {
		return stopWait
	}
	return platformWait
}

// due gives what nobody said better in time, and forgets instances.
func (f *facts) due(now time.Time) []faas.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []faas.Event
	for id, i := range f.instances {
		kept := i.held[:0]
		for _, h := range i.held {
			key := fact(&h.event)
			said, holes := i.said[key]
			switch {
			case i.told[key] > h.rank && !holes: // somebody did
			case !i.ripe(&h, now):
				kept = append(kept, h)
			case holes:
				if whole, ok := fill(said, h.event); ok {
					out = append(out, whole)
					i.keep(key, &whole) // others may know more
				}
			default:
				i.told[key] = h.rank
				out = append(out, h.event)
			}
		}
		clear(i.held[len(kept):])
		i.held = kept
		if len(kept) == 0 && !i.stopped.IsZero() && now.Sub(i.stopped) > forgetAfter {
			delete(f.instances, id)
		}
	}
	return out
}

// ripe reports whether the platform has had its time to say what is held.
func (i *instance) ripe(h *held, now time.Time) bool {
	settled := i.settled
	if _, ok := h.event.Data.(faas.Stopped); ok {
		settled = i.ended
	}
	return now.After(h.until) || i.platform && !settled.IsZero() && now.Sub(settled) > platformGrace
}

// save gives what was told of instances that live and that a platform speaks about.
func (f *facts) save() map[string]map[string]rank {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]map[string]rank{}
	for id, i := range f.instances {
		if i.platform && i.stopped.IsZero() {
			out[id] = maps.Clone(i.told)
		}
	}
	return out
}

// restore takes what an earlier one saved.
func (f *facts) restore(told map[string]map[string]rank, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, facts := range told {
		i := f.of(id, now)
		i.platform = true
		maps.Copy(i.told, facts)
		if i.told["ready"] == byPlatform {
			i.settled = now
		}
	}
}

// safe is how far the daemon's events are dealt with for good, given how far
// they were looked at: a fact that is held would be lost if the collector was killed.
func (f *facts) safe(at time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.instances {
		for _, h := range i.held {
			if h.position.Before(at) {
				at = h.position
			}
		}
	}
	return at
}
