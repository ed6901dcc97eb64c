// Package runtime watches what happens to a host's containers from outside, by
// all that the host has: a Docker daemon, a containerd, another runtime with CRI,
// the Kubernetes API, and a probe of the processes themselves. It turns what they see into the same
// events that a platform sends, and takes care that each fact is told once, by
// who knows it best (Hub).
package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/collector/runtime/containerd"
	"github.com/coldscope/coldscope/collector/runtime/docker"
	"github.com/coldscope/coldscope/collector/runtime/kubernetes"
	"github.com/coldscope/coldscope/collector/runtime/probe"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// Config is the collector's section runtimes: what is watched. The zero value
// watches what is there.
type Config struct {
	// Docker, Containerd, CRI and Kubernetes are auto (watch it if it is there)
	// or off. Default auto; kubernetes is there if node_name is set.
	Docker     string `yaml:"docker"`
	Containerd string `yaml:"containerd"`
	CRI        string `yaml:"cri"`
	Kubernetes string `yaml:"kubernetes"`
	// DockerSocket is unix:///var/run/docker.sock by default, DockerRoot what
	// the daemon says.
	DockerSocket string `yaml:"docker_socket"`
	DockerRoot   string `yaml:"docker_root"`
	// DockerContainerdRoot is the data directory of a containerd that dockerd did
	// not start itself. Default /var/lib/containerd.
	DockerContainerdRoot string `yaml:"docker_containerd_root"`
	// ContainerdSocket is /run/containerd/containerd.sock by default. Its
	// namespaces are all but Docker's.
	ContainerdSocket     string   `yaml:"containerd_socket"`
	ContainerdNamespaces []string `yaml:"containerd_namespaces"`
	// CRISocket is that of a runtime that has no events of its own to ask for.
	// Default /run/crio/crio.sock.
	CRISocket string `yaml:"cri_socket"`
	// NodeName is this node's in Kubernetes. Default: the environment's NODE_NAME.
	NodeName string `yaml:"node_name"`
	// KubernetesURL is the API server's, with TokenFile and CAFile. Default:
	// those that a pod finds.
	KubernetesURL string `yaml:"kubernetes_url"`
	TokenFile     string `yaml:"token_file"`
	CAFile        string `yaml:"ca_file"`
	// Ports are those on which a function becomes ready. Default 9000.
	Ports []int `yaml:"ports"`
	// InitTimeout is how long after its start an instance is told to listen on
	// nothing, or on what instead. Default 30 s.
	InitTimeout time.Duration `yaml:"init_timeout"`
	// Loopback says that a server on 127.0.0.1 is ready, as where a sidecar hands
	// it its requests (Knative).
	Loopback bool `yaml:"loopback"`
	// EBPF is auto, on or off: whether the kernel tells when a process listens.
	EBPF string `yaml:"ebpf"`
	// ProcRoot and CgroupRoot are /proc and /sys/fs/cgroup of the host.
	ProcRoot   string `yaml:"proc_root"`
	CgroupRoot string `yaml:"cgroup_root"`
}

const (
	auto = "auto"
	off  = "off"
	on   = "on"
)

// Validate tells all that is wrong with c, nil if nothing is. Each error begins
// with the key.
func (c Config) Validate() error {
	var errs []error
	for key, v := range map[string]string{"docker": c.Docker, "containerd": c.Containerd, "cri": c.CRI, "kubernetes": c.Kubernetes} {
		if v != "" && v != auto && v != off {
			errs = append(errs, fmt.Errorf("%s: %q is neither auto nor off", key, v))
		}
	}
	if c.Containerd != off && c.CRI != off && c.criSocket() == c.containerdSocket() {
		errs = append(errs, fmt.Errorf("cri_socket: %s is watched as containerd's already, which tells more", c.criSocket()))
	}
	if c.EBPF != "" && c.EBPF != auto && c.EBPF != off && c.EBPF != on {
		errs = append(errs, fmt.Errorf("ebpf: %q is none of auto, on and off", c.EBPF))
	}
	for _, p := range c.Ports {
		if p < 1 || p > 65535 {
			errs = append(errs, fmt.Errorf("ports: %d is no port", p))
		}
	}
	if c.InitTimeout < 0 {
		errs = append(errs, fmt.Errorf("init_timeout: %s is negative", c.InitTimeout))
	}
	return errors.Join(errs...)
}

func (c Config) containerdSocket() string {
	return cmp.Or(c.ContainerdSocket, containerd.DefaultSocket)
}

func (c Config) criSocket() string { return cmp.Or(c.CRISocket, containerd.DefaultCRISocket) }

// WatchesProcesses reports whether a runtime is watched that tells of
// processes on this host; Kubernetes' API does not.
func (c Config) WatchesProcesses() bool {
	return c.Docker != off || c.Containerd != off || c.CRI != off
}

// Options are what a Hub works with. All but Logger and Registerer are required.
type Options struct {
	Config
	Source string // of events: the host's name
	Whose  func(*workload.Container) (faas.Ref, bool)
	// Append makes events durable. It may fail; the Hub tries again.
	Append func(ctx context.Context, events []faas.Event) error
	// State is that of an earlier Hub, nil if there was none.
	State      []byte
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Hub watches. It is safe for concurrent use.
type Hub struct {
	opts   Options
	log    *slog.Logger
	prober *probe.Prober
	docker *docker.Watcher // nil if it is off
	run    []func(context.Context) error
	facts  *facts
	known  *known
}

// New makes a Hub. It starts nothing.
func New(opts Options) (*Hub, error) {
	h := &Hub{opts: opts, log: opts.Logger, facts: newFacts(), known: newKnown()}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	since := h.restore(opts.State)
	var err error
	if h.prober, err = probe.New(probe.Options{
		Source: opts.Source, Emit: h.emit(byRuntime), Ports: opts.Ports, Loopback: opts.Loopback, Timeout: opts.InitTimeout,
		ProcRoot: opts.ProcRoot, CgroupRoot: opts.CgroupRoot, EBPF: probe.EBPF(opts.EBPF),
		Logger: h.log, Registerer: opts.Registerer,
	}); err != nil {
		return nil, fmt.Errorf("probe of instances: %w", err)
	}
	h.run = append(h.run, h.prober.Run)
	if opts.Docker != off {
		if h.docker, err = docker.New(docker.Options{
			Socket: opts.DockerSocket, DataRoot: opts.DockerRoot, ContainerdRoot: opts.DockerContainerdRoot, Since: since, Source: opts.Source,
			Whose: opts.Whose, Emit: h.emit(byRuntime), Running: h.prober.Running, Exited: h.prober.Exited, Logger: h.log,
		}); err != nil {
			return nil, fmt.Errorf("watch docker: %w", err)
		}
		h.run = append(h.run, h.docker.Run)
	}
	watch := containerd.Options{
		Socket: opts.containerdSocket(), Namespaces: opts.ContainerdNamespaces, Host: opts.Source, Source: opts.Source,
		Whose: opts.Whose, Emit: h.emit(byRuntime), Running: h.prober.Running, Exited: h.prober.Exited,
		Known: h.known.add, Logger: h.log,
	}
	if opts.Containerd != off {
		w, err := containerd.New(watch)
		if err != nil {
			return nil, fmt.Errorf("watch containerd: %w", err)
		}
		h.run = append(h.run, w.Run)
	}
	if opts.CRI != off {
		watch.Socket = opts.criSocket()
		w, err := containerd.NewCRI(watch)
		if err != nil {
			return nil, err
		}
		h.run = append(h.run, w.Run)
	}
	if opts.Kubernetes != off && opts.NodeName != "" {
		// Exited is the runtime's to say: it comes while the control groups are there.
		w, err := kubernetes.New(kubernetes.Options{
			NodeName: opts.NodeName, URL: opts.KubernetesURL, TokenFile: opts.TokenFile, CAFile: opts.CAFile, Source: opts.Source,
			Whose: opts.Whose, Emit: h.emit(byKubernetes), Known: h.known.add, Logger: h.log,
		})
		if err != nil {
			return nil, fmt.Errorf("watch kubernetes: %w", err)
		}
		h.run = append(h.run, w.Run)
	}
	return h, nil
}

// Run watches until ctx ends, and then returns nil, or until something fails
// that will not mend itself.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	failed := make(chan error, len(h.run)+1)
	for _, run := range append(h.run, h.release) {
		running.Go(func() {
			err := run(ctx)
			if ctx.Err() == nil {
				failed <- err
				cancel()
			}
		})
	}
	running.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// Platform takes in what a platform says, before it is made durable: its word
// counts more than what is seen from outside.
func (h *Hub) Platform(events []faas.Event) {
	for i := range events {
		h.prober.Invocation(&events[i])
	}
	h.facts.platform(events, time.Now())
}

// Known gives what a runtime knows of a pod's container.
func (h *Hub) Known(podUID, name string) (*workload.Container, bool) {
	return h.known.get(podUID, name)
}

// KnowsPods reports whether a runtime of pods is there to be watched, so that
// it is worth to wait for what it knows of one.
func (h *Hub) KnowsPods() bool {
	if h.opts.Kubernetes != off && h.opts.NodeName != "" {
		return true
	}
	there := func(mode, socket string) bool {
		_, err := os.Stat(socket)
		return mode != off && err == nil
	}
	return there(h.opts.Containerd, h.opts.containerdSocket()) || there(h.opts.CRI, h.opts.criSocket())
}

// state is what a Hub leaves for the next one.
type state struct {
	Position time.Time `json:"position,omitzero"` // how far the Docker daemon's events are dealt with
	// Told are the facts of the instances that a platform speaks about: what the
	// watchers tell again after a restart is not news.
	Told map[string]map[string]rank `json:"told,omitempty"`
}

// State is what the next Hub on this host has to know of what was told: how far
// the daemon's events are dealt with, without what is held, and what platforms
// said. The same state gives the same bytes.
func (h *Hub) State() []byte {
	b, err := json.Marshal(state{h.facts.safe(h.looked()), h.facts.save()})
	if err != nil {
		return nil // it cannot fail
	}
	return b
}

// restore takes the State of an earlier Hub, and gives its position. One that
// cannot be read costs facts that are told again, under the same names.
func (h *Hub) restore(b []byte) time.Time {
	if len(b) == 0 {
		return time.Time{}
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		h.log.Warn("what was told of containers before is not known", slog.Any("error", err))
		return time.Time{}
	}
	h.facts.restore(s.Told, time.Now())
	return s.Position
}

// DockerContainers is where the Docker daemon keeps its containers' files and
// logs; empty as long as none has answered.
func (h *Hub) DockerContainers() string {
	if h.docker == nil || h.docker.Root() == "" {
		return ""
	}
	return filepath.Join(h.docker.Root(), "containers")
}

// looked is how far they were looked at.
func (h *Hub) looked() time.Time {
	if h.docker == nil {
		return time.Time{}
	}
	return h.docker.Position()
}

// emit gives a watcher's way to the journal.
func (h *Hub) emit(rank rank) func(context.Context, ...faas.Event) error {
	return func(ctx context.Context, events ...faas.Event) error {
		for i := range events {
			events[i].Observed = true
		}
		return h.append(ctx, h.facts.observed(rank, events, time.Now(), h.looked()))
	}
}

// release appends what was held back for better knowledge.
func (h *Hub) release(ctx context.Context) error {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := h.append(ctx, h.facts.due(now)); err != nil {
				return nil // ctx has ended; what was held is told again by who saw it
			}
		}
	}
}

// append makes events durable, however long that takes. Its error is ctx's.
func (h *Hub) append(ctx context.Context, events []faas.Event) error {
	if len(events) == 0 {
		return nil
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := h.opts.Append(ctx, events)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h.log.Warn("events of containers cannot be kept, trying again", slog.Int("events", len(events)), slog.Any("error", err))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// known is what runtimes know of pods' containers, by pod and name.
type known struct {
	mu         sync.Mutex
	containers map[[2]string]*workload.Container
}

// maxKnown bounds what is remembered of containers that are long gone.
const maxKnown = 20_000

func newKnown() *known { return &known{containers: map[[2]string]*workload.Container{}} }

func (k *known) add(c *workload.Container) {
	if c.Pod.UID == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.containers) >= maxKnown {
		clear(k.containers) // those that live are told again after a reconnection, logs' paths say enough until then
	}
	k.containers[[2]string{c.Pod.UID, c.Name}] = c
}

func (k *known) get(podUID, name string) (*workload.Container, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, ok := k.containers[[2]string{podUID, name}]
	return c, ok
}
