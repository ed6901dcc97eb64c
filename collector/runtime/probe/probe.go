package probe

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/cgroup"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// EBPF says whether the kernel is asked to tell when a process listens.
type EBPF string

// The values of Options.EBPF.
const (
	EBPFAuto EBPF = "auto" // if kernel and capabilities allow it
	EBPFOff  EBPF = "off"
	EBPFOn   EBPF = "on" // as auto, but Run fails where it is not possible
)

// Options of a Prober. Zero values take the defaults; Source and Emit are needed.
type Options struct {
	Source string                                                // of events
	Emit   func(ctx context.Context, events ...faas.Event) error // makes events durable; its error is ctx's

	Ports   []int         // on which a function may become ready if its process does not say; default 9000
	Timeout time.Duration // after the process's start, when it is said why nothing listens; default 30s

	// Loopback says that a server on 127.0.0.1 or ::1 is ready, as where a
	// sidecar in the same network namespace hands it its requests (Knative). It
	// always is in the host's network namespace.
	Loopback bool

	PollMin time.Duration // between two looks at a process that has just started; default 1ms
	PollMax time.Duration // and at one that takes long; default 100ms

	ProcRoot   string // of the host's PID namespace; default /proc
	CgroupRoot string // of the host; default /sys/fs/cgroup

	// MaxEventLag is how old an event of an invocation may be for the control
	// groups to be read as of its time; default 50ms.
	MaxEventLag time.Duration

	EBPF       EBPF                  // default auto
	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // nil: metrics are not exported
}

// Bounds that nobody needs to set.
const (
	// firstLook is how old a process may be that is found listening when it is
	// seen first, for its readiness to be told: that it came between then and
	// its start. Of an older one it is not known.
	firstLook = time.Second
	// patience is by how much a look's interval grows with the start's age: an instance
	// that took a second is known to have become ready within 1/20 of it. It is not the
	// look that costs, but waking up for it: 30 to 100µs on a virtual machine.
	patience = 20
	// traceGrace is how long the kernel's word is waited for about a server
	// that listened before the first look.
	traceGrace = 5 * time.Millisecond
	latePoll   = 30 * time.Second // longest interval after Timeout
	// idleShare bounds what looks take of one core, however many instances
	// are starting: one part of so many, after a burst of at most maxBudget.
	idleShare = 20
	maxBudget = 20 * time.Millisecond
	maxPause  = 500 * time.Millisecond
	replySize = 32 << 10 // what the kernel puts into one answer
)

func (o Options) withDefaults() (Options, error) {
	if len(o.Ports) == 0 {
		o.Ports = []int{9000}
	}
	for _, port := range o.Ports {
		if port < 1 || port > 65535 {
			return o, fmt.Errorf("port %d is not a TCP port", port)
		}
	}
	setDefault(&o.Timeout, 30*time.Second)
	setDefault(&o.PollMin, time.Millisecond)
	setDefault(&o.PollMax, max(100*time.Millisecond, o.PollMin))
	setDefault(&o.MaxEventLag, 50*time.Millisecond)
	setDefault(&o.ProcRoot, "/proc")
	setDefault(&o.CgroupRoot, "/sys/fs/cgroup")
	setDefault(&o.EBPF, EBPFAuto)
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	switch {
	case o.Source == "":
		return o, errors.New("source is missing")
	case o.Emit == nil:
		return o, errors.New("emit is missing")
	case o.EBPF != EBPFAuto && o.EBPF != EBPFOff && o.EBPF != EBPFOn:
		return o, fmt.Errorf("ebpf is %q, not auto, off or on", o.EBPF)
	case o.PollMin < 0 || o.PollMax < o.PollMin || o.Timeout < 0 || o.MaxEventLag < 0:
		return o, errors.New("times must be positive and the shortest interval not above the longest")
	}
	return o, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Prober watches the first processes of containers. It is safe for concurrent use.
type Prober struct {
	opts      Options
	log       *slog.Logger
	metrics   *metrics
	tree      cgroup.Tree
	denied    denials
	out       *outbox
	wake      chan struct{} // size 1: there is something to look at
	openCount atomic.Int64  // invocations
	pushed    atomic.Bool   // the kernel tells when a process listens: look less often
	exits     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	instances map[string]*instance // by container ID
	byRef     map[faas.Ref]*instance
	due       dueHeap
	listens   listens
}

// New returns a Prober that does nothing until Run, but takes processes.
func New(opts Options) (*Prober, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("make prober: %w", err)
	}
	m := newMetrics(opts.Registerer)
	return &Prober{
		opts: opts, log: opts.Logger, metrics: m,
		tree:      cgroup.Tree{Proc: opts.ProcRoot, Root: opts.CgroupRoot},
		denied:    denials{log: opts.Logger, metrics: m},
		out:       newOutbox(m),
		wake:      make(chan struct{}, 1),
		instances: map[string]*instance{},
		byRef:     map[faas.Ref]*instance{},
	}, nil
}

// Run looks at starting instances until ctx ends, and then closes what is
// open. It is called once. It fails if the collector's own namespace cannot be opened, or
// if Options.EBPF is on and that is not possible.
func (p *Prober) Run(ctx context.Context) error {
	ns, err := openNetns(p.opts.ProcRoot)
	if err != nil {
		return fmt.Errorf("run prober: %w", err)
	}
	defer ns.close()
	var running sync.WaitGroup
	defer running.Wait()
	stop, err := p.startTrace(&running)
	if err != nil {
		return fmt.Errorf("run prober: %w", err)
	}
	defer stop()
	running.Go(func() { p.out.run(ctx, p.opts.Emit) })

	view := &view{netns: ns, proc: p.opts.ProcRoot, buf: make([]byte, replySize)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	sample := time.NewTicker(sampleSome)
	defer sample.Stop()
	for {
		select {
		case <-ctx.Done():
			p.closeAll()
			return ctx.Err()
		case now := <-sample.C:
			p.sampleAll(now)
			continue
		case <-timer.C:
		case <-p.wake:
		}
		if next, ok := p.round(view); ok {
			timer.Reset(time.Until(next))
		}
	}
}

// Running takes a container's first process to watch. It opens a few files and
// does not wait for anything. One that is known already is ignored.
func (p *Prober) Running(process workload.Process) {
	now := time.Now()
	i := &instance{process: process, ports: p.portsOf(process), seen: now}
	if i.process.StartedAt.IsZero() || process.StartedAt.After(now) {
		i.process.StartedAt = now // the runtime's clock is ours: it is a moment ago
	}
	i.age = max(0, now.Sub(i.process.StartedAt)) // on the wall clock, this once
	p.mu.Lock()
	known := p.instances[process.ContainerID]
	p.mu.Unlock()
	if known != nil && known.process.StartedAt.Equal(i.process.StartedAt) {
		return
	}

	var err error
	if i.group, err = p.tree.Open(process.PID); err != nil && !errors.Is(err, cgroup.ErrShared) {
		p.metrics.failures.WithLabelValues("cgroup").Inc()
		p.log.Debug("control group cannot be read", "container_id", process.ContainerID, "error", err)
	}
	if i.group != nil {
		i.groupName, _ = p.tree.Name(process.PID)
	}
	watch := i.age <= p.opts.Timeout // else nobody can say any more how it started
	if !watch {
		p.metrics.missed.Inc()
	}

	p.mu.Lock()
	old := p.instances[process.ContainerID] // the same container, started again
	p.instances[process.ContainerID] = i
	if old != nil {
		p.forgetRef(old)
	}
	p.byRef[refKey(process.Ref)] = i
	if watch {
		i.starting = true
		p.metrics.starting.Inc()
		heap.Push(&p.due, dueItem{i, now})
	}
	p.mu.Unlock()
	p.watchExit(i)
	if old != nil {
		p.finish(old)
	}
	if watch {
		p.look()
	}
}

// look lets Run look at once.
func (p *Prober) look() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Exited says that the container's process has ended, and gives what it has
// used in its life. Where the process's end cannot be seen here (its numbers are
// others, see watchExit), it must be called at once: a moment later the runtime
// removes the control groups that say so. Of an unknown container the usage is zero.
func (p *Prober) Exited(containerID string) workload.Usage {
	p.mu.Lock()
	i := p.instances[containerID]
	if i == nil {
		p.mu.Unlock()
		return workload.Usage{}
	}
	delete(p.instances, containerID)
	p.forgetRef(i)
	p.mu.Unlock()
	return p.finish(i)
}

// forgetRef is called with mu held.
func (p *Prober) forgetRef(i *instance) {
	if key := refKey(i.process.Ref); p.byRef[key] == i {
		delete(p.byRef, key)
	}
}

// finish ends the watch over an instance that is in no map any more.
func (p *Prober) finish(i *instance) workload.Usage {
	var usage workload.Usage
	if i.group != nil { // first, before the runtime removes the group
		var err error
		if usage, err = i.group.Usage(); err != nil && !i.read.Load() {
			p.metrics.failures.WithLabelValues("usage").Inc()
		}
		i.group.Close()
	}
	p.forgetExit(i)
	p.forgetInvocations(&i.invocations)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.starting && !i.overdue {
		p.emitExited(i, time.Now())
	}
	p.settle(i)
	return usage
}

func (p *Prober) closeAll() {
	p.mu.Lock()
	all := p.instances
	p.instances, p.byRef, p.due = map[string]*instance{}, map[faas.Ref]*instance{}, nil
	p.closed = true
	p.mu.Unlock()
	defer p.exits.Wait()
	for _, i := range all {
		p.forgetExit(i)
		if i.group != nil {
			i.group.Close()
		}
		p.forgetInvocations(&i.invocations)
		i.mu.Lock()
		p.settle(i)
		i.mu.Unlock()
	}
}

func (p *Prober) portsOf(process workload.Process) []uint16 {
	ports := process.Ports
	if len(ports) == 0 {
		ports = p.opts.Ports
	}
	var all []uint16
	for _, port := range ports {
		if port > 0 && port <= 65535 && !slices.Contains(all, uint16(port)) {
			all = append(all, uint16(port))
		}
	}
	return all
}

// refKey is what both the runtime and the platform know of an instance.
func refKey(r faas.Ref) faas.Ref {
	if r.Tenant == faas.DefaultTenant {
		r.Tenant = ""
	}
	r.Version = ""
	return r
}

// dueHeap orders instances by the time of their next look. Those that need
// none any more are dropped when their time comes.
type dueHeap []dueItem

type dueItem struct {
	i  *instance
	at time.Time
}

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(a, b int) bool { return h[a].at.Before(h[b].at) }
func (h dueHeap) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueItem)) }
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = dueItem{}
	*h = old[:len(old)-1]
	return x
}
