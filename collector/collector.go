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

	spoolFailed string // the last error, which was logged
	saveFailed  string // the same of the checkpoint
	runtime     []byte // what was saved of the runtimes' containers

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
		cfg: cfg.WithDefaults(), log: deps.Logger, metrics: newMetrics(deps.Registerer, cfg.WithDefaults().JournalBytes),
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
		overflows := prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coldscope_collector_watch_overflows_total",
			Help: "How often the kernel dropped hints of new files, after which all directories are looked at.",
		}, func() float64 { return float64(c.notify.Overflows()) })
		if err := errors.Join(deps.Registerer.Register(newLaggards(c)), deps.Registerer.Register(overflows)); err != nil {
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
	c.saveRuntime()
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

func (c *Collector) allChains() []*chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	chains := make([]*chain, 0, len(c.chains))
	for _, ch := range c.chains {
		chains = append(chains, ch)
	}
	return chains
}
