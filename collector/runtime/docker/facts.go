package docker

import (
	"context"
	"strconv"
	"time"

	"github.com/distribution/reference"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// The reasons of Stopped events.
const (
	reasonExited      = "exited"       // by itself, with code 0
	reasonError       = "error"        // by itself, with another code
	reasonOOM         = "oom"          // killed for its memory
	reasonShutdown    = "shutdown"     // the daemon was asked to end it
	reasonKilled      = "killed"       // by a signal, nobody knows whose
	reasonStartFailed = "start-failed" // never ran
	reasonRemoved     = "removed"      // was gone when the daemon was back; how it ended is not known
)

const (
	exitKilled     = 128 + 9
	exitTerminated = 128 + 15
)

// endedLately is how old the end of a container may be that is found ended
// when there is no position to go on from.
const endedLately = 10 * time.Minute

// slack is how much the stamps of one fact differ: the daemon's event of a
// start comes milliseconds after its StartedAt.
const slack = time.Second

// reported tells whether what happened at at was reported by an earlier Watcher.
func (w *Watcher) reported(at time.Time) bool {
	return at.Before(w.opts.Since.Add(-slack))
}

func (t *tracked) event(w *Watcher, fact string, at time.Time, data faas.Data) faas.Event {
	return faas.Event{ID: t.ID + "/" + fact, Source: w.opts.Source, Time: at, Ref: t.ref, Data: data}
}

func (t *tracked) phase(w *Watcher, name faas.Phase, start, end time.Time, a faas.Attributes) faas.Event {
	if end.Before(start) { // stamps of two clocks' grain
		end = start
	}
	return t.event(w, string(name), end, faas.PhaseDone{Name: name, Start: start, End: end, Attributes: a})
}

// started handles a start event.
func (s *shard) started(ctx context.Context, t *tracked, at time.Time) error {
	if t.running || at.Before(t.run.endedAt) || at.Equal(t.run.endedAt) {
		return nil // was read from a list, or is told again
	}
	in, err := s.inspect(ctx, t)
	if err != nil {
		return err // the next list will show it
	}
	startedAt := in.startedAt
	if startedAt.IsZero() {
		// It is gone already; all that remains are the events, and what was
		// read when it was created.
		startedAt, in.created, in.firstRun = at, t.createdAt, true
		if in.created.IsZero() {
			in.created = t.createEnd
		}
	}
	return s.begin(ctx, t, in, startedAt, at)
}

// found handles a container whose state on a list was news.
func (s *shard) found(ctx context.Context, t *tracked, in *inspected) error {
	if in.startedAt.IsZero() {
		return nil // is being created
	}
	if !in.running {
		t.checked = true
		end := in.finishedAt
		if end.Before(in.startedAt) { // was seen of processes that ended at once
			end = in.startedAt
		}
		if !t.running && (s.w.reported(end) || s.w.opts.Since.IsZero() && time.Since(end) > endedLately) {
			t.run.endedAt = end
			return nil
		}
		if !t.running {
			if err := s.begin(ctx, t, in, in.startedAt, in.startedAt); err != nil {
				return err
			}
		}
		t.run.oom = t.run.oom || in.oom
		return s.ended(ctx, t, end, exit{code: in.exitCode, known: true})
	}
	return s.begin(ctx, t, in, in.startedAt, in.startedAt)
}

// begin reports a start.
func (s *shard) begin(ctx context.Context, t *tracked, in *inspected, startedAt, eventAt time.Time) error {
	first := t.runs == 0 && (in.firstRun || !t.createEnd.IsZero())
	t.runs++
	t.running, t.checked = true, false
	t.run = run{startedAt: startedAt}
	connected := t.connected
	t.connected = time.Time{}
	if !first {
		t.run.suffix = "/" + strconv.FormatInt(startedAt.UnixNano(), 10)
	}
	if in.running && in.pid > 0 && !t.runningTold {
		// Before the facts are made durable: whoever waits for the port does
		// not want to wait for a disk.
		t.runningTold = true
		s.w.opts.Running(workload.Process{Ref: t.ref, ContainerID: t.ID, PID: in.pid, StartedAt: startedAt})
	}
	if !first || t.demanded || s.w.reported(eventAt) {
		t.demanded, t.createTold = true, true
		return nil
	}
	t.demanded = true
	out := s.demand(ctx, t, in)
	if !connected.IsZero() && !connected.After(startedAt) {
		out = append(out, t.phase(s.w, faas.PhaseStart, connected, startedAt, nil))
	}
	return s.w.opts.Emit(ctx, out...)
}

// demand gives the facts of a start up to the container's creation.
func (s *shard) demand(ctx context.Context, t *tracked, in *inspected) []faas.Event {
	img := s.w.images.of(ctx, in.imageID, t.Image)
	t.Digest = img.digest
	created := in.created
	if created.IsZero() {
		created = t.run.startedAt
	}
	d := faas.Demanded{
		Initialization: faas.OnDemand, Image: t.Image, Digest: img.digest, ImageBytes: img.bytes,
		Registry: registryOf(t.Image), MemoryLimit: t.MemoryLimit,
	}
	begin := created
	p, seen := s.w.images.pullFor(img, t.ID, created, s.w.recent.before(t.ID, t.Image, img.stored))
	var facts []faas.Event
	if p != nil {
		begin = earlier(begin, p.begin())
		facts = t.pulled(s.w, p)
	} else {
		facts = t.cached(s.w, img, created, seen)
	}
	out := append([]faas.Event{t.event(s.w, "demanded", begin, d)}, facts...)
	if e, ok := t.created(s.w); ok {
		out = append(out, e)
	}
	return out
}

// cached gives the layers of an image that was here. Where nobody saw whether
// it was, their cache is left open.
func (t *tracked) cached(w *Watcher, img *image, at time.Time, seen bool) []faas.Event {
	cache := "hit"
	if !seen {
		cache = ""
	}
	var out []faas.Event
	for _, l := range img.layers {
		if l.digest != "" {
			out = append(out, t.event(w, "layer/"+l.digest, at, faas.LayerPulled{Digest: l.digest, Bytes: l.bytes, Cache: cache}))
		}
	}
	return out
}

// pulled gives the facts of a pull that was made for the container.
func (t *tracked) pulled(w *Watcher, p *pull) []faas.Event {
	var out []faas.Event
	if !p.resolve.start.IsZero() {
		out = append(out, t.phase(w, faas.PhaseResolve, p.resolve.start, p.resolve.end, faas.Attributes{"part": "manifest"}))
	}
	a := faas.Attributes{"cache": "miss", "bytes": strconv.FormatInt(p.bytes(), 10)}
	out = append(out, t.phase(w, faas.PhasePull, p.pull.start, p.pull.end, a))
	if !p.unpack.start.IsZero() {
		out = append(out, t.phase(w, faas.PhaseUnpack, p.unpack.start, p.unpack.end, nil))
	}
	for _, l := range p.layers {
		out = append(out, t.event(w, "layer/"+l.Digest, p.unpack.end, l))
	}
	return out
}

// created gives the create phase once both of its ends are known.
func (t *tracked) created(w *Watcher) (faas.Event, bool) {
	if t.createTold || t.createdAt.IsZero() || t.createEnd.IsZero() {
		return faas.Event{}, false
	}
	t.createTold = true
	return t.phase(w, faas.PhaseCreate, t.createdAt, t.createEnd, nil), true
}

// tellCreate reports the creation of a container that was found on a list
// before its event came.
func (s *shard) tellCreate(ctx context.Context, t *tracked) error {
	if !t.demanded {
		return nil // the start will tell
	}
	if e, ok := t.created(s.w); ok {
		return s.w.opts.Emit(ctx, e)
	}
	return nil
}

// startFailed reports a container that could not be started.
func (s *shard) startFailed(ctx context.Context, t *tracked, in *inspected, at time.Time) error {
	connected := t.connected
	t.connected = time.Time{}
	if s.w.reported(at) || t.runs > 0 || t.demanded {
		return nil
	}
	t.demanded = true
	if in.created.IsZero() {
		in.created = t.createEnd
	}
	t.run.startedAt = connected
	out := s.demand(ctx, t, in)
	failure := in.failure
	if failure == "" {
		failure = "the container was not started"
	}
	start := t.phase(s.w, faas.PhaseStart, connected, at, nil)
	start.Data = faas.PhaseDone{Name: faas.PhaseStart, Start: connected, End: at, Error: failure}
	stopped := faas.Stopped{Reason: reasonStartFailed}
	if in.exitCode != 0 {
		stopped.ExitCode = &in.exitCode
	}
	return s.w.opts.Emit(ctx, append(out, start, t.event(s.w, "stopped", at, stopped))...)
}

// exit is how a process ended; the daemon may not know.
type exit struct {
	code  int
	known bool
}

// ended reports the end of a run.
func (s *shard) ended(ctx context.Context, t *tracked, at time.Time, e exit) error {
	var used workload.Usage
	if !t.exitedTold {
		t.exitedTold = true
		used = s.w.opts.Exited(t.ID)
	}
	t.running = false
	t.run.endedAt = at
	t.connected = time.Time{}
	if s.w.reported(at) {
		return nil
	}
	// A function may survive that one of its processes was killed.
	oom := e.known && e.code != 0 && (t.run.oom || used.OOMKills > 0)
	d := faas.Stopped{
		Reason: reason(e, oom, t.run.killed), OOM: oom,
		MemoryPeak: used.MemoryPeak, CPUTime: used.CPUTime.Seconds(),
	}
	if e.known {
		d.ExitCode = &e.code
	}
	return s.w.opts.Emit(ctx, t.event(s.w, "stopped"+t.run.suffix, at, d))
}

func reason(e exit, oom, killed bool) string {
	switch {
	case !e.known:
		return reasonRemoved
	case oom && e.code == exitKilled:
		return reasonOOM
	case killed, e.code == exitTerminated:
		return reasonShutdown
	case e.code == 0:
		return reasonExited
	case e.code == exitKilled:
		return reasonKilled
	}
	return reasonError
}

// registryOf gives the host of a reference's registry, empty if it is none.
func registryOf(image string) string {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
