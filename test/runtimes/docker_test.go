package runtimes

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	apicontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost"
	"github.com/coldscope/coldscope/internal/functionhost/image"
	"github.com/coldscope/coldscope/internal/functionhost/samples/halfplustwo"
	"github.com/coldscope/coldscope/internal/workload"
)

// daemon is the host's dockerd, with an image of the test's program.
type daemon struct {
	*client.Client
	t     *testing.T
	image string
	label string // of all of the test's containers
}

// needDocker gives the daemon, or skips.
func needDocker(t *testing.T) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("watching dockerd's files and control groups needs root")
	}
	api, err := client.New(client.WithHost("unix:///var/run/docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	if _, err := api.Ping(t.Context(), client.PingOptions{}); err != nil {
		t.Skipf("no Docker daemon answers on /var/run/docker.sock: %v", err)
	}
	d := &daemon{Client: api, t: t, label: unique("dev.coldscope.test")}
	d.load()
	t.Cleanup(d.clean)
	return d
}

// load brings the program's image to the daemon, with no registry.
func (d *daemon) load() {
	d.t.Helper()
	img, err := image.Build(v1.Config{Entrypoint: []string{"/program"}}, containerdtest.ProgramLayer(d.t, 0))
	if err != nil {
		d.t.Fatal(err)
	}
	tag, err := name.NewTag("coldscope-runtimes:" + unique("test"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.image = tag.String()
	file := filepath.Join(d.t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(file, tag, img); err != nil {
		d.t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	answer, err := d.ImageLoad(d.t.Context(), f)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Close()
	if said, err := io.ReadAll(answer); err != nil || strings.Contains(string(said), `"error"`) {
		d.t.Fatalf("load image: %v %s", err, said)
	}
}

// clean removes containers and image.
func (d *daemon) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := d.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", d.label)})
	if err != nil {
		d.t.Error(err)
	}
	for _, c := range list.Items {
		_, _ = d.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true}) // may be going by itself
	}
	if _, err := d.ImageRemove(ctx, d.image, client.ImageRemoveOptions{Force: true, PruneChildren: true}); err != nil {
		d.t.Error(err)
	}
}

// function is a container to run.
type function struct {
	name   string
	args   []string
	memory int64
	log    string // the log's driver; default json-file
	remove bool   // when it ends, which is waited for
}

// run starts a container; its instance is the container.
func (d *daemon) run(ctx context.Context, f function) (id string, err error) {
	if f.log == "" {
		f.log = "json-file"
	}
	c, err := d.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &apicontainer.Config{Image: d.image, Cmd: f.args, Labels: map[string]string{
			d.label: "", workload.LabelFunction: f.name, workload.LabelNamespace: "runtimes", workload.LabelVersion: "1",
		}},
		HostConfig: &apicontainer.HostConfig{
			AutoRemove: f.remove, LogConfig: apicontainer.LogConfig{Type: f.log},
			Resources: apicontainer.Resources{Memory: f.memory, MemorySwap: f.memory},
		},
	})
	if err != nil {
		return "", err
	}
	if !f.remove {
		_, err = d.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		return c.ID, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended := d.ContainerWait(ctx, c.ID, client.ContainerWaitOptions{Condition: apicontainer.WaitConditionNextExit})
	if _, err := d.ContainerStart(ctx, c.ID, client.ContainerStartOptions{}); err != nil {
		return "", err
	}
	select {
	case <-ended.Result:
		return c.ID, nil
	case err := <-ended.Error:
		return c.ID, err
	}
}

func (d *daemon) mustRun(f function) string {
	d.t.Helper()
	id, err := d.run(d.t.Context(), f)
	if err != nil {
		d.t.Fatal(err)
	}
	return id
}

// watchDocker runs a collector until it has been seen to see containers.
func (d *daemon) watch() (*collector.Collector, *sink) {
	d.t.Helper()
	c, out := collect(d.t, "docker: watching", func(*collector.Config) {})
	out.await(d.mustRun(function{name: "canary", args: []string{"exit", "1ms", "0"}}), "demanded", "stopped")
	return c, out
}

// buildInference compiles the demo's model server.
var buildInference = sync.OnceValues(func() ([]byte, error) {
	program := filepath.Join(scratch, "inference")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program,
		"github.com/coldscope/coldscope/internal/functionhost/samples/inference")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return os.ReadFile(program)
})

// inferenceImage is the model server's image. Each of its layers is new to
// every daemon: those of the demo's image may be there from a demo that runs,
// or was killed, and would not be pulled.
func inferenceImage(t *testing.T) v1.Image {
	t.Helper()
	program, err := buildInference()
	if err != nil {
		t.Fatal(err)
	}
	layer := func(f image.File) v1.Layer {
		l, err := image.Layer(f, image.File{Name: "/etc/" + unique("layer"), Data: []byte("\n")})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	img, err := image.Build(v1.Config{
		User: "1000:1000", Entrypoint: []string{"/inference"}, Cmd: []string{"--model_base_path=/models/half_plus_two"},
		ExposedPorts: map[string]struct{}{"9000/tcp": {}},
	},
		layer(image.File{Name: "/tmp", Dir: true, Mode: 0o1777}),
		layer(image.File{Name: "/models/half_plus_two/00000123/saved_model.bin", Data: halfplustwo.Encode(11 << 19)}),
		layer(image.File{Name: "/inference", Mode: 0o755, Data: program}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// platform is the demo's function platform, on Docker.
type platform struct {
	*functionhost.Host
	t    *testing.T
	fn   functionhost.Function
	stop func()
}

func newPlatform(t *testing.T, events functionhost.Sink) *platform {
	t.Helper()
	h, err := functionhost.New(t.Context(), functionhost.Config{
		DataDir: t.TempDir(), Events: events, Runtime: functionhost.RuntimeDocker, HostName: "platform",
		RegistryBandwidth: 25 << 20, RegistryLatency: 15 * time.Millisecond, StopGrace: time.Second,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	p := &platform{Host: h, t: t}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("platform: %v", err)
		}
	})
	t.Cleanup(p.stop)
	if err := h.Push(t.Context(), "runtimes/inference", "1", inferenceImage(t)); err != nil {
		t.Fatal(err)
	}
	p.fn = functionhost.Function{Namespace: "runtimes", Name: "inference", Image: "runtimes/inference:1"}
	return p
}

// invoke deploys a version of the function, sends it a request, which is the
// first, and gives the instance that answered.
func (p *platform) invoke(version string) string {
	p.t.Helper()
	p.fn.Version = version
	if err := p.Deploy(p.t.Context(), p.fn); err != nil {
		p.t.Fatal(err)
	}
	r, err := p.Invoke(p.t.Context(), p.fn.Key(), functionhost.Request{
		Path: "/v1/models/half_plus_two:predict", Body: []byte(`{"instances":[1,2,5]}`),
	})
	if err != nil || r.Status != faas.StatusOK || !r.Cold {
		p.t.Fatalf("invocation: %v, %+v", err, r)
	}
	return r.Instance
}

// TestDocker: what a platform says of its cold starts, and what is seen of them
// from outside, with dockerd.
func TestDocker(t *testing.T) {
	d := needDocker(t)
	_, outside := d.watch()
	said := newSink(t)
	p := newPlatform(t, said)
	pulled := p.invoke("1")
	cached := p.invoke("2") // the first one's image; it ends the first instance
	p.stop()

	all := []faas.Phase{faas.PhaseResolve, faas.PhasePull, faas.PhaseUnpack, faas.PhaseCreate, faas.PhaseStart, faas.PhaseInit}
	// A platform asks the registry what the tag is before it has dockerd pull
	// the digest; what is seen is how dockerd gets the manifest.
	different := []faas.Phase{faas.PhaseResolve}
	for _, s := range []struct {
		title, instance string
		needed          []faas.Phase
	}{
		{"docker, image pulled", pulled, all},
		{"docker, image cached", cached, []faas.Phase{faas.PhaseCreate, faas.PhaseStart, faas.PhaseInit}},
	} {
		inside := said.await(s.instance, "ready", "stopped")
		seen := outside.await(s.instance, "ready", "stopped")
		compare(inside, seen, s.needed, different).report(t, s.title)
		sameRef(t, outside, s.instance, inside[0].Ref, 10)
	}
}

// sameRef holds the instance's events and lines to its name.
func sameRef(t *testing.T, s *sink, instance string, want faas.Ref, lines int) {
	t.Helper()
	got := s.awaitLines(instance, lines)
	for _, l := range got {
		if l.Ref != want {
			t.Errorf("line %q is of %+v, want %+v", l.Body, l.Ref, want)
		}
	}
	for _, e := range s.of(instance) {
		if e.Ref != want {
			t.Errorf("event %s is of %+v, want %+v", e.ID, e.Ref, want)
		}
	}
}
