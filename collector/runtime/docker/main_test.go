package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	apicontainer "github.com/moby/moby/api/types/container"
	apiregistry "github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/faas"
	build "github.com/coldscope/coldscope/internal/functionhost/image"
	"github.com/coldscope/coldscope/internal/functionhost/registry"
	"github.com/coldscope/coldscope/internal/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	labelFunction = "dev.coldscope.function"
	labelTest     = "dev.coldscope.test"
)

// daemon is the real dockerd, with a registry to pull from.
type daemon struct {
	*client.Client
	t        *testing.T
	registry *registry.Registry
	app      v1.Layer
}

// bandwidth of a layer's download, in bytes per second.
const bandwidth = 20e6

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	api, err := client.New(client.WithHost(DefaultSocket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	if _, err := api.Info(t.Context(), client.InfoOptions{}); err != nil {
		t.Skipf("needs a Docker daemon at %s: %v", DefaultSocket, err)
	}
	r, err := registry.New(t.Context(), registry.Config{Dir: filepath.Join(t.TempDir(), "blobs"), Bandwidth: bandwidth, Latency: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	d := &daemon{Client: api, t: t, registry: r, app: buildApp(t, 16)}
	t.Cleanup(d.removeContainers)
	return d
}

var buildOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "app")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "app")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, "./testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
})

// buildApp makes a layer of the program. A mark of its own makes it one that
// the host has not got.
func buildApp(t *testing.T, mark int) v1.Layer {
	t.Helper()
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	l, err := build.Layer(build.File{Name: "/app", Mode: 0o755, Data: program}, build.File{Name: "/mark", Data: noise(mark)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// noise does not compress.
func noise(n int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

func noiseLayer(t *testing.T, size int) v1.Layer {
	t.Helper()
	l, err := build.Layer(build.File{Name: fmt.Sprintf("/noise-%d", rand.Uint64()), Data: noise(size)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// push makes an image of layers and gives its reference by digest.
func (d *daemon) push(repo string, layers ...v1.Layer) string {
	d.t.Helper()
	img, err := build.Build(v1.Config{Entrypoint: []string{"/app"}}, layers...)
	if err != nil {
		d.t.Fatal(err)
	}
	digest, err := d.registry.Push(d.t.Context(), repo, "v1", img)
	if err != nil {
		d.t.Fatal(err)
	}
	ref := d.registry.Addr() + "/" + repo + "@" + digest.String()
	d.t.Cleanup(func() {
		d.removeContainers()
		_, _ = d.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true, PruneChildren: true}) // may not have been pulled
	})
	return ref
}

// status is one line of a pull's stream, as this test stamped it.
type status struct {
	at       time.Time
	id, text string
}

// pull pulls as a platform does.
func (d *daemon) pull(ref string) []status {
	d.t.Helper()
	repo := strings.TrimPrefix(ref[:strings.Index(ref, "@")], d.registry.Addr()+"/")
	user, password, err := d.registry.Issue(d.t.Context(), repo)
	if err != nil {
		d.t.Fatal(err)
	}
	auth, err := json.Marshal(apiregistry.AuthConfig{Username: user, Password: password, ServerAddress: d.registry.Addr()})
	if err != nil {
		d.t.Fatal(err)
	}
	all := []status{{time.Now(), "", "asked"}}
	stream, err := d.ImagePull(d.t.Context(), ref, client.ImagePullOptions{RegistryAuth: base64.URLEncoding.EncodeToString(auth)})
	if err != nil {
		d.t.Error(err)
		return nil
	}
	defer stream.Close()
	for m, err := range stream.JSONMessages(d.t.Context()) {
		if err != nil || m.Error != nil {
			d.t.Errorf("pull %s: %v %v", ref, err, m.Error)
			return nil
		}
		all = append(all, status{time.Now(), m.ID, m.Status})
	}
	return append(all, status{time.Now(), "", "done"})
}

type runOptions struct {
	ref    string
	labels map[string]string // default: a function's
	args   []string
	auto   bool // remove at exit
	memory int64
	policy apicontainer.RestartPolicy
	entry  []string
}

// create makes a container of a function.
func (d *daemon) create(o runOptions) string {
	d.t.Helper()
	labels := map[string]string{labelFunction: "f", labelTest: d.t.Name()}
	if o.labels != nil {
		labels = o.labels
		labels[labelTest] = d.t.Name()
	}
	c, err := d.ContainerCreate(d.t.Context(), client.ContainerCreateOptions{
		Config: &apicontainer.Config{Image: o.ref, Cmd: o.args, Entrypoint: o.entry, Labels: labels},
		HostConfig: &apicontainer.HostConfig{
			NetworkMode: "none", AutoRemove: o.auto, RestartPolicy: o.policy,
			Resources: apicontainer.Resources{Memory: o.memory, MemorySwap: o.memory},
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return c.ID
}

func (d *daemon) start(id string) {
	d.t.Helper()
	if _, err := d.ContainerStart(d.t.Context(), id, client.ContainerStartOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) run(o runOptions) string {
	d.t.Helper()
	id := d.create(o)
	d.start(id)
	return id
}

func (d *daemon) stop(id string) {
	d.t.Helper()
	seconds := 5
	if _, err := d.ContainerStop(d.t.Context(), id, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) remove(id string) {
	_, err := d.ContainerRemove(context.Background(), id, client.ContainerRemoveOptions{Force: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) { // is being removed already
		d.t.Error(err)
	}
}

func (d *daemon) removeContainers() {
	eventually(d.t, "the test's containers to be gone", func() bool {
		list, err := d.ContainerList(context.Background(), client.ContainerListOptions{
			All: true, Filters: make(client.Filters).Add("label", labelTest+"="+d.t.Name()),
		})
		if err != nil {
			d.t.Error(err)
			return true
		}
		for _, c := range list.Items {
			d.remove(c.ID)
		}
		return len(list.Items) == 0
	})
}

// record keeps what a watcher tells.
type record struct {
	t *testing.T
	*Watcher

	mu      sync.Mutex
	events  []faas.Event
	running map[string][]workload.Process
	exited  map[string]int
	known   map[string][]*workload.Container
	order   map[string][]string // of the calls, by container

	stopOnce func()
}

// watch runs a watcher until the test's end, or stop. It wants the test's own
// containers that have a function.
func watch(t *testing.T, set func(*Options)) *record {
	t.Helper()
	return watchWithQueues(t, queueLength, shardLength, set)
}

func watchWithQueues(t *testing.T, queue, shardQueue int, set func(*Options)) *record {
	t.Helper()
	r := &record{
		t: t, running: map[string][]workload.Process{}, exited: map[string]int{},
		known: map[string][]*workload.Container{}, order: map[string][]string{},
	}
	opts := Options{
		Source: "host-1",
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Whose: func(c *workload.Container) (faas.Ref, bool) {
			f := c.Labels[labelFunction]
			return faas.Ref{Function: f, Instance: c.ID}, f != "" && c.Labels[labelTest] == t.Name()
		},
		Emit: func(_ context.Context, events ...faas.Event) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, e := range events {
				if err := e.Validate(); err != nil {
					t.Errorf("event %s: %v", e.ID, err)
				}
				r.order[e.Instance] = append(r.order[e.Instance], strings.TrimPrefix(e.ID, e.Instance+"/"))
			}
			r.events = append(r.events, events...)
			return nil
		},
		Running: func(p workload.Process) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.running[p.ContainerID] = append(r.running[p.ContainerID], p)
			r.order[p.ContainerID] = append(r.order[p.ContainerID], "Running()")
		},
		Exited: func(id string) workload.Usage {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.exited[id]++
			r.order[id] = append(r.order[id], "Exited()")
			return workload.Usage{MemoryPeak: 4242, CPUTime: time.Second}
		},
		Known: func(c *workload.Container) {
			r.mu.Lock()
			defer r.mu.Unlock()
			copied := *c
			r.known[c.ID] = append(r.known[c.ID], &copied)
		},
	}
	if set != nil {
		set(&opts)
	}
	w, err := newWatcher(opts, queue, shardQueue)
	if err != nil {
		t.Fatal(err)
	}
	r.Watcher = w
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stopOnce = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(r.stopOnce)
	return r
}

// ready waits until the watcher has looked around: whatever comes now is seen.
func (r *record) ready() *record {
	r.t.Helper()
	eventually(r.t, "the watcher to be connected", func() bool {
		if _, since := r.blobs.all(); since.IsZero() {
			return false
		}
		return true
	})
	return r
}

func (r *record) of(id string) []faas.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []faas.Event
	for _, e := range r.events {
		if e.Instance == id {
			out = append(out, e)
		}
	}
	return out
}

// await waits for an event by its fact, such as "stopped".
func (r *record) await(id, fact string) faas.Event {
	r.t.Helper()
	var got faas.Event
	eventually(r.t, fact+" of container "+id, func() bool {
		events := r.of(id)
		n := slices.IndexFunc(events, func(e faas.Event) bool { return e.ID == id+"/"+fact })
		if n >= 0 {
			got = events[n]
		}
		return n >= 0
	})
	return got
}

func (r *record) facts(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order[id])
}

func (r *record) has(id, fact string) bool { return slices.Contains(r.facts(id), fact) }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(40 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited too long for %s", what)
		}
	}
}
