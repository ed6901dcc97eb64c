package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/runtime"
	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/workload"
)

// newScanner makes what finds logs, and what watches the runtimes of which it
// learns whose they are.
func (c *Collector) newScanner(journalDir string, reg prometheus.Registerer) error {
	mapper, err := workload.NewMapper(c.cfg.Mapping)
	if err != nil {
		return err
	}
	state, err := durable.ReadFile(c.runtimeFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("what was told of containers before is not known", slog.Any("error", err))
	}
	if c.hub, err = runtime.New(runtime.Options{
		Config: c.cfg.Runtimes, Source: c.cfg.Host, Whose: mapper.Ref, Append: c.journal.Append,
		State: state, Logger: c.log, Registerer: reg,
	}); err != nil {
		return err
	}
	if err := os.MkdirAll(c.spoolDir(), 0o700); err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	opts := discover.Options{
		CRI: c.cfg.CRI, Docker: c.cfg.Docker, Files: c.cfg.Files, Journal: journalDir, Spool: c.spoolDir(),
		Tenant: c.cfg.Tenant, Whose: mapper.Ref, Watch: c.notify.Dir,
	}
	if c.cfg.dockerByDefault {
		opts.MoreDocker = c.hub.DockerContainers
	}
	if c.hub.KnowsPods() {
		opts.Known, opts.Wait = c.hub.Known, knownWait
	}
	if c.scanner, err = discover.New(opts); err != nil {
		return err
	}
	for _, g := range c.inherited {
		c.scanner.Remember(g)
	}
	return nil
}

// knownWait is how long a pod's log waits for its runtime to say what its
// labels are.
const knownWait = 3 * time.Second

// told passes on what the kernel says of directories.
func (c *Collector) told(ctx context.Context, dirs []string, all bool) {
	if all {
		dirs = nil
		c.log.Warn("the kernel dropped hints of new files, looking at all directories")
	}
	select {
	case c.changed <- dirs:
	case <-ctx.Done():
	}
}

// scanLoop looks for new files, again and again, and starts what reads them.
func (c *Collector) scanLoop(ctx context.Context, reading *sync.WaitGroup) {
	const fullEvery, pruneAfter = 10 * time.Second, 10 * time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	var lastFull, started time.Time
	var pruned bool
	var lastError string
	found := func(g *discover.Generation) { c.dispatch(ctx, reading, g) }
	for _, g := range c.inherited {
		found(g)
	}
	for {
		var done chan struct{}
		select {
		case <-ctx.Done():
			return
		case done = <-c.rescan:
		case dirs := <-c.changed:
			if dirs != nil {
				c.scanner.Look(dirs, found)
				continue
			}
		case <-timer.C:
		}
		begin := time.Now()
		full := begin.Sub(lastFull) >= fullEvery
		err := c.scanner.Scan(full, found)
		took := time.Since(begin)
		if full {
			lastFull = begin
		}
		if started.IsZero() {
			started = begin
			c.ready.Store(true)
		}
		if !pruned && err == nil && begin.Sub(started) > pruneAfter {
			c.prune(ctx, begin)
			pruned = true
		}
		lastError = c.scanFailed(err, lastError)
		if done != nil {
			close(done)
		}
		// At most a fiftieth of a core goes into looking.
		timer.Reset(min(max(c.scanInterval(), 50*took), 10*time.Second))
	}
}

func (c *Collector) scanInterval() time.Duration {
	switch {
	case c.cfg.ScanInterval > 0:
		return c.cfg.ScanInterval
	case c.notify.Works():
		return 5 * time.Second
	}
	return 250 * time.Millisecond
}

// scanFailed logs what could not be looked at, once.
func (c *Collector) scanFailed(err error, last string) string {
	if err == nil {
		return ""
	}
	if err.Error() != last {
		c.log.Warn("some log files cannot be looked for", slog.Any("error", err))
	}
	return err.Error()
}

// dispatch gives a new generation to its container's chain.
func (c *Collector) dispatch(ctx context.Context, reading *sync.WaitGroup, found *discover.Generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.chains[found.Container.Key]
	if ch == nil {
		ch = &chain{c: c, container: found.Container, kick: make(chan struct{}, 1), ended: make(chan struct{})}
		c.chains[found.Container.Key] = ch
		reading.Go(func() { ch.run(ctx) })
	}
	g := c.newGeneration(ctx, ch, found)
	ch.all = append(ch.all, g)
	ch.inbox = append(ch.inbox, g)
	ch.fresh.Store(true)
	ch.poke()
	c.log.Debug("file found", slog.String("path", found.Path), slog.String("function", found.Container.Ref.Function),
		slog.String("instance", found.Container.Ref.Instance))
}

// adopt gives the chain its new generations; false if there are none.
func (c *Collector) adopt(ch *chain) bool {
	if !ch.fresh.Swap(false) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := len(ch.inbox) > 0
	ch.gens = append(ch.gens, ch.inbox...)
	ch.inbox = nil
	return fresh
}

// leave ends a chain without generations, unless it got one this moment.
func (c *Collector) leave(ch *chain) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(ch.inbox) > 0 {
		return false
	}
	delete(c.chains, ch.container.Key)
	return true
}

// poke makes the chain of key look now.
func (c *Collector) poke(key string) {
	c.mu.Lock()
	ch := c.chains[key]
	c.mu.Unlock()
	if ch != nil {
		ch.poke()
	}
}
