// Package kubernetes watches the pods of one node, and their events, at the
// API server, and tells the starts and ends of the functions' containers. It
// speaks the API's plain HTTP: a client library for two watches would be four
// times the collector.
//
// It has to be allowed to list and watch pods and, unless NoEvents, events, of
// all namespaces.
//
// What it can know. Pods are the truth, events an addition: kubelet's events
// may be late, merged, rate limited or expired. A pod's own stamps have whole
// seconds (attribute precision: 1s). An event's have, too, but its name ends
// in the nanosecond at which kubelet made it (client-go,
// tools/record/util.GenerateEventName), on this host's clock. A watcher of the
// runtime on the same host knows more and better; what comes from here has
// the attribute observer: kubernetes.
//
// What it cannot know, and so never tells: processes (Running is never
// called), layers, when an instance is ready, and the end of a container whose
// pod vanished while no collector ran.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// Options of a Watcher.
type Options struct {
	// NodeName is this node's name at the API server; needed.
	NodeName string
	// URL of the API server. Default: that of the cluster this pod is in, or
	// none: then there is nothing to watch.
	URL string
	// TokenFile, CAFile, CertFile and KeyFile are read again when they change.
	// Default inside a cluster: the service account's token and CA.
	TokenFile, CAFile, CertFile, KeyFile string
	// NoEvents leaves the events alone. Events cannot be selected by node, so
	// that each collector gets those of all pods: above some hundred nodes that
	// is more than the API server should carry.
	NoEvents bool

	Source string // of events, e.g. "host-17"
	// Whose says whose a container is; false: nobody wants it. A container that
	// was not created yet has no ID.
	Whose func(*workload.Container) (faas.Ref, bool)
	// Emit makes events durable; it waits as long as that takes, and its error
	// is ctx's.
	Emit func(ctx context.Context, events ...faas.Event) error
	// Known gets every container of the node, wanted or not, init containers
	// too, when it is first seen and when its ID, labels or annotations change.
	// May be nil.
	Known func(*workload.Container)
	// Exited gives what a container has used, before its Stopped is emitted.
	// May be nil.
	Exited func(containerID string) workload.Usage
	Logger *slog.Logger

	now func() time.Time // the clock; for tests
}

// Watcher watches one node's pods.
type Watcher struct {
	opts   Options
	client *client // nil: there is no cluster
	log    *slog.Logger
}

// New checks opts. It starts nothing.
func New(opts Options) (*Watcher, error) {
	if opts.Whose == nil || opts.Emit == nil || opts.Logger == nil {
		return nil, errors.New("new kubernetes watcher: Whose, Emit and Logger are needed")
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	w := &Watcher{opts: opts, log: opts.Logger}
	e, err := endpointOf(opts)
	if err != nil {
		return nil, fmt.Errorf("new kubernetes watcher: %w", err)
	}
	if e == nil {
		return w, nil
	}
	if opts.NodeName == "" {
		return nil, errors.New("new kubernetes watcher: the node's name is missing: set it, in a pod from spec.nodeName")
	}
	w.client = newClient(*e)
	return w, nil
}

// Run watches until ctx ends, and connects again for ever. Its error is ctx's.
func (w *Watcher) Run(ctx context.Context) error {
	if w.client == nil {
		w.log.DebugContext(ctx, "no Kubernetes here")
		<-ctx.Done()
		return ctx.Err()
	}
	defer w.client.close()
	changes := make(chan change)
	deliver := func(ctx context.Context, c change) error {
		select {
		case changes <- c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	pods := &reflector[pod]{
		client: w.client, log: w.log.With("resource", "pods"), paths: []string{"/api/v1/pods"},
		selectors: []string{"spec.nodeName=" + w.opts.NodeName}, cached: true, meta: func(p *pod) *objectMeta { return &p.Metadata },
		deliver: func(ctx context.Context, kind changeKind, p *pod) error {
			return deliver(ctx, change{kind: kind, pod: p})
		},
	}
	g.Go(func() error { return pods.run(ctx) })
	if !w.opts.NoEvents {
		events := &reflector[event]{
			client: w.client, log: w.log.With("resource", "events"),
			paths:     []string{"/api/v1/events", "/apis/events.k8s.io/v1/events"},
			selectors: []string{"involvedObject.kind=Pod", "regarding.kind=Pod"},
			meta:      func(e *event) *objectMeta { return &e.Metadata },
			deliver: func(ctx context.Context, kind changeKind, e *event) error {
				if kind != applied {
					return nil // an event's end is its expiry
				}
				return deliver(ctx, change{kind: kind, event: e})
			},
		}
		g.Go(func() error { return events.run(ctx) })
	}
	g.Go(func() error { return w.follow(ctx, changes) })
	return g.Wait()
}

// change is one fact from the API server: a pod or an event, or that a listing
// of pods begins or ends.
type change struct {
	kind  changeKind
	pod   *pod
	event *event
}

const (
	lookInterval = 10 * time.Second // how often failures without an event are looked for
	maxListed    = 500              // events that are emitted together while pods are listed
)

// follow folds changes into the node's state and emits what follows from them.
func (w *Watcher) follow(ctx context.Context, changes <-chan change) error {
	n := newNode(&w.opts)
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		together := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-changes:
			n.change(c)
			together = n.listed != nil // a node's pods at once: each Emit is a sync of a disk
		case <-ticker.C:
			n.look()
		}
		if len(n.out) == 0 || together && len(n.out) < maxListed {
			continue
		}
		if err := w.opts.Emit(ctx, n.out...); err != nil {
			return err
		}
		n.out = nil // Emit may keep it
	}
}
