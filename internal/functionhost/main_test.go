package functionhost

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/image"
	"github.com/coldscope/coldscope/internal/functionhost/process"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) {
	process.RunChildIfAsked()
	goleak.VerifyTestMain(m)
}

// collector is the real events handler on a real socket, as the collector serves it.
type collector struct {
	client *wire.Client

	mu     sync.Mutex
	events []faas.Event
	refuse error
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{}
	srv := &http.Server{Handler: wire.EventsHandler(func(_ context.Context, events []faas.Event) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.refuse != nil {
			return c.refuse
		}
		c.events = append(c.events, events...)
		return nil
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	c.client, err = wire.NewClient("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close(); srv.Close(); <-done })
	return c
}

func (c *collector) refuseWith(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = err
}

// of gives the events of an instance (all if it is empty), in the order in which they came.
func (c *collector) of(instance string) []faas.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if instance == "" {
		return slices.Clone(c.events)
	}
	var out []faas.Event
	for _, e := range c.events {
		if e.Instance == instance {
			out = append(out, e)
		}
	}
	return out
}

// await waits until the instance's events have one that is what is asked for.
func (c *collector) await(t *testing.T, instance, what string, is func(faas.Event) bool) faas.Event {
	t.Helper()
	var found faas.Event
	eventually(t, what, func() bool {
		events := c.of(instance)
		n := slices.IndexFunc(events, is)
		if n >= 0 {
			found = events[n]
		}
		return n >= 0
	})
	return found
}

func (c *collector) awaitStopped(t *testing.T, instance string) faas.Stopped {
	t.Helper()
	e := c.await(t, instance, "instance "+instance+" to be reported as stopped", func(e faas.Event) bool { return e.Type() == faas.TypeStopped })
	return e.Data.(faas.Stopped)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// needRuntime skips the test on machines that do not have the runtime.
func needRuntime(t *testing.T, name string) {
	t.Helper()
	if name == RuntimeProcess {
		if missing := process.Missing(); missing != "" {
			t.Skip(missing)
		}
		return
	}
	api, err := client.New(client.FromEnv)
	if err != nil {
		t.Skip(err)
	}
	defer api.Close()
	if _, err := api.Ping(t.Context(), client.PingOptions{}); err != nil {
		t.Skipf("no Docker daemon answers at %s: %v", api.DaemonHost(), err)
	}
}

// runHost runs a host for the test's life.
func runHost(t *testing.T, cfg Config) (*Host, *collector) {
	t.Helper()
	def(&cfg.Runtime, RuntimeProcess)
	needRuntime(t, cfg.Runtime)
	c := newCollector(t)
	def(&cfg.DataDir, t.TempDir())
	cfg.Events, cfg.HostName = c.client, "testhost"
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return h, c
}

// testImage is the test function as an image of two layers.
var testImage = sync.OnceValues(func() (v1.Image, error) {
	dir, err := os.MkdirTemp("", "function")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "function")
	build := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		return nil, errors.New(string(msg))
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	base, err := image.Layer(
		image.File{Name: "/etc/passwd", Data: []byte("root:x:0:0::/:\nfn:x:1234:1234::/:\n")},
		image.File{Name: "/etc/secret", Data: []byte("from below")},
		image.File{Name: "/tmp", Dir: true, Mode: 0o1777},
	)
	if err != nil {
		return nil, err
	}
	top, err := image.Layer(image.File{Name: "/bin/function", Mode: 0o755, Data: program}, image.File{Name: "/etc/.wh.secret"})
	if err != nil {
		return nil, err
	}
	return image.Build(v1.Config{User: "fn", Entrypoint: []string{"function"}, Env: []string{"PATH=/bin"}}, base, top)
})

func deploy(t *testing.T, h *Host, f Function) Function {
	t.Helper()
	img, err := testImage()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Push(t.Context(), "test/function", "1", img); err != nil {
		t.Fatal(err)
	}
	def(&f.Name, "fn")
	def(&f.Image, "test/function:1")
	if err := h.Deploy(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	f.setDefaults()
	return f
}
