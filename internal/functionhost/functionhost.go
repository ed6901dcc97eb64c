// Package functionhost is a small function platform: it deploys functions of
// container images from a registry of its own, brings instances up when
// requests need them, hands requests to their port 9000, keeps instances for a
// while and stops idle ones, and reports every fact of that as events. It
// exists so that everything that observes functions has real ones to observe.
//
// What it promises to whoever attributes lines to requests: all its time
// stamps come from one clock that never stands still or goes back; an
// instance serves one request at a time unless the function says otherwise;
// an invocation's start is stamped and reported before the request's first
// byte leaves, its end after the last byte of the answer came; and between two
// requests the instance's output is given time to get its stamps.
package functionhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
	"github.com/coldscope/coldscope/internal/functionhost/docker"
	"github.com/coldscope/coldscope/internal/functionhost/process"
	"github.com/coldscope/coldscope/internal/functionhost/registry"
)

// The runtimes that Config.Runtime can name.
const (
	RuntimeAuto    = "auto" // docker if its daemon answers, else process
	RuntimeDocker  = "docker"
	RuntimeProcess = "process"
)

// Sink takes events. It returns when they are safe; an error means that they
// have to be sent again, unless wire.Permanent says otherwise.
type Sink interface {
	SendEvents(ctx context.Context, events []faas.Event) error
}

// Config is what a Host needs. Zero values are replaced by the defaults named.
type Config struct {
	DataDir string // required; one host at a time
	Events  Sink   // required
	Runtime string // default RuntimeAuto

	Tenant   string // default faas.DefaultTenant
	Region   string // default "local"
	HostName string // default os.Hostname; the events' source

	RegistryBandwidth int64         // bytes per second of one layer's download; 0: unlimited
	RegistryLatency   time.Duration // added to each request to the registry

	IdleTimeout  time.Duration // after which an on-demand instance is stopped; default 1 minute
	MaxStarts    int           // instances being started at a time; default 4
	LogRetention time.Duration // how long the logs of stopped instances stay; default 10 minutes
	// RemoveGrace is how long containers stay at the end of Run, so that
	// their last lines are read. Docker deletes a container's log with it. Default 1 second.
	RemoveGrace time.Duration
	StopGrace   time.Duration // between SIGTERM and SIGKILL; default 2 seconds
	// SettleGap is how long an instance of the docker runtime rests between
	// two requests: see docker.Config. Default 10 ms.
	SettleGap time.Duration

	Logger *slog.Logger // default: none
}

func (c *Config) setDefaults() error {
	if c.DataDir == "" || c.Events == nil {
		return errors.New("a function host needs a data directory and a sink for its events")
	}
	def(&c.Runtime, RuntimeAuto)
	def(&c.Tenant, faas.DefaultTenant)
	def(&c.Region, "local")
	def(&c.IdleTimeout, time.Minute)
	def(&c.MaxStarts, 4)
	def(&c.LogRetention, 10*time.Minute)
	def(&c.RemoveGrace, time.Second)
	def(&c.StopGrace, 2*time.Second)
	def(&c.SettleGap, 10*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.HostName == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find host name: %w", err)
		}
		c.HostName = name
	}
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// containerRuntime is what the host needs of a container runtime.
type containerRuntime interface {
	Name() string
	// Run serves the other methods until ctx ends, and then removes what the
	// runtime had brought to the machine.
	Run(ctx context.Context) error
	// Pull makes the image be here. What it returns is true as far as it goes,
	// also with an error.
	Pull(ctx context.Context, img container.Image, cred container.Credentials) (container.Pulled, error)
	Create(ctx context.Context, spec container.Spec) (container.Instance, error)
	// Sweep removes the logs of instances that were removed longer than retention ago.
	Sweep(ctx context.Context, retention time.Duration) error
}

// Host is a function platform on one machine. It is safe for concurrent use.
type Host struct {
	cfg      Config
	clock    clock
	registry *registry.Registry
	runtime  containerRuntime
	events   *sender

	toRegistry *http.Transport // the host's own requests
	launches   chan *instance  // to Run, which owns the instances' goroutines
	closing    chan struct{}   // closed when Run begins to end
	startSlot  chan struct{}   // a token for each instance that is being started

	mu sync.Mutex
	// guarded by mu:
	functions map[string]*pool // by namespace/name
	retired   []*pool          // replaced by a later Deploy, with instances left
}

// New binds the registry's port, picks the runtime and clears what a host
// that was killed left in the data directory.
func New(ctx context.Context, cfg Config) (*Host, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o755); err != nil {
		return nil, fmt.Errorf("open function host: %w", err)
	}
	h := &Host{
		cfg:        cfg,
		toRegistry: &http.Transport{MaxIdleConnsPerHost: cfg.MaxStarts, IdleConnTimeout: 30 * time.Second},
		launches:   make(chan *instance),
		closing:    make(chan struct{}),
		startSlot:  make(chan struct{}, cfg.MaxStarts),
		functions:  map[string]*pool{},
	}
	h.events = newSender(cfg.Events, cfg.HostName, cfg.Logger)
	var err error
	h.registry, err = registry.New(ctx, registry.Config{
		Dir:       filepath.Join(cfg.DataDir, "registry"),
		Bandwidth: cfg.RegistryBandwidth, Latency: cfg.RegistryLatency, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("open function host: %w", err)
	}
	h.runtime, err = h.openRuntime(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open function host: %w", err), h.registry.Close())
	}
	return h, nil
}

func (h *Host) openRuntime(ctx context.Context) (containerRuntime, error) {
	openProcess := func() (containerRuntime, error) {
		return process.New(process.Config{DataDir: h.cfg.DataDir, Now: h.clock.now, Logger: h.cfg.Logger})
	}
	openDocker := func() (containerRuntime, error) {
		return docker.New(ctx, docker.Config{
			DataDir: h.cfg.DataDir, Now: h.clock.now, Logger: h.cfg.Logger,
			SettleGap: h.cfg.SettleGap, RemoveGrace: h.cfg.RemoveGrace,
		})
	}
	switch h.cfg.Runtime {
	case RuntimeDocker:
		return openDocker()
	case RuntimeProcess:
		return openProcess()
	case RuntimeAuto:
		r, err := openDocker()
		if err == nil {
			return r, nil
		}
		h.cfg.Logger.Info("using the process runtime, since docker cannot be used", "error", err)
		p, processErr := openProcess()
		if processErr != nil {
			return nil, fmt.Errorf("no container runtime can be used: docker: %w; process: %w", err, processErr)
		}
		return p, nil
	}
	return nil, fmt.Errorf("unknown runtime %q (known: %s, %s, %s)", h.cfg.Runtime, RuntimeAuto, RuntimeDocker, RuntimeProcess)
}

// RuntimeName tells which runtime was picked: "docker" or "process".
func (h *Host) RuntimeName() string { return h.runtime.Name() }

// LogRoot is where the process runtime writes the instances' logs, laid out
// as kubelet does.
func (h *Host) LogRoot() string { return filepath.Join(h.cfg.DataDir, "pods") }

// Registry is the own registry's host:port.
func (h *Host) Registry() string { return h.registry.Addr() }

// Push puts an image into the own registry; Function.Image then names it as
// repo:tag.
func (h *Host) Push(ctx context.Context, repo, tag string, img v1.Image) error {
	_, err := h.registry.Push(ctx, repo, tag, img)
	return err
}

// Run is the host's life. When ctx ends it stops all instances, sends the
// events that are left, and removes what it brought to the machine, except
// for log files.
func (h *Host) Run(ctx context.Context) error {
	// Instances need these until their end.
	serve, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	services, serve := errgroup.WithContext(serve)
	services.Go(func() error { return h.registry.Run(serve) })
	services.Go(func() error { return h.runtime.Run(serve) })

	// Events are sent until all else is done.
	send, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	var sending sync.WaitGroup
	sending.Go(func() { h.events.run(send) })

	live, stopLive := context.WithCancel(ctx)
	defer stopLive()
	stop := context.AfterFunc(serve, stopLive) // a service that fails ends it all
	defer stop()
	h.supervise(live)

	h.toRegistry.CloseIdleConnections()
	stopServing()
	err := services.Wait()
	stopSending()
	sending.Wait()
	return err
}

// supervise owns the instances' goroutines and does what is due from time to
// time, until ctx ends and all instances have.
func (h *Host) supervise(ctx context.Context) {
	var instances sync.WaitGroup
	defer instances.Wait()
	defer close(h.closing)
	reap := time.NewTicker(min(max(h.cfg.IdleTimeout/4, 20*time.Millisecond), time.Second))
	defer reap.Stop()
	sweep := time.NewTicker(min(max(h.cfg.LogRetention/4, time.Second), time.Minute))
	defer sweep.Stop()
	for {
		select {
		case i := <-h.launches:
			instances.Go(func() { h.live(ctx, i) })
		case <-reap.C:
			for _, p := range h.pools() {
				p.stopIdle(h.clock.now(), h.cfg.IdleTimeout)
				for _, i := range p.provision(h.clock.now()) {
					instances.Go(func() { h.live(ctx, i) })
				}
			}
		case <-sweep.C:
			// Beside the rest: removing containers takes its time.
			instances.Go(func() {
				if err := h.runtime.Sweep(ctx, h.cfg.LogRetention); err != nil && ctx.Err() == nil {
					h.cfg.Logger.Warn("old logs were not removed", "error", err)
				}
			})
		case <-ctx.Done():
			return
		}
	}
}

// launch hands a new instance to Run.
func (h *Host) launch(ctx context.Context, i *instance) {
	var err error
	select {
	case h.launches <- i:
		return
	case <-h.closing:
		err = ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	h.failStart(ctx, i, err)
}

func (h *Host) isClosing() bool {
	select {
	case <-h.closing:
		return true
	default:
		return false
	}
}

func (h *Host) pools() []*pool {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := h.retired[:0]
	for _, p := range h.retired {
		if !p.empty() {
			kept = append(kept, p)
		}
	}
	h.retired = kept
	all := make([]*pool, 0, len(h.functions)+len(kept))
	for _, p := range h.functions {
		all = append(all, p)
	}
	return append(all, kept...)
}
