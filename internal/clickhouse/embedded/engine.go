// Package embedded runs a real ClickHouse, libchdb, as a child of our own
// binary: on loopback, for one user, with its data in a directory.
//
//	func main() {
//		embedded.RunChildIfAsked() // first: this process may be the child
//		...
//		engine, err := embedded.Start(ctx, embedded.Options{DataDir: dir, Logger: logger})
//		defer engine.Close(ctx)
//		conn, err := clickhouse.Open(ctx, engine.DSN())
//	}
//
// The parent holds the child's standard input open. When the parent dies, in
// whatever way, the child reads the end of it and stops. When the child dies,
// the parent starts it again on the same port: what ClickHouse acknowledged
// is on disk.
package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of starting, restarting and stopping.
const (
	startTimeout   = 30 * time.Second // of one start of the child
	leaveTimeout   = 20 * time.Second // for the child of a dead parent to leave the directory
	closeTimeout   = 20 * time.Second // of Close, where its context has no deadline
	settledAfter   = time.Minute      // a child that lived this long starts with a clean record
	maxFailures    = 15               // deaths and failed starts in a row that are made up for: about a minute
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 5 * time.Second
)

// defaultMemoryLimit bounds what the engine allocates, in bytes. Half of the
// machine's memory is a second bound.
const defaultMemoryLimit = 2 << 30

// Options say where and how the engine runs.
type Options struct {
	// DataDir holds everything the engine keeps. It is made if missing, and
	// closed to other users. Only one process can use it.
	DataDir string
	// Library is the path of libchdb; empty looks for it: $COLDSCOPE_LIBCHDB,
	// the cache that Install fills, beside the executable.
	Library string
	// MemoryLimit bounds the engine's memory, in bytes; 0 means 2 GiB.
	MemoryLimit int64
	// Cold is a second place for older data; nil: there is none. What has moved
	// there the engine needs at every later start.
	Cold *Cold
	// Config is XML put into the engine's configuration as it is, such as
	// <remote_servers>, which makes several engines a cluster.
	Config string
	// Password is the DSN's; empty means the last run's, or a new one.
	Password string
	// Logger is told of starts, deaths and restarts; nil means slog.Default.
	Logger *slog.Logger

	maxFailures int // tests give up earlier; 0 means the constant
}

// Cold is the place of the volume cold in the storage policy coldscope: a
// directory on another disk, or an S3 bucket.
type Cold struct {
	Path                                  string // absolute; else
	Endpoint, Region, AccessKeyID, Secret string
}

// Engine is a running ClickHouse.
type Engine struct {
	dir, library string
	access       access
	maxFailures  int
	log          *slog.Logger
	lock         *os.File // on the data directory
	port         *os.File // keeps the child's port

	stop     chan struct{} // closed by the first Close
	stopOnce sync.Once
	done     chan struct{} // closed when nothing runs any more
	kill     chan struct{} // closed when waiting for an orderly stop is over
	killOnce sync.Once

	mu  sync.Mutex
	pid int   // of the running child, 0 between two
	err error // why the engine gave up
}

// Start runs the engine and waits until it answers. The context bounds the
// start only; Close ends what Start began.
//
// ErrNotInstalled and ErrInUse are the errors that a person can do something
// about, and their messages say what.
func Start(ctx context.Context, opts Options) (*Engine, error) {
	library, err := findLibrary(opts.Library)
	if err != nil {
		return nil, err
	}
	if opts.DataDir == "" {
		return nil, errors.New("start engine: no data directory")
	}
	dir, err := filepath.Abs(opts.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if opts.MemoryLimit == 0 {
		opts.MemoryLimit = defaultMemoryLimit
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	e := &Engine{
		dir: dir, library: library, log: opts.Logger, maxFailures: cmp.Or(opts.maxFailures, maxFailures),
		stop: make(chan struct{}), done: make(chan struct{}), kill: make(chan struct{}),
	}
	owner, err := privateDir(dir)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	if owner != os.Geteuid() {
		e.log.Warn("the data directory belongs to another user, who can read all in it", "data_dir", dir, "uid", owner)
	}
	if opts.Cold != nil && opts.Cold.Path != "" {
		if _, err := privateDir(opts.Cold.Path); err != nil {
			return nil, fmt.Errorf("start engine: make the directory of older data: %w", err)
		}
	}
	if e.lock, err = lockDir(dir); err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	c, err := e.startFirst(ctx, &opts)
	if err != nil {
		e.release()
		return nil, fmt.Errorf("start engine: %w", err)
	}
	e.log.Info("engine started", "pid", c.pid(), "addr", e.access.addr(), "data_dir", dir, "version", c.version)
	if c.version != engineVersion {
		e.log.Warn("engine is not the version this release was tested with", "version", c.version, "tested", engineVersion, "library", library)
	}
	if strings.Contains(c.output.String(), noTerminal) {
		e.log.Warn("engine is fragile", "cause", strings.TrimPrefix(c.said(), ", it said: "))
	}
	e.setPID(c.pid())
	go e.supervise(context.WithoutCancel(ctx), c)
	return e, nil
}

// privateDir makes dir, or takes the access to it away from all but its owner.
func privateDir(dir string) (owner int, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return 0, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), nil
	}
	return os.Geteuid(), nil
}

// startFirst settles port and password and starts the child.
func (e *Engine) startFirst(ctx context.Context, opts *Options) (*child, error) {
	if err := waitForStore(ctx, e.dir); err != nil {
		return nil, err
	}
	e.access = readAccess(e.dir)
	e.access.Password = cmp.Or(opts.Password, e.access.Password, rand.Text()+rand.Text())
	var err error
	if e.port, e.access.Port, err = reserve(ctx, e.access.Port); err != nil {
		return nil, err
	}
	if err := writeFiles(e.dir, e.access, opts); err != nil {
		return nil, err
	}
	return e.startChild(ctx)
}

// release gives up port and directory. No child runs.
func (e *Engine) release() {
	if e.port != nil {
		_ = e.port.Close()
	}
	_ = e.lock.Close() // the lock goes with the file
}

// waitForStore waits until the child of an owner that was killed has left, and
// returns ErrInUse if somebody stays. The caller holds the lock on dir.
func waitForStore(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		used, pid, err := storeInUse(dir)
		if !used || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return inUse(dir, pid)
		case <-tick.C:
		}
	}
}

// DSN is how to reach the engine, with its password. It stays the same for
// the Engine's life, whatever happens to the child, and across restarts of
// the owning process as long as nobody takes the port.
func (e *Engine) DSN() string { return e.access.dsn() }

// PID is the running child's process ID; 0 while there is none.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pid
}

// Done is closed when the engine runs no more and will not be started again:
// after Close, or when it died too often in a row (Err then says why).
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err is why the engine gave up; nil while it runs and after Close.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// Close stops the engine and returns when its process is gone: first in order,
// then, at the context's deadline (20 s without one), by force. An orderly stop
// waits up to 1 s for idle connections and up to 5 s for running queries, so
// clients are better closed first. What was acknowledged is on disk either way.
// Closing twice is allowed.
func (e *Engine) Close(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTimeout)
		defer cancel()
	}
	e.stopOnce.Do(func() { close(e.stop) })
	var err error
	select {
	case <-e.done:
	case <-ctx.Done():
		err = errors.New("stop engine: it did not stop in time and was killed")
		e.killOnce.Do(func() { close(e.kill) })
		<-e.done
	}
	return err
}

// supervise owns the child, one after the other, until Close or until the
// engine gives up.
func (e *Engine) supervise(ctx context.Context, c *child) {
	defer close(e.done)
	defer e.release()
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { // Close also ends a start that is under way
		select {
		case <-e.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	filled := make(chan struct{})
	watch.Go(func() { watchDisk(ctx, e.dir, e.stopMerges, filled) })
	defer watch.Wait()
	defer cancel()

	failures := 0
	for c != nil {
		e.setPID(c.pid())
		select {
		case <-e.stop:
			c.stop(e.kill)
		case <-c.exited:
		case <-filled:
			_ = c.cmd.Process.Kill() // to stop in order it might need the disk
			<-c.exited
			e.setPID(0)
			failures = 0
			c = e.restart(ctx, errDiskWasFull, &failures)
			continue
		}
		e.setPID(0)
		if e.stopping() {
			e.log.Info("engine stopped", "data_dir", e.dir)
			return
		}
		if time.Since(c.started) >= settledAfter {
			failures = 0
		}
		c = e.restart(ctx, c.deathCause(), &failures)
	}
}

func (e *Engine) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// restart starts the child until it stays, and returns nil when the context
// ends or there were too many failures in a row.
func (e *Engine) restart(ctx context.Context, cause error, failures *int) *child {
	for {
		*failures++
		if *failures > e.maxFailures {
			e.giveUp(fmt.Errorf("engine died or did not start %d times in a row, see %s: last: %w", *failures, filepath.Join(e.dir, logFile), cause))
			return nil
		}
		pause := backoff(*failures)
		e.log.Warn("engine is down, starting it again", "cause", cause, "failures", *failures, "pause", pause, "data_dir", e.dir)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		c, err := e.startChild(ctx)
		if err == nil {
			e.log.Info("engine started again", "pid", c.pid(), "addr", e.access.addr(), "data_dir", e.dir)
			return c
		}
		if ctx.Err() != nil {
			return nil
		}
		cause = err
	}
}

// backoff is the pause before the next start after n failures in a row: none
// to speak of at first, then doubling.
func backoff(n int) time.Duration {
	return min(firstBackoff<<(n-1), longestBackoff)
}

func (e *Engine) setPID(pid int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pid = pid
}

func (e *Engine) giveUp(err error) {
	e.log.Error("engine given up", "error", err, "data_dir", e.dir)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}
