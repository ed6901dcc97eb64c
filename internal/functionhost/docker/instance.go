package docker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	apicontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// instance is one container.
type instance struct {
	runtime *Runtime
	id      string

	cancelWait context.CancelFunc // ends the watch for the container's end
	watching   sync.WaitGroup
	exited     chan struct{}
	exit       container.Exit // set before exited is closed

	mu sync.Mutex
	// guarded by mu:
	addr  string // host:port once known
	pipes pipes  // opened when addr is known
	peak  int64  // bytes, as read before the container was stopped
}

// Create makes a container of an image that was pulled before.
func (r *Runtime) Create(ctx context.Context, spec container.Spec) (container.Instance, error) {
	created, err := r.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: "coldscope-" + spec.Instance,
		Config: &apicontainer.Config{
			Image: spec.Image.String(), Env: spec.Env, Entrypoint: spec.Command, Cmd: spec.Args,
			Labels: map[string]string{
				LabelTenant: spec.Tenant, LabelNamespace: spec.Namespace, LabelFunction: spec.Function,
				LabelVersion: spec.Version, LabelInstance: spec.Instance, labelHost: r.host,
			},
		},
		HostConfig: &apicontainer.HostConfig{
			LogConfig:   apicontainer.LogConfig{Type: "json-file"}, // whatever the daemon's default is
			SecurityOpt: []string{"no-new-privileges"},
			Resources:   apicontainer.Resources{Memory: spec.MemoryLimit, MemorySwap: spec.MemoryLimit},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create container for instance %s: %w", spec.Instance, err)
	}
	for _, w := range created.Warnings {
		r.cfg.Logger.Debug("docker warns of a new container", "container", created.ID, "warning", w)
	}
	return &instance{runtime: r, id: created.ID, exited: make(chan struct{})}, nil
}

// Start runs the container.
func (i *instance) Start(ctx context.Context) error {
	// The watch begins before the start, so that no end is missed, and lasts
	// as long as the container does.
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i.cancelWait = cancel
	wait := i.runtime.api.ContainerWait(watch, i.id, client.ContainerWaitOptions{Condition: apicontainer.WaitConditionNextExit})
	if _, err := i.runtime.api.ContainerStart(ctx, i.id, client.ContainerStartOptions{}); err != nil {
		cancel()
		select { // the watch's own goroutine hands over one of these
		case <-wait.Result:
		case watchErr := <-wait.Error:
			i.runtime.cfg.Logger.Debug("container was not started", "container", i.id, "error", watchErr)
		}
		return fmt.Errorf("start container %s: %w", i.id, err)
	}
	i.watching.Go(func() { i.watch(watch, wait) })
	return nil
}

// watch notes how the container ended.
func (i *instance) watch(ctx context.Context, wait client.ContainerWaitResult) {
	defer close(i.exited)
	select {
	case end := <-wait.Result:
		i.exit.Code = int(end.StatusCode)
		if end.Error != nil {
			i.exit.Err = errors.New(end.Error.Message)
		}
	case err := <-wait.Error:
		i.exit.Err = fmt.Errorf("watch container %s: %w", i.id, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	info, err := i.runtime.api.ContainerInspect(ctx, i.id, client.ContainerInspectOptions{})
	if err == nil && info.Container.State != nil {
		i.exit.OOM = info.Container.State.OOMKilled
	}
	i.mu.Lock()
	i.exit.MemoryPeak = i.peak
	i.mu.Unlock()
}

// Exited is closed when the container has ended.
func (i *instance) Exited() <-chan struct{} { return i.exited }

// Exit says how it ended, once Exited is closed.
func (i *instance) Exit() container.Exit { return i.exit }

// Dial connects to the function's port on the container's own address.
func (i *instance) Dial(ctx context.Context) (net.Conn, error) {
	addr, err := i.address(ctx)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

func (i *instance) address(ctx context.Context) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.addr != "" {
		return i.addr, nil
	}
	info, err := i.runtime.api.ContainerInspect(ctx, i.id, client.ContainerInspectOptions{})
	if err != nil {
		return "", fmt.Errorf("find address of container %s: %w", i.id, err)
	}
	if info.Container.NetworkSettings != nil {
		for _, n := range info.Container.NetworkSettings.Networks {
			if n != nil && n.IPAddress.IsValid() {
				i.openPipes(info.Container.State)
				i.addr = netip.AddrPortFrom(n.IPAddress, container.Port).String()
				return i.addr, nil
			}
		}
	}
	return "", fmt.Errorf("container %s has no address", i.id)
}

// openPipes is called with mu held.
func (i *instance) openPipes(state *apicontainer.State) {
	if state == nil || state.Pid == 0 {
		return // has ended
	}
	var err error
	if i.pipes, err = openPipes(state.Pid, i.id); err != nil {
		i.runtime.cfg.Logger.Debug("the container's pipes cannot be seen, so lines settle by time alone", "container", i.id, "error", err)
	}
}

// Drain does nothing: dockerd reads the output when it will.
func (i *instance) Drain() {}

// maxSettle bounds how long a container that always prints can keep a request waiting.
const maxSettle = 2 * time.Second

// Settle waits until the settle gap has passed since since, and since the
// container's pipes were last seen with something in them: dockerd stamps a
// line when it reads it, and where the machine is busy that can take long.
// What it has read it stamps at once, and so well within the gap.
func (i *instance) Settle(ctx context.Context, since time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxSettle, errSettled)
	defer cancel()
	i.mu.Lock()
	pipes := i.pipes
	i.mu.Unlock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		now := time.Now()
		if !pipes.empty() {
			since = now
		}
		if now.Sub(since) >= i.runtime.cfg.SettleGap {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errSettled) {
				return nil
			}
			return ctx.Err()
		}
	}
}

var errSettled = errors.New("waited long enough")

// Stop asks the process to end, and after grace, in whole seconds, makes it.
func (i *instance) Stop(ctx context.Context, grace time.Duration) error {
	if i.cancelWait == nil {
		return nil // never ran
	}
	peak := memoryPeak(i.id)
	i.mu.Lock()
	i.peak = peak
	i.mu.Unlock()
	seconds := int(math.Ceil(grace.Seconds()))
	ctx, cancel := context.WithTimeout(ctx, grace+callTimeout)
	defer cancel()
	if _, err := i.runtime.api.ContainerStop(ctx, i.id, client.ContainerStopOptions{Timeout: &seconds}); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("stop container %s: %w", i.id, err)
	}
	select {
	case <-i.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop container %s: %w", i.id, ctx.Err())
	}
}

// Remove leaves the container to Sweep, since its log goes with it.
func (i *instance) Remove(context.Context) error {
	if i.cancelWait != nil {
		i.cancelWait()
	}
	i.watching.Wait()
	i.mu.Lock()
	i.pipes.close()
	i.mu.Unlock()
	i.runtime.mu.Lock()
	defer i.runtime.mu.Unlock()
	i.runtime.stopped = append(i.runtime.stopped, stoppedContainer{i.id, time.Now()})
	return nil
}

// memoryPeak is the most memory that a running container used at a time, 0 if
// it cannot be told.
func memoryPeak(id string) int64 {
	for _, file := range []string{
		"/sys/fs/cgroup/memory/docker/" + id + "/memory.max_usage_in_bytes",
		"/sys/fs/cgroup/memory/system.slice/docker-" + id + ".scope/memory.max_usage_in_bytes",
		"/sys/fs/cgroup/system.slice/docker-" + id + ".scope/memory.peak",
		"/sys/fs/cgroup/docker/" + id + "/memory.peak",
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			return n
		}
	}
	return 0
}
