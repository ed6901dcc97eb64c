// Package docker watches the containers of a Docker daemon on this host and
// tells what happens to them as events: from the pull of an instance's image to
// its end. It only reads: the daemon's API, and the daemon's own files.
//
// Where the facts come from, and how good they are:
//
//   - Life of containers: the daemon's event stream, with the daemon's
//     nanosecond stamps. The daemon remembers 256 events and forgets them when
//     it restarts, so after every connection all containers are listed and
//     what was missed is read from them.
//   - create: from the container's Created stamp until the daemon's create
//     event, at which the stamp is read from the container's files, since it
//     may be gone when it is asked for. start: from the daemon's network
//     connect event, which begins every start, until State.StartedAt. The
//     process's first line was seen to be written from 5 ms before StartedAt to
//     3 ms after it. For a start that was missed, neither is known, and both
//     are left out.
//   - The end: the die event comes 20 to 50 ms after the process has ended.
//   - Pull and unpack: the API tells nobody but who asked for a pull when it
//     began, and nobody at all of one that failed. They are read from the
//     stamps that the kernel puts on the daemon's files, see layers.go. That
//     needs access to the daemon's data directory, and an image store of the
//     daemon's own (graph driver), which is the default before Docker 29. With
//     the containerd image store, containerd has these facts.
//   - resolve: only the download of the manifest leaves a trace; the look-up
//     of the tag and the registry's authentication before it do not.
//   - A pull that failed belongs to no container and is not reported.
//
// A container that is started again keeps its instance, and the store knows one
// start of an instance. So later runs of a container have a Stopped event each,
// and nothing else. Of a container that ended and was started again while there
// was no connection, and whose events the daemon has forgotten, that end is
// missed; so is a start that failed then.
//
// What happened is told again under the same event IDs, if at all. Ends that
// nobody saw have the reason "removed" and the time at which they were noticed.
package docker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// DefaultSocket is where a Docker daemon listens unless it is told otherwise.
const DefaultSocket = "unix:///var/run/docker.sock"

const (
	callTimeout    = 15 * time.Second
	listTimeout    = time.Minute
	reconcileEvery = 5 * time.Minute
	minBackoff     = 500 * time.Millisecond
	maxBackoff     = 30 * time.Second
	shards         = 8    // of containers, and so calls of the API at a time
	queueLength    = 8192 // events; what does not fit is asked for again
	shardLength    = 16   // events of a shard: they hold up the queue's, which is long
)

// Options say what to watch and whom to tell. Whose and Emit are required. The
// functions are called from several goroutines at once, but for one container
// in order.
type Options struct {
	Socket string // of the daemon; default DefaultSocket
	// DataRoot is the daemon's data directory as this process sees it; default
	// what the daemon says.
	DataRoot string
	// ContainerdRoot is the data directory of a containerd that dockerd did not
	// start itself; default /var/lib/containerd. Image manifests are there.
	ContainerdRoot string
	// Since is the Position of an earlier Watcher: what had happened by then was
	// reported. Zero: everything that can still be found is.
	Since time.Time

	Source string // of events, the host's name
	// Whose says which instance a container is; false: nobody wants it. It sees
	// what the daemon says in events and lists: ID, name, image and labels.
	Whose func(*workload.Container) (faas.Ref, bool)
	// Emit makes events durable; its error is ctx's.
	Emit func(ctx context.Context, events ...faas.Event) error
	// Running is called once per container, when its first process runs or was
	// found running. May be nil.
	Running func(workload.Process)
	// Exited is called once per container, when its first process has ended,
	// before that is emitted. May be nil.
	Exited func(containerID string) workload.Usage
	// Known is called once per container, wanted or not. May be nil.
	Known  func(*workload.Container)
	Logger *slog.Logger
}

// Watcher watches one daemon.
type Watcher struct {
	opts   Options
	queue  int // queueLength
	api    *client.Client
	pos    *position
	blobs  *blobWatch
	images *images
	shards [shards]*shard
	// recent are the containers that were created lately: the first one of an
	// image gets the pull of it.
	recent *recentCreates
	seed   maphash.Seed // of shardOf

	generation uint64                 // of the lists of containers; Run's own
	connected  bool                   // Run's own: what the log was told
	dataRoot   string                 // Run's own
	root       atomic.Pointer[string] // the same for others
}

// New makes a Watcher. It does not look for the daemon yet.
func New(opts Options) (*Watcher, error) { return newWatcher(opts, queueLength, shardLength) }

func newWatcher(opts Options, queue, shardQueue int) (*Watcher, error) {
	if opts.Whose == nil || opts.Emit == nil {
		return nil, errors.New("watch docker: Whose and Emit are required")
	}
	if opts.Socket == "" {
		opts.Socket = DefaultSocket
	}
	if !strings.HasPrefix(opts.Socket, "unix://") {
		return nil, fmt.Errorf("watch docker at %s: not a unix:// address, and only this host's processes and files can be seen", opts.Socket)
	}
	if opts.Since.After(time.Now()) {
		opts.Since = time.Time{} // the clock was set back
	}
	if opts.ContainerdRoot == "" {
		opts.ContainerdRoot = "/var/lib/containerd"
	}
	if opts.Running == nil {
		opts.Running = func(workload.Process) {}
	}
	if opts.Exited == nil {
		opts.Exited = func(string) workload.Usage { return workload.Usage{} }
	}
	if opts.Known == nil {
		opts.Known = func(*workload.Container) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	api, err := client.New(client.WithHost(opts.Socket))
	if err != nil {
		return nil, fmt.Errorf("watch docker at %s: %w", opts.Socket, err)
	}
	w := &Watcher{
		opts: opts, queue: queue, api: api, pos: newPosition(opts.Since), recent: newRecentCreates(), seed: maphash.MakeSeed(),
		blobs: newBlobWatch(opts.Logger),
	}
	w.images = newImages(api, w.blobs)
	for n := range w.shards {
		w.shards[n] = newShard(w, shardQueue)
	}
	return w, nil
}

// Position is the time of the last event of the daemon such that it and all
// before it have been dealt with, zero if there was none. A Watcher that gets
// it as Since goes on from there.
func (w *Watcher) Position() time.Time { return w.pos.get() }

// Root is the daemon's data directory as this process sees it; empty as long as
// no daemon has answered.
func (w *Watcher) Root() string {
	if root := w.root.Load(); root != nil {
		return *root
	}
	return ""
}

// Run watches until ctx ends, and then returns nil. A daemon that is not there
// is looked for again, for ever.
func (w *Watcher) Run(ctx context.Context) error {
	defer func() { _ = w.api.Close() }() // drops connections
	if err := w.blobs.open(); err != nil {
		w.opts.Logger.Warn("docker: pull times are not reported: files cannot be watched", "error", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.blobs.run(ctx); return nil })
	for _, s := range w.shards {
		g.Go(func() error { s.run(ctx); return nil })
	}
	g.Go(func() error { w.keepConnected(ctx); return nil })
	return g.Wait()
}

func (w *Watcher) keepConnected(ctx context.Context) {
	backoff := minBackoff
	for ctx.Err() == nil {
		begin := time.Now()
		err := w.session(ctx)
		if ctx.Err() != nil {
			return
		}
		w.tellLost(err)
		if errors.Is(err, errBehind) || time.Since(begin) > maxBackoff {
			backoff = minBackoff
		}
		t := time.NewTimer(backoff/2 + rand.N(backoff))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (w *Watcher) tellLost(err error) {
	if !w.connected || errors.Is(err, errBehind) {
		w.opts.Logger.Debug("docker: not connected", "socket", w.opts.Socket, "error", err)
		return
	}
	w.connected = false
	w.opts.Logger.Info("docker: the connection to the daemon ended, what is missed will be read when it is back", "socket", w.opts.Socket, "error", err)
}

// identify asks the daemon what it is and begins to watch its files.
func (w *Watcher) identify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := w.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("ask the daemon what it is: %w", err)
	}
	if !w.connected {
		w.connected = true
		w.opts.Logger.Info("docker: watching", "socket", w.opts.Socket, "version", got.Info.ServerVersion)
	}
	w.watchFiles(&got.Info)
	return nil
}

// watchFiles says once for each daemon what its files will tell.
func (w *Watcher) watchFiles(info *system.Info) {
	root := w.opts.DataRoot
	if root == "" {
		root = info.DockerRootDir
	}
	first := root != w.dataRoot
	w.dataRoot = root
	w.root.Store(&root)
	if containerdStore(info) {
		w.images.use(nil)
		if first {
			w.opts.Logger.Info("docker: images are in containerd's store, so pulls are containerd's to tell", "driver", info.Driver)
		}
		return
	}
	err := w.blobs.watch(root)
	if err != nil {
		w.images.use(nil)
		if first {
			w.opts.Logger.Info("docker: pull and unpack times are not reported, all else is: the daemon's data directory cannot be read; mount it read-only at its own path, or set where it is, and run as root or with CAP_DAC_READ_SEARCH",
				"data_root", root, "error", err)
		}
		return
	}
	w.images.use(newStore(root, info.Driver, w.opts.ContainerdRoot))
}

// containerdStore tells whether the daemon keeps its images in containerd.
func containerdStore(info *system.Info) bool {
	for _, kv := range info.DriverStatus {
		if kv[0] == "driver-type" && kv[1] == "io.containerd.snapshotter.v1" {
			return true
		}
	}
	return false
}
