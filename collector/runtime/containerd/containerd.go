package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// DefaultSocket is where containerd listens unless it is told otherwise.
const DefaultSocket = "/run/containerd/containerd.sock"

// DefaultCRISocket is where CRI-O listens unless it is told otherwise.
const DefaultCRISocket = "/run/crio/crio.sock"

// mobyNamespace is Docker's; it has a watcher of its own.
const mobyNamespace = "moby"

// The waits between attempts to reach containerd. An absent one is looked for
// about twice a minute.
const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// Options of a Watcher. Source, Whose, Emit, Running and Exited are required.
type Options struct {
	Host   string // the host's name
	Source string // of events
	// Whose tells the function of a container; false: nobody wants it.
	Whose func(*workload.Container) (faas.Ref, bool)
	// Emit makes events durable. It may wait as long as that takes; its error is ctx's.
	Emit func(ctx context.Context, events ...faas.Event) error
	// Running is told of a wanted container's process, once, as soon as it runs.
	Running func(workload.Process)
	// Exited is told that it has ended, once, and answers what it used.
	Exited func(containerID string) workload.Usage
	// Known is told of every container but sandboxes, of some of them again
	// after a reconnection. May be nil.
	Known func(*workload.Container)

	Socket     string   // default DefaultSocket
	Namespaces []string // containerd's; default: all but Docker's (moby)
	Logger     *slog.Logger
}

// Watcher watches one containerd.
type Watcher struct {
	opts Options
}

// New checks opts. Nothing starts before Run.
func New(opts Options) (*Watcher, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("watch containerd: %w", err)
	}
	if opts.Socket == "" {
		opts.Socket = DefaultSocket
	}
	return &Watcher{opts: opts}, nil
}

func (o *Options) complete() error {
	switch {
	case o.Source == "":
		return errors.New("no Source")
	case o.Whose == nil || o.Emit == nil || o.Running == nil || o.Exited == nil:
		return errors.New("one of Whose, Emit, Running and Exited is missing")
	}
	if o.Known == nil {
		o.Known = func(*workload.Container) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Run watches until ctx ends, and then returns nil. A containerd that is not
// there, or goes away, is looked for again for as long as that takes.
func (w *Watcher) Run(ctx context.Context) error {
	run(ctx, &w.opts, w.session)
	return nil
}

// run has session watch a runtime until ctx ends, connection by connection.
// session reports whether the runtime answered at all.
func run(ctx context.Context, opts *Options, session func(context.Context, *state) (bool, error)) {
	out := &outbox{emit: opts.Emit, queue: make(chan []faas.Event, outboxSize)}
	var wg sync.WaitGroup
	wg.Go(func() { out.run(ctx) })
	defer wg.Wait()

	state := newState(opts, out)
	backoff := minBackoff
	for ctx.Err() == nil {
		connected, err := session(ctx, state)
		if ctx.Err() != nil {
			return
		}
		if connected {
			opts.Logger.Warn("lost the container runtime", "socket", opts.Socket, "error", err)
			backoff = minBackoff
		} else {
			opts.Logger.Debug("the container runtime is not there", "socket", opts.Socket, "error", err)
		}
		wait(ctx, backoff/2+rand.N(backoff))
		backoff = min(2*backoff, maxBackoff)
	}
}

// wait lets d pass, or less if ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// outboxSize is how many containers' facts may wait for a slow disk before
// the watcher stops reading events; containerd queues them then.
const outboxSize = 1024

// maxEmit is how many events are made durable at once.
const maxEmit = 512

// outbox hands events to Emit in order, apart from the watcher's loop, so
// that a disk that is slow delays no probe and no reading of a dying
// container's control group.
type outbox struct {
	emit  func(context.Context, ...faas.Event) error
	queue chan []faas.Event
}

func (o *outbox) put(ctx context.Context, events []faas.Event) {
	if len(events) == 0 {
		return
	}
	select {
	case o.queue <- events:
	case <-ctx.Done(): // what a start leaves in the stores is found again
	}
}

func (o *outbox) run(ctx context.Context) {
	for {
		var batch []faas.Event
		select {
		case batch = <-o.queue:
		case <-ctx.Done():
			return
		}
	gather:
		for len(batch) < maxEmit {
			select {
			case more := <-o.queue:
				batch = append(batch, more...)
			default:
				break gather
			}
		}
		if o.emit(ctx, batch...) != nil {
			return // ctx has ended
		}
	}
}

// session is one connection's life. connected tells whether containerd
// answered at all.
func (w *Watcher) session(ctx context.Context, state *state) (connected bool, err error) {
	c, err := dial(w.opts.Socket)
	if err != nil {
		return false, err
	}
	defer c.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{client: c, state: state, opts: &w.opts, poll: newPoller()}
	// The subscription stands before the list is read, so that nothing falls
	// in between.
	stream, err := c.subscribe(ctx, filters(w.opts.Namespaces))
	if err != nil {
		return false, fmt.Errorf("subscribe to containerd: %w", err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	incoming := make(chan envelope, incomingSize)
	broken := make(chan error, 1) // the receiver's last word
	wg.Go(func() { broken <- receive(ctx, stream, state.exits.received, incoming) })

	if err := s.list(ctx); err != nil {
		return false, fmt.Errorf("list containers: %w", err)
	}
	w.opts.Logger.Info("watching the container runtime", "socket", w.opts.Socket)
	return true, s.loop(ctx, incoming, broken)
}
