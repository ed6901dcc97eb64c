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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/collector/checkpoint"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/journal"
	"github.com/coldscope/coldscope/collector/notify"
	"github.com/coldscope/coldscope/collector/redact"
	"github.com/coldscope/coldscope/collector/runtime"
	"github.com/coldscope/coldscope/collector/runtimelog"
	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/internal/workload"
)

// Deps are what a Collector works with.
type Deps struct {
	Sink       ship.Sink             // where lines go: *wire.Client, or the aggregator in the same process
	Targets    []ship.Target         // or several, among which instances are spread
	Logger     *slog.Logger          // nil: discards
	Registerer prometheus.Registerer // nil: metrics are not exported
	Gatherer   prometheus.Gatherer   // nil: Handler serves no /metrics
	// Inherited are files that an earlier Collector of this process still had
	// open (Leftover).
	Inherited []*discover.Generation
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
	notify     *notify.Notifier
	scanner    *discover.Scanner
	hub        *runtime.Hub
	rules      *runtimelog.Rules
	redactor   *redact.Redactor
	hints      *hints
	listener   net.Listener
	handler    http.Handler
	buffers    sync.Pool // of *tail.Buffer
	lent       atomic.Int64
	rescan     chan chan struct{}
	changed    chan []string // directories, of which the kernel tells
	ready      atomic.Bool
	inherited  []*discover.Generation
	leftover   []*discover.Generation

	spoolFailed string    // the last error, which was logged
	saved       time.Time // the position in the runtimes' events

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
		rescan: make(chan chan struct{}), changed: make(chan []string), chains: map[string]*chain{}, hints: newHints(),
		attachedN: map[uint64]int{}, streams: map[faas.Ref]*ship.Stream{}, inherited: deps.Inherited,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.open(deps); err != nil {
		return nil, errors.Join(fmt.Errorf("new collector: %w", err), c.Close())
	}
	if deps.Registerer != nil {
		if err := deps.Registerer.Register(newLaggards(c)); err != nil {
			return nil, errors.Join(fmt.Errorf("new collector: %w", err), c.Close())
		}
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
	if c.notify, err = notify.New(); err != nil {
		c.log.Warn("the kernel tells nothing of new files, looking for them more often", slog.Any("error", err))
	}
	if c.rules, err = c.cfg.Lines.Rules(); err != nil {
		return err
	}
	if c.redactor, err = redact.New(c.cfg.Redact); err != nil {
		return err
	}
	if err := c.newScanner(journalDir, deps.Registerer); err != nil {
		return err
	}
	c.listener, err = journal.Listen(c.cfg.Socket)
	return err
}

// newScanner makes what finds logs, and what watches the runtimes of which it
// learns whose they are.
func (c *Collector) newScanner(journalDir string, reg prometheus.Registerer) error {
	mapper, err := workload.NewMapper(c.cfg.Mapping)
	if err != nil {
		return err
	}
	if c.hub, err = runtime.New(runtime.Options{
		Config: c.cfg.Runtimes, Source: c.cfg.Host, Whose: mapper.Ref, Append: c.journal.Append,
		Since: c.position(), Logger: c.log, Registerer: reg,
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

// position is how far the runtime's events were dealt with by an earlier collector.
func (c *Collector) position() time.Time {
	b, err := durable.ReadFile(c.positionFile())
	if err != nil {
		return time.Time{} // what happened lately is told again, under the same names
	}
	at, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return time.Time{}
	}
	return at
}

func (c *Collector) positionFile() string { return filepath.Join(c.cfg.DataDir, "runtime-position") }

// savePosition keeps it.
func (c *Collector) savePosition() {
	at := c.hub.Position()
	if at.IsZero() || at.Equal(c.saved) {
		return
	}
	if err := durable.WriteFile(c.positionFile(), []byte(at.UTC().Format(time.RFC3339Nano)), 0o600); err != nil {
		c.log.Warn("position in the runtime's events cannot be saved; a restart would tell some again", slog.Any("error", err))
		return
	}
	c.saved = at
}

// Close gives back what New took. Run does it itself.
func (c *Collector) Close() error {
	var errs []error
	if c.listener != nil {
		if err := c.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if c.notify != nil {
		errs = append(errs, c.notify.Close())
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
	var served, shipped, watched error
	shipping.Go(func() { shipped = c.ship.Run(shipCtx) })
	saving.Go(func() { c.saveLoop(shipCtx) })
	reading.Go(func() { c.scanLoop(readCtx, &reading) })
	reading.Go(func() {
		if watched = c.hub.Run(readCtx); watched != nil {
			stopReading()
		}
	})
	reading.Go(func() {
		c.notify.Run(readCtx, func(dirs []string, all bool) { c.told(readCtx, dirs, all) })
	})
	serving.Go(func() {
		served = server.Serve(c.listener)
		stopReading() // a collector that takes no events must not look alive
	})

	<-readCtx.Done()
	c.ready.Store(false)
	reading.Wait()
	stopCtx, cancel := context.WithTimeout(shipCtx, c.cfg.StopTimeout)
	defer cancel()
	drained := c.ship.Drain(stopCtx)
	stopShipping()
	shipping.Wait()
	saving.Wait()
	c.update(time.Now())
	saved := c.checkpoint.Save()
	c.closeFiles()

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
	return errors.Join(served, shipped, watched, saved, c.Close())
}

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
		return 2 * time.Second
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

// attached notes that a generation has a name.
func (c *Collector) attached(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attachedN[id]++
}

// detached notes that a generation has its name no more.
func (c *Collector) detached(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attachedN[id]--; c.attachedN[id] <= 0 {
		delete(c.attachedN, id)
	}
}

// isAttached reports whether an open generation has the name.
func (c *Collector) isAttached(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attachedN[id] > 0
}

// forget closes a generation that is deleted, read and acknowledged.
func (c *Collector) forget(ch *chain, g *generation) {
	c.mu.Lock()
	ch.all = slices.DeleteFunc(slices.Clone(ch.all), func(other *generation) bool { return other == g })
	c.mu.Unlock()
	if g.window != nil {
		c.detached(g.id)
		if !ch.hasMate(g) { // its compressed form may outlive it
			c.checkpoint.Delete(g.id)
		}
	}
	if path := g.saved.Load(); path != nil {
		c.unspool(*path)
	}
	if g.givenUp.Load() == nil { // else its inode may be another file's by now
		c.scanner.Forget(g.found)
	}
	g.cancel()
	_ = g.file.Close() // it was only read
}

// removeSegment deletes a segment of the journal whose events are acknowledged.
func (c *Collector) removeSegment(g *generation) {
	if _, err := c.journal.Remove(g.found.Path); err != nil {
		c.log.Error("journal's segment cannot be removed", slog.Any("error", err))
	}
}

// closeFiles closes what is still open when nobody reads any more, but for
// deleted files that are not acknowledged: only their descriptors are left.
func (c *Collector) closeFiles() {
	for _, ch := range c.allChains() {
		for _, g := range ch.generations() {
			if v := g.view.Load(); v.state.Deleted && g.givenUp.Load() == nil && (v.window == nil || v.window.Committed() < v.state.Size) {
				c.leftover = append(c.leftover, g.found)
				continue
			}
			_ = g.file.Close() // it was only read
		}
	}
}

// Leftover gives, after Run, the files that only their open descriptors keep:
// deleted, and not acknowledged. They are for the next Collector of this
// process; who makes none closes them.
func (c *Collector) Leftover() []*discover.Generation { return c.leftover }

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

// saveLoop keeps the checkpoint, at most twice a second, and looks after deleted files.
func (c *Collector) saveLoop(ctx context.Context) {
	const every, spoolEvery = 500 * time.Millisecond, time.Second
	timer := time.NewTimer(every)
	defer timer.Stop()
	var spooled time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begin := time.Now()
		c.update(begin)
		if err := c.checkpoint.Save(); err != nil {
			c.log.Error("checkpoint cannot be saved; a restart would send again what is stored", slog.Any("error", err))
		}
		if begin.Sub(spooled) >= spoolEvery {
			spooled = begin
			c.savePosition()
			deleted := c.deleted()
			c.spool(begin, deleted)
			c.unpin(deleted)
		}
		// At most a fiftieth of a core goes into it.
		timer.Reset(max(every, 50*time.Since(begin)))
	}
}

// update brings checkpoint and gauges up to date.
func (c *Collector) update(now time.Time) {
	var lag, files int64
	for _, ch := range c.allChains() {
		gens := ch.generations()
		ch.places.Lock()
		for _, g := range gens {
			files++
			v := g.view.Load()
			if v.window == nil {
				lag += v.state.Size
				continue
			}
			lag += max(0, v.state.Size-v.window.Committed())
			c.checkpoint.Set(v.id, g.entry(v, now))
		}
		ch.places.Unlock()
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
	roots := slices.Concat(c.cfg.CRI, c.cfg.Docker, []string{c.cfg.DataDir})
	for _, f := range c.cfg.Files {
		for _, p := range f.Paths {
			fixed, _, _ := strings.Cut(p, "*")
			roots = append(roots, filepath.Dir(fixed+"x"))
		}
	}
	for _, root := range roots {
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			_, err := os.Stat(root)
			return err == nil
		}
	}
	return false
}

// prune forgets files that were gone at the start, and counts what was not
// acknowledged of them.
func (c *Collector) prune(ctx context.Context, now time.Time) {
	const keep = 7 * 24 * time.Hour
	gone := c.checkpoint.Find(func(id uint64, e *checkpoint.Entry) bool {
		return !c.isAttached(id) && (c.looksAt(e.Path) || now.Sub(e.Seen) > keep)
	})
	for id, e := range gone {
		if e.Read > e.Offset {
			err := c.lost(ctx, e.Ref, now, faas.Gap{
				FileID: wire.FormatFileID(id), Offset: e.Offset, Bytes: e.Read - e.Offset, From: e.Lines.To, To: now.UTC(), Reason: faas.GapVanished,
			}, e.Path)
			if err != nil {
				c.log.Error("a vanished file cannot be recorded, trying again after the next start", slog.Any("error", err))
				continue
			}
		}
		c.checkpoint.Delete(id)
	}
}
