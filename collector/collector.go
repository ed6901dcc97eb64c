package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/collector/checkpoint"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/journal"
	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
)

// Deps are what a Collector works with.
type Deps struct {
	Sink       ship.Sink             // where lines go: *wire.Client, or the aggregator in the same process
	Targets    []ship.Target         // or several, among which instances are spread
	Logger     *slog.Logger          // nil: discards
	Registerer prometheus.Registerer // nil: metrics are not exported
	Gatherer   prometheus.Gatherer   // nil: Handler serves no /metrics
}

// Collector collects one host's lines and events. Make one with New, and let
// Run run; Run or Close gives its files back.
type Collector struct {
	cfg        Config
	log        *slog.Logger
	metrics    *metrics
	lock       *durable.Lock
	checkpoint *checkpoint.Store
	journal    *journal.Journal
	dead       *ship.DeadLetters
	ship       *ship.Shipper
	scanner    *discover.Scanner
	listener   net.Listener
	handler    http.Handler
	buffers    sync.Pool // of *tail.Buffer
	rescan     chan chan struct{}
	ready      atomic.Bool

	mu        sync.Mutex
	chains    map[string]*chain // by their container's key
	attachedN map[uint64]int    // generations by file ID
	streams   map[faas.Ref]*ship.Stream
}

// New opens the collector's files and binds its socket. It starts nothing.
func New(cfg Config, deps Deps) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new collector: %w", err)
	}
	if deps.Sink == nil && len(deps.Targets) == 0 {
		return nil, errors.New("new collector: no sink")
	}
	c := &Collector{
		cfg: cfg.WithDefaults(), log: deps.Logger, metrics: newMetrics(deps.Registerer),
		rescan: make(chan chan struct{}), chains: map[string]*chain{},
		attachedN: map[uint64]int{}, streams: map[faas.Ref]*ship.Stream{},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.open(deps); err != nil {
		return nil, errors.Join(fmt.Errorf("new collector: %w", err), c.Close())
	}
	c.handler = c.newHandler(deps.Gatherer)
	return c, nil
}

// open opens what Close closes.
func (c *Collector) open(deps Deps) error {
	dir := c.cfg.DataDir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	var err error
	if c.lock, err = durable.LockDir(dir); err != nil {
		return err
	}
	if c.checkpoint, err = checkpoint.Open(filepath.Join(dir, "checkpoint")); err != nil {
		c.log.Warn("checkpoint cannot be used, reading all files from their beginning; what was stored before is not stored twice",
			slog.Any("error", err))
	}
	journalDir := filepath.Join(dir, "journal")
	c.journal, err = journal.Open(journalDir, journal.Options{
		MaxBytes: c.cfg.JournalBytes, SegmentBytes: min(16<<20, c.cfg.JournalBytes/8),
		Appended: func() { c.poke(journalDir) },
	})
	if err != nil {
		return err
	}
	targets := deps.Targets
	if len(targets) == 0 {
		targets = []ship.Target{{Name: "default", Sink: deps.Sink}}
	}
	c.dead = ship.NewDeadLetters(filepath.Join(dir, "dead-letters.jsonl"), c.cfg.DeadLetterBytes)
	c.ship, err = ship.New(ship.Options{
		BatchBytes: c.cfg.BatchBytes, BatchAge: c.cfg.BatchAge,
		InFlight: c.cfg.InFlight, MaxBytes: c.cfg.MaxUnacknowledged, Failover: c.cfg.Failover,
	}, targets, c.dead, c.log, deps.Registerer)
	if err != nil {
		return err
	}
	c.scanner = discover.New(discover.Options{
		CRI: c.cfg.CRI, Docker: c.cfg.Docker, Journal: journalDir,
		Tenant: c.cfg.Tenant, Unlabelled: c.cfg.Unlabelled,
	})
	c.listener, err = journal.Listen(c.cfg.Socket)
	return err
}

// Close gives back what New took. Run does it itself.
func (c *Collector) Close() error {
	var errs []error
	if c.listener != nil {
		if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if c.journal != nil {
		errs = append(errs, c.journal.Close())
	}
	if c.dead != nil {
		errs = append(errs, c.dead.Close())
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Release())
		c.lock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close collector: %w", err)
	}
	return nil
}

// Socket is the path of the Unix socket that takes events.
func (c *Collector) Socket() string { return c.cfg.Socket }

// Run collects until ctx ends. Then it stops reading, gives the sink
// StopTimeout to acknowledge what was read, and saves how far that got.
func (c *Collector) Run(ctx context.Context) error {
	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	// What is shipped is still to be acknowledged when ctx has ended.
	shipCtx, stopShipping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopShipping()

	server := c.newServer()
	var serving, shipping, reading, saving sync.WaitGroup
	var served, shipped error
	shipping.Go(func() { shipped = c.ship.Run(shipCtx) })
	saving.Go(func() { c.saveLoop(shipCtx) })
	reading.Go(func() { c.scanLoop(readCtx, &reading) })
	serving.Go(func() {
		served = server.Serve(c.listener)
		stopReading() // a collector that takes no events must not look alive
	})

	<-readCtx.Done()
	c.ready.Store(false)
	reading.Wait()
	c.closeFiles()
	stopCtx, cancel := context.WithTimeout(shipCtx, c.cfg.StopTimeout)
	defer cancel()
	drained := c.ship.Drain(stopCtx)
	stopShipping()
	shipping.Wait()
	saving.Wait()
	c.update(time.Now())
	saved := c.checkpoint.Save()

	// Events are taken until here: they are durable, and read after the start.
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.StopTimeout)
	defer cancel()
	if err := server.Shutdown(closeCtx); err != nil {
		_ = server.Close() // the events that it still answers are durable or refused
	}
	serving.Wait()
	if errors.Is(served, http.ErrServerClosed) {
		served = nil
	}
	if drained != nil {
		c.log.Info("stopped before all was acknowledged, the rest is read again after the start",
			slog.Int64("bytes", c.ship.Unacknowledged()))
	}
	return errors.Join(served, shipped, saved, c.Close())
}

// scanLoop looks for new files, again and again, and starts what reads them.
func (c *Collector) scanLoop(ctx context.Context, reading *sync.WaitGroup) {
	const fullEvery, pruneAfter = 10 * time.Second, 10 * time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	var lastFull, started time.Time
	var pruned bool
	var lastError string
	for {
		var done chan struct{}
		select {
		case <-ctx.Done():
			return
		case done = <-c.rescan:
		case <-timer.C:
		}
		begin := time.Now()
		full := begin.Sub(lastFull) >= fullEvery
		err := c.scanner.Scan(full, func(g *discover.Generation) { c.dispatch(ctx, reading, g) })
		took := time.Since(begin)
		if full {
			lastFull = begin
		}
		if started.IsZero() {
			started = begin
			c.ready.Store(true)
		}
		if !pruned && err == nil && begin.Sub(started) > pruneAfter {
			c.prune(begin)
			pruned = true
		}
		lastError = c.scanFailed(err, lastError)
		if done != nil {
			close(done)
		}
		// At most a twentieth of a core goes into looking.
		timer.Reset(min(max(c.cfg.ScanInterval, 20*took), 2*time.Second))
	}
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
	g := c.newGeneration(found)
	g.identify()
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.chains[found.Container.Key]
	if ch == nil {
		ch = &chain{c: c, container: found.Container, kick: make(chan struct{}, 1), ended: make(chan struct{})}
		c.chains[found.Container.Key] = ch
		reading.Go(func() { ch.run(ctx) })
	}
	ch.all = append(ch.all, g)
	ch.inbox = append(ch.inbox, g)
	ch.poke()
	c.log.Debug("file found", slog.String("path", found.Path), slog.String("function", found.Container.Ref.Function),
		slog.String("instance", found.Container.Ref.Instance))
}

// adopt gives the chain its new generations; false if there are none.
func (c *Collector) adopt(ch *chain) bool {
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

// attached notes that a generation has its ID.
func (c *Collector) attached(g *generation) {
	c.mu.Lock()
	c.attachedN[g.id]++
	n := c.attachedN[g.id]
	c.mu.Unlock()
	if n > 1 {
		c.metrics.sameID.Inc()
		c.log.Warn("two files begin alike and have one ID; this is right for a copy",
			slog.String("path", g.found.Path))
	}
}

// detached notes that a generation has its ID no more.
func (c *Collector) detached(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attachedN[g.id]--; c.attachedN[g.id] <= 0 {
		delete(c.attachedN, g.id)
	}
}

// forget closes a generation that is deleted, read and acknowledged.
func (c *Collector) forget(ch *chain, g *generation) {
	c.mu.Lock()
	ch.all = slices.DeleteFunc(slices.Clone(ch.all), func(other *generation) bool { return other == g })
	c.mu.Unlock()
	if g.window != nil {
		c.detached(g)
		c.checkpoint.Delete(g.id)
	}
	c.scanner.Forget(g.found)
	_ = g.file.Close() // it was only read
}

// removeSegment deletes a segment of the journal whose events are acknowledged.
func (c *Collector) removeSegment(g *generation) {
	if _, err := c.journal.Remove(g.found.Path); err != nil {
		c.log.Error("journal's segment cannot be removed", slog.Any("error", err))
	}
}

// closeFiles closes what is still open when nobody reads any more. What is not
// acknowledged of it stays in the files.
func (c *Collector) closeFiles() {
	for _, ch := range c.allChains() {
		for _, g := range ch.generations() {
			_ = g.file.Close() // it was only read
		}
	}
}

// platform gives the stream of ref's events.
func (c *Collector) platform(ref faas.Ref) *ship.Stream {
	const enough = 10_000
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[ref]
	if s == nil {
		if len(c.streams) >= enough {
			clear(c.streams)
		}
		s = ship.NewStream(ref, faas.Platform, c.cfg.Host)
		c.streams[ref] = s
	}
	return s
}

// saveLoop keeps the checkpoint, at most every 250 ms.
func (c *Collector) saveLoop(ctx context.Context) {
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			c.update(now)
			if err := c.checkpoint.Save(); err != nil {
				c.log.Error("checkpoint cannot be saved; a restart would send again what is stored", slog.Any("error", err))
			}
		}
	}
}

// update brings checkpoint and gauges up to date.
func (c *Collector) update(now time.Time) {
	var lag, files int64
	for _, ch := range c.allChains() {
		for _, g := range ch.generations() {
			files++
			v := g.view.Load()
			if v.window == nil {
				lag += v.state.Size
				continue
			}
			lag += max(0, v.state.Size-v.window.Committed())
			c.checkpoint.Set(v.id, g.entry(v, now))
		}
	}
	c.metrics.lag.Set(float64(lag))
	c.metrics.files.Set(float64(files))
}

func (c *Collector) allChains() []*chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	chains := make([]*chain, 0, len(c.chains))
	for _, ch := range c.chains {
		chains = append(chains, ch)
	}
	return chains
}

// looksAt reports whether path is in a directory that is looked through now.
func (c *Collector) looksAt(path string) bool {
	for _, root := range slices.Concat(c.cfg.CRI, c.cfg.Docker, []string{c.cfg.DataDir}) {
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			_, err := os.Stat(root)
			return err == nil
		}
	}
	return false
}

// prune forgets files that were gone at the start, and counts what was not
// acknowledged of them.
func (c *Collector) prune(now time.Time) {
	const keep = 7 * 24 * time.Hour
	c.mu.Lock()
	attached := make(map[uint64]bool, len(c.attachedN))
	for id := range c.attachedN {
		attached[id] = true
	}
	c.mu.Unlock()
	gone := c.checkpoint.Prune(func(id uint64, e checkpoint.Entry) bool {
		if attached[id] {
			return false
		}
		return c.looksAt(e.Path) || now.Sub(e.Seen) > keep
	})
	for _, e := range gone {
		if e.Read <= e.Offset {
			continue
		}
		c.metrics.missed.Add(float64(e.Read - e.Offset))
		c.log.Error("file vanished while the collector was not running; lines are lost. Keep log files longer than the collector may be down",
			slog.String("path", e.Path), slog.String("instance", e.Instance), slog.Int64("missed_bytes", e.Read-e.Offset))
	}
}
