// Package docker runs instances as containers of a Docker daemon on this
// machine, from version 20.10 on. Their lines go to Docker's json-file logs;
// whose they are stands in the containers' labels (see the Label constants).
package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// The labels of a container, by which a collector knows whose lines it prints.
const (
	LabelTenant    = "dev.coldscope.tenant"
	LabelNamespace = "dev.coldscope.namespace"
	LabelFunction  = "dev.coldscope.function"
	LabelVersion   = "dev.coldscope.version"
	LabelInstance  = "dev.coldscope.instance"

	labelHost = "dev.coldscope.functionhost" // which data directory's host it is
)

// callTimeout bounds the calls that clean up.
const callTimeout = 30 * time.Second

// Config is what a Runtime needs; all of it is required.
type Config struct {
	DataDir string // tells the containers of this host from those of others
	Now     func() time.Time
	Logger  *slog.Logger

	// SettleGap is how long an instance rests between two requests. dockerd
	// reads a container's output on its own time and stamps it when it does: a
	// line that was written just before an answer could get a stamp that lies
	// within the next request. See instance.Settle.
	SettleGap time.Duration
	// RemoveGrace is how long stopped containers stay at the end of Run:
	// Docker deletes the log with the container.
	RemoveGrace time.Duration
}

// Runtime runs instances on Docker. It is safe for concurrent use.
type Runtime struct {
	cfg       Config
	api       *client.Client
	host      string          // labelHost's value
	transport *http.Transport // to the registry

	mu sync.Mutex
	// guarded by mu:
	stopped []stoppedContainer
	images  []string // references that were pulled
}

type stoppedContainer struct {
	id string
	at time.Time
}

// New connects to the daemon that the environment names (DOCKER_HOST; by
// default the local one) and removes what a host that was killed left.
func New(ctx context.Context, cfg Config) (*Runtime, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("open docker runtime: %w", err)
	}
	cfg.DataDir = dir
	api, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("open docker runtime: %w", err)
	}
	r := &Runtime{
		cfg: cfg, api: api, host: fmt.Sprintf("%016x", xxhash.Sum64String(dir)),
		transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second},
	}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open docker runtime: %w", err), api.Close())
	}
	return r, nil
}

func (r *Runtime) open(ctx context.Context) error {
	if host := r.api.DaemonHost(); !strings.HasPrefix(host, "unix://") {
		return fmt.Errorf("the Docker daemon at %s is not on this machine: its containers and logs cannot be reached", host)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := r.api.Ping(ctx, client.PingOptions{}); err != nil {
		return fmt.Errorf("ask the Docker daemon at %s: %w", r.api.DaemonHost(), err)
	}
	images, err := r.readImages()
	if err != nil {
		return err
	}
	return r.removeAll(ctx, images)
}

// Name is "docker".
func (r *Runtime) Name() string { return "docker" }

// Close drops the connections of a Runtime that was not run.
func (r *Runtime) Close() error {
	r.transport.CloseIdleConnections()
	return r.api.Close()
}

// Run waits until ctx ends, and then removes containers and images.
func (r *Runtime) Run(ctx context.Context) error {
	<-ctx.Done()
	defer func() { _ = r.Close() }() // drops connections
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.RemoveGrace+callTimeout)
	defer cancel()
	r.mu.Lock()
	var last time.Time
	for _, c := range r.stopped {
		if c.at.After(last) {
			last = c.at
		}
	}
	images := slices.Clone(r.images)
	r.mu.Unlock()
	t := time.NewTimer(time.Until(last.Add(r.cfg.RemoveGrace)))
	defer t.Stop()
	<-t.C
	return r.removeAll(undo, images)
}

// Sweep removes the containers that stopped longer than retention ago.
func (r *Runtime) Sweep(ctx context.Context, retention time.Duration) error {
	r.mu.Lock()
	var old []stoppedContainer
	r.stopped = slices.DeleteFunc(r.stopped, func(c stoppedContainer) bool {
		if time.Since(c.at) < retention {
			return false
		}
		old = append(old, c)
		return true
	})
	r.mu.Unlock()
	var errs []error
	for _, c := range old {
		errs = append(errs, r.remove(ctx, c.id))
	}
	return errors.Join(errs...)
}

func (r *Runtime) remove(ctx context.Context, id string) error {
	_, err := r.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	return nil
}

// removeAll removes this host's containers and the given images.
func (r *Runtime) removeAll(ctx context.Context, images []string) error {
	ours, err := r.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", labelHost+"="+r.host),
	})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	var errs []error
	for _, c := range ours.Items {
		errs = append(errs, r.remove(ctx, c.ID))
	}
	for _, ref := range images {
		// Other references to the same content keep it alive.
		_, err := r.api.ImageRemove(ctx, ref, client.ImageRemoveOptions{PruneChildren: true})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			errs = append(errs, fmt.Errorf("remove image %s: %w", ref, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(r.imagesFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget images: %w", err)
	}
	return nil
}

// imagesFile lists what was pulled: pulled images cannot carry a label, and
// one that was left behind would make the next host's cold starts warm.
func (r *Runtime) imagesFile() string { return filepath.Join(r.cfg.DataDir, "docker-images") }

func (r *Runtime) readImages() ([]string, error) {
	f, err := os.Open(r.imagesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read list of images: %w", err)
	}
	defer f.Close()
	var refs []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		refs = append(refs, lines.Text())
	}
	return refs, lines.Err()
}

// noteImage remembers an image before it is pulled.
func (r *Runtime) noteImage(img container.Image) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.images, img.String()) {
		return nil
	}
	f, err := os.OpenFile(r.imagesFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("note image: %w", err)
	}
	_, err = f.WriteString(img.String() + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("note image: %w", err)
	}
	r.images = append(r.images, img.String())
	return nil
}
