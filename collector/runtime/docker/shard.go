package docker

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// shard follows the containers whose IDs fall to it, one message at a time. It
// outlives the connections.
type shard struct {
	w          *Watcher
	in         chan message
	containers map[string]*tracked
}

// tracked is a container that the daemon has.
type tracked struct {
	workload.Container
	ref        faas.Ref
	wanted     bool
	generation uint64 // of the last list that it was on, or that was made before it came

	createdAt time.Time // the daemon began to create it; zero: not known yet
	createEnd time.Time // zero: not seen
	connected time.Time // the daemon began the start that is under way; zero: not seen, or none is

	runs    int // that were seen to begin
	running bool
	run     run // the last

	demanded    bool // and all of its start that was known was reported
	createTold  bool
	runningTold bool
	exitedTold  bool
	checked     bool // was looked at when it was found ended
}

// run is one life of a container's process.
type run struct {
	suffix    string    // of its events' IDs: empty for the first
	startedAt time.Time // zero: not known
	endedAt   time.Time
	oom       bool // something in the container was killed for its memory
	killed    bool // the daemon was asked to end it
}

func newShard(w *Watcher, queue int) *shard {
	return &shard{w: w, in: make(chan message, queue) /* see shardLength */, containers: map[string]*tracked{}}
}

func (s *shard) send(ctx context.Context, m message) error {
	select {
	case s.in <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *shard) run(ctx context.Context) {
	for {
		select {
		case m := <-s.in:
			if err := s.handle(ctx, m); err != nil {
				if ctx.Err() != nil {
					return
				}
				s.w.opts.Logger.Warn("docker: a container's events are incomplete", "error", err)
			}
			if m.taken != nil {
				s.w.pos.done(m.taken)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *shard) handle(ctx context.Context, m message) error {
	switch {
	case m.listed != nil:
		return s.listed(ctx, m.listed, m.generation)
	case m.event == nil:
		return s.giveUp(ctx, m.generation)
	case m.event.Type == events.NetworkEventType:
		return s.network(ctx, m.event)
	}
	return s.event(ctx, m.event, m.generation)
}

// ensure gives what is known of a container, and learns what the daemon says of
// one that was not known.
func (s *shard) ensure(c workload.Container, generation uint64) *tracked {
	if t, ok := s.containers[c.ID]; ok {
		return t
	}
	t := &tracked{Container: c, generation: generation}
	s.containers[c.ID] = t
	s.w.opts.Known(&t.Container)
	t.ref, t.wanted = s.w.opts.Whose(&t.Container)
	if !t.wanted {
		t.Container = workload.Container{ID: c.ID} // a host may have many of them
	}
	return t
}

// fromEvent makes a container of an event's attributes: the container's labels,
// among which the daemon puts facts of its own.
func fromEvent(e *events.Message) workload.Container {
	labels := maps.Clone(e.Actor.Attributes)
	c := workload.Container{ID: e.Actor.ID, Name: labels["name"], Image: labels["image"], Labels: labels}
	for _, own := range []string{"name", "image", "exitCode", "signal", "execDuration"} {
		delete(labels, own)
	}
	return c
}

func fromSummary(l *container.Summary) workload.Container {
	c := workload.Container{ID: l.ID, Image: l.Image, Labels: l.Labels}
	if len(l.Names) > 0 {
		c.Name = strings.TrimPrefix(l.Names[0], "/")
	}
	return c
}

func (s *shard) event(ctx context.Context, e *events.Message, generation uint64) error {
	at := time.Unix(0, e.TimeNano)
	t, known := s.containers[e.Actor.ID]
	if !known {
		if e.Action == events.ActionDestroy {
			return nil // its end was dealt with, or there was none
		}
		t = s.ensure(fromEvent(e), generation)
	}
	if !t.wanted {
		if e.Action == events.ActionDestroy {
			delete(s.containers, t.ID)
		}
		return nil
	}
	switch e.Action {
	case events.ActionCreate:
		t.createEnd = at
		if t.createdAt.IsZero() { // it may be gone when its start is looked at
			t.createdAt = s.w.images.created(t.ID)
		}
		return s.tellCreate(ctx, t)
	case events.ActionStart:
		return s.started(ctx, t, at)
	case events.ActionOOM:
		t.run.oom = t.running || t.runs == 0
	case events.ActionKill:
		t.run.killed = (t.running || t.runs == 0) && ends(e.Actor.Attributes["signal"])
	case events.ActionDie:
		return s.died(ctx, t, e, at)
	case events.ActionDestroy:
		return s.destroyed(ctx, t, at)
	default: // was not asked for
	}
	return nil
}

// died handles a die event. The start before it may be one that the daemon has
// forgotten.
func (s *shard) died(ctx context.Context, t *tracked, e *events.Message, at time.Time) error {
	if !t.running && !t.run.endedAt.IsZero() {
		return nil // was read from a list, or is told again
	}
	if t.runs == 0 {
		in, err := s.inspect(ctx, t)
		if err != nil {
			return err // the next list will show it
		}
		if !in.startedAt.IsZero() && !at.Before(in.startedAt) {
			oom, killed := t.run.oom || in.oom, t.run.killed
			if err := s.begin(ctx, t, in, in.startedAt, in.startedAt); err != nil {
				return err
			}
			t.run.oom, t.run.killed = oom, killed
		}
	}
	return s.ended(ctx, t, at, s.exitOf(ctx, t, e))
}

// exitOf is the exit that a die event tells. A label of the container's hides
// the daemon's own attribute of that name.
func (s *shard) exitOf(ctx context.Context, t *tracked, e *events.Message) exit {
	if _, hidden := t.Labels["exitCode"]; hidden {
		in, err := s.inspect(ctx, t)
		return exit{code: in.exitCode, known: err == nil && !in.gone && !in.running}
	}
	code, err := strconv.Atoi(e.Actor.Attributes["exitCode"])
	return exit{code: code, known: err == nil}
}

// ends tells whether a signal is one that platforms end processes with.
func ends(signal string) bool {
	switch signal {
	case "1", "10", "12", "17", "18", "23", "28": // HUP, USR1, USR2, CHLD, CONT, URG, WINCH
		return false
	}
	return true
}

// network follows the connections of containers to networks: the first thing of
// a start, and, of one that fails, the last.
func (s *shard) network(ctx context.Context, e *events.Message) error {
	t, ok := s.containers[e.Actor.Attributes["container"]]
	if !ok || !t.wanted || t.running {
		return nil
	}
	at := time.Unix(0, e.TimeNano)
	if !at.After(t.run.endedAt) {
		return nil // is told again
	}
	if e.Action == events.ActionConnect {
		if t.connected.IsZero() {
			t.connected = at
		}
		return nil
	}
	if t.connected.IsZero() || at.Before(t.connected) {
		return nil // belongs to the run that has ended
	}
	in, err := s.inspect(ctx, t)
	if err != nil || in.failure == "" {
		return err // is gone (destroyed tells), or was disconnected by hand
	}
	return s.startFailed(ctx, t, in, at)
}

// destroyed reports what a container that is no more was last seen at.
func (s *shard) destroyed(ctx context.Context, t *tracked, at time.Time) error {
	delete(s.containers, t.ID)
	switch {
	case t.running:
		return s.ended(ctx, t, at, exit{})
	case t.runs == 0 && !t.connected.IsZero() && t.run.endedAt.IsZero():
		return s.startFailed(ctx, t, &inspected{}, at)
	}
	return nil
}

// listed looks at a container on a list, if that says something new.
func (s *shard) listed(ctx context.Context, l *container.Summary, generation uint64) error {
	t := s.ensure(fromSummary(l), generation)
	t.generation = generation
	if !t.wanted {
		return nil
	}
	switch l.State {
	case container.StateRunning, container.StatePaused:
		if t.running {
			return nil
		}
	case container.StateExited, container.StateDead, container.StateRemoving, container.StateRestarting:
		if t.checked || !t.running && !t.run.endedAt.IsZero() {
			return nil
		}
	default:
		return nil
	}
	in, err := s.inspect(ctx, t)
	if err != nil || in.gone {
		return err
	}
	return s.found(ctx, t, in)
}

// giveUp ends what was on no list since the last one was made.
func (s *shard) giveUp(ctx context.Context, generation uint64) error {
	var errs []error
	for _, t := range s.containers {
		if t.generation < generation {
			errs = append(errs, s.destroyed(ctx, t, time.Now()))
		}
	}
	return errors.Join(errs...)
}
