package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// Config is what a Runtime needs; all of it is required.
type Config struct {
	// DataDir gets pods/ (log files), images/ (layers, emptied at every start)
	// and instances/ (mount points).
	DataDir string
	Now     func() time.Time // the host's clock, which log records are stamped with
	Logger  *slog.Logger
}

// Runtime runs instances as processes. It is safe for concurrent use.
type Runtime struct {
	cfg       Config
	images    *imageStore
	hostNetns *os.File
	spawns    chan spawnRequest

	mu   sync.Mutex
	live map[string]bool // guarded by mu: instances whose log must stay
}

type spawnRequest struct {
	cmd  *exec.Cmd
	done chan error
}

// Missing says in one sentence what this process lacks to be a Runtime; empty
// if nothing.
func Missing() string {
	if os.Geteuid() != 0 {
		return "the process runtime needs root, to make namespaces and mounts: run as root or use the docker runtime"
	}
	for _, ns := range []string{"mnt", "pid", "ipc", "uts", "net"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			return "the process runtime needs a kernel with " + ns + " namespaces and /proc mounted"
		}
	}
	return ""
}

// New opens the runtime's directories and removes what a host that was killed
// left in them, except for log files.
func New(cfg Config) (*Runtime, error) {
	if missing := Missing(); missing != "" {
		return nil, errors.New(missing)
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("open process runtime: %w", err)
	}
	if strings.ContainsAny(dir, ",:\\") {
		return nil, fmt.Errorf("open process runtime: the path %s has a character that overlay mounts cannot take (one of , : \\)", dir)
	}
	cfg.DataDir = dir
	r := &Runtime{cfg: cfg, spawns: make(chan spawnRequest), live: map[string]bool{}}
	if err := os.RemoveAll(filepath.Join(dir, "instances")); err != nil {
		return nil, fmt.Errorf("open process runtime: %w", err)
	}
	if err := os.MkdirAll(r.podsDir(), 0o755); err != nil {
		return nil, fmt.Errorf("open process runtime: %w", err)
	}
	removeMemoryGroups(r.groupPrefix(), r.isLive)
	r.images, err = openImageStore(filepath.Join(dir, "images"), cfg.Now)
	if err != nil {
		return nil, fmt.Errorf("open process runtime: %w", err)
	}
	r.hostNetns, err = os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open process runtime: %w", err)
	}
	return r, nil
}

// Name is "process".
func (r *Runtime) Name() string { return "process" }

// Run starts the instances' processes, until ctx ends. All instances have to
// be removed by then.
//
// One thread starts them all, and lives as long as they do: a process gets
// its parent-death signal when the thread that started it ends.
func (r *Runtime) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case req := <-r.spawns:
			req.done <- req.cmd.Start()
		case <-ctx.Done():
			r.images.transport.CloseIdleConnections()
			r.hostNetns.Close()
			return r.images.clear()
		}
	}
}

func (r *Runtime) spawn(ctx context.Context, cmd *exec.Cmd) error {
	req := spawnRequest{cmd: cmd, done: make(chan error, 1)}
	select {
	case r.spawns <- req:
		return <-req.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pull makes the image's layers be on this host.
func (r *Runtime) Pull(ctx context.Context, img container.Image, cred container.Credentials) (container.Pulled, error) {
	return r.images.pull(ctx, img, cred)
}

// Create makes an instance of an image that was pulled before.
func (r *Runtime) Create(_ context.Context, spec container.Spec) (container.Instance, error) {
	img, ok := r.images.image(spec.Image.Digest)
	if !ok {
		return nil, fmt.Errorf("create instance %s: image %s was not pulled", spec.Instance, spec.Image)
	}
	r.mu.Lock()
	r.live[spec.Instance] = true // before there is anything to sweep
	r.mu.Unlock()
	i, err := r.newInstance(spec, img)
	if err != nil {
		r.forget(spec.Instance)
		return nil, fmt.Errorf("create instance %s: %w", spec.Instance, err)
	}
	return i, nil
}

func (r *Runtime) isLive(instance string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[instance]
}

func (r *Runtime) forget(instance string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, instance)
}

// Sweep removes the log files of instances that are gone, once nothing has
// been written to them for the given time. Those of earlier hosts in the same
// directory are among them.
func (r *Runtime) Sweep(_ context.Context, retention time.Duration) error {
	removeMemoryGroups(r.groupPrefix(), r.isLive)
	pods, err := os.ReadDir(r.podsDir())
	if err != nil {
		return fmt.Errorf("sweep logs: %w", err)
	}
	for _, pod := range pods {
		instance := pod.Name()[strings.LastIndexByte(pod.Name(), '_')+1:]
		if r.isLive(instance) {
			continue
		}
		dir := filepath.Join(r.podsDir(), pod.Name())
		newest := time.Time{}
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if info, err := d.Info(); err == nil && info.ModTime().After(newest) {
				newest = info.ModTime()
			}
			return nil
		})
		if err != nil || time.Since(newest) < retention {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("sweep logs: %w", err)
		}
	}
	return nil
}

func (r *Runtime) podsDir() string { return filepath.Join(r.cfg.DataDir, "pods") }

func (r *Runtime) scratchDir(instance string) string {
	return filepath.Join(r.cfg.DataDir, "instances", instance)
}

// logPath is where kubelet would have it:
// pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log.
func (r *Runtime) logPath(ref faas.Ref) string {
	pod := ref.Namespace + "_" + ref.Function + "-" + ref.Version + "_" + ref.Instance
	return filepath.Join(r.podsDir(), pod, ref.Function, "0.log")
}

// groupPrefix tells our cgroups from those of a host with another directory.
func (r *Runtime) groupPrefix() string {
	return fmt.Sprintf("coldscope-%08x-", uint32(xxhash.Sum64String(r.cfg.DataDir)))
}

func (s *imageStore) layersDir() string { return filepath.Join(s.dir, "layers") }
