package containerd

import (
	"context"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// The reasons of a stop, as far as they can be told from outside.
const (
	reasonOOM         = "oom"
	reasonExited      = "exited"       // by itself, with code 0
	reasonError       = "error"        // by itself, with another code
	reasonKilled      = "killed"       // SIGTERM or SIGKILL, from whomever
	reasonStartFailed = "start-failed" // it never ran
	reasonUnseen      = "unseen"       // while containerd could not be watched
)

// state is what is known over all connections. One goroutine has it, but for exits.
type state struct {
	opts      *Options
	out       *outbox
	exits     *exits
	pulls     *pulls
	images    *recent[object, *image] // by their target's digest
	sandboxes map[object]*sandbox
	instances map[object]*instance // wanted containers that are there
	listed    bool                 // once at least
}

// instance is a wanted container.
type instance struct {
	described
	ref         faas.Ref
	taskCreated time.Time
	oom         bool
	doubted     bool // a list said something else
	ran         bool // Running has been told
	timed       bool // so have the phases that led there
	stopped     bool // so has Stopped
}

func (i *instance) object() object { return object{i.namespace, i.container.ID} }

func newState(opts *Options, out *outbox) *state {
	return &state{
		opts: opts, out: out,
		exits:     newExits(opts.Exited),
		pulls:     newPulls(),
		images:    newRecent[object, *image](maxImages),
		sandboxes: map[object]*sandbox{},
		instances: map[object]*instance{},
	}
}

// event names a fact of the instance. The same fact has the same name
// whenever it is told.
func (s *state) event(i *instance, fact string, at time.Time, data faas.Data) faas.Event {
	return faas.Event{ID: i.container.ID + "/" + fact, Source: s.opts.Source, Time: at, Ref: i.ref, Data: data}
}

func (s *state) phase(i *instance, p faas.PhaseDone) faas.Event {
	return s.event(i, "phase/"+string(p.Name), p.End, p)
}

// demanded tells what is known of a start when its container is created.
func (s *state) demanded(ctx context.Context, i *instance, img *image, r *reconstruction) {
	d := faas.Demanded{
		Initialization: faas.OnDemand,
		Image:          i.container.Image, Digest: i.container.Digest,
		Registry: registryOf(i.imageName), MemoryLimit: i.container.MemoryLimit,
	}
	if img != nil {
		d.ImageBytes = img.bytes
	}
	events := []faas.Event{s.event(i, "demanded", r.demanded, d)}
	for _, l := range r.layers {
		at := latest(l.DownloadEnd, l.UnpackEnd)
		if at.IsZero() {
			at = r.demanded
		}
		events = append(events, s.event(i, "layer/"+l.Digest, at, l))
	}
	for _, p := range r.phases {
		events = append(events, s.phase(i, p))
	}
	s.out.put(ctx, events)
}

// started tells that the instance's process runs. seen says that it was seen
// to start, so that the way there is known; it may have been found before.
func (s *state) started(ctx context.Context, i *instance, at time.Time, pid int, seen bool) {
	if !i.ran && !i.stopped {
		i.ran = true
		s.opts.Running(workload.Process{Ref: i.ref, ContainerID: i.container.ID, PID: pid, StartedAt: at})
		s.exits.started(i.object())
	}
	if !seen || i.timed || i.taskCreated.IsZero() || i.taskCreated.Before(i.created) || at.Before(i.taskCreated) {
		return
	}
	i.timed = true
	s.out.put(ctx, []faas.Event{
		s.phase(i, faas.PhaseDone{Name: faas.PhaseCreate, Start: i.created, End: i.taskCreated}),
		s.phase(i, faas.PhaseDone{Name: faas.PhaseStart, Start: i.taskCreated, End: at}),
	})
}

// exited tells that the instance's process has ended with a status of wait(2).
func (s *state) exited(ctx context.Context, i *instance, at time.Time, code int) {
	reason := reasonStartFailed
	if i.ran {
		reason = endReason(code)
	}
	s.stop(ctx, i, at, faas.Stopped{Reason: reason, ExitCode: &code})
}

// endReason is the reason of an end with a code.
func endReason(code int) string {
	switch code {
	case 0:
		return reasonExited
	case 128 + 9, 128 + 15:
		return reasonKilled
	default:
		return reasonError
	}
}

// ended tells of an end that was missed. ran says that the process had run.
func (s *state) ended(ctx context.Context, i *instance, at time.Time, code int, ran bool) {
	if at.IsZero() {
		at = i.created
	}
	if !i.ran && ran {
		// Nobody has been told of its process, so nobody is asked what it used.
		s.stop(ctx, i, at, faas.Stopped{Reason: endReason(code), ExitCode: &code})
		return
	}
	s.exited(ctx, i, at, code)
}

// removed tells that the container is no more, whatever became of it.
func (s *state) removed(ctx context.Context, o object, at time.Time) {
	delete(s.sandboxes, o)
	i := s.instances[o]
	if i == nil {
		return
	}
	delete(s.instances, o)
	reason := reasonStartFailed
	if i.ran {
		reason = reasonUnseen
	}
	s.stop(ctx, i, at, faas.Stopped{Reason: reason})
}

func (s *state) stop(ctx context.Context, i *instance, at time.Time, d faas.Stopped) {
	if i.stopped {
		return
	}
	i.stopped = true
	if i.ran {
		usage := s.exits.take(i.object())
		d.MemoryPeak, d.CPUTime = usage.MemoryPeak, usage.CPUTime.Seconds()
		// Others of its group may have been killed and not the first process.
		i.oom = i.oom || (usage.OOMKills > 0 && d.Reason == reasonKilled)
	}
	if d.OOM = i.oom; d.OOM && d.Reason == reasonKilled {
		d.Reason = reasonOOM
	}
	s.out.put(ctx, []faas.Event{s.event(i, "stopped", at, d)})
}
