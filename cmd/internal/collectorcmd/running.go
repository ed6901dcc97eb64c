package collectorcmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/ship"
)

// Targets makes what a configuration ships to, and what ends it.
type Targets func(*process.Config) (targets []ship.Target, done func(), err error)

// Running is a collector that is replaced by one with another configuration
// when the process gets SIGHUP.
type Running struct {
	p       *process.Process
	load    func() (process.Config, error)
	targets Targets
	current atomic.Pointer[made]
}

// made is one collector and what was made for it.
type made struct {
	*collector.Collector
	cfg     process.Config
	metrics *process.Metrics
	done    func() // ends its targets
}

// Start starts a collector with c. load reads the configuration again.
func Start(ctx context.Context, p *process.Process, c process.Config, load func() (process.Config, error), targets Targets) (*Running, error) {
	r := &Running{p: p, load: load, targets: targets}
	first, err := r.make(c, nil)
	if err != nil {
		return nil, err
	}
	r.current.Store(first)
	p.Run(ctx, "collector", r.run)
	return r, nil
}

// Handler serves what the collector of the moment does.
func (r *Running) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.current.Load().Handler().ServeHTTP(w, req)
	})
}

// Socket is the path of the Unix socket that takes events.
func (r *Running) Socket() string { return r.current.Load().Socket() }

func (r *Running) make(c process.Config, inherited []*discover.Generation) (*made, error) {
	dataDir(&c)
	targets, done, err := r.targets(&c)
	if err != nil {
		return nil, err
	}
	m := &made{cfg: c, metrics: r.p.Metrics(), done: done}
	m.Collector, err = collector.New(c.Collector, collector.Deps{
		Targets: targets, Logger: r.p.Logger, Registerer: m.metrics, Inherited: inherited,
	})
	if err != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

func (m *made) end() {
	m.done()
	m.metrics.Release()
}

// run runs one collector after the other.
func (r *Running) run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		m := r.current.Load()
		next, err := r.until(ctx, m, hup)
		m.end()
		left := m.Leftover()
		if err != nil || next == nil {
			closeAll(left)
			return err
		}
		replacement, err := r.make(*next, left)
		if err != nil { // what the validation could not see: a file, a socket
			r.p.Logger.ErrorContext(ctx, "new configuration cannot be used, going on with the old one", "error", err)
			if replacement, err = r.make(m.cfg, left); err != nil {
				closeAll(left)
				return fmt.Errorf("go on with the old configuration: %w", err)
			}
		}
		r.current.Store(replacement)
	}
}

// until runs m until ctx ends, or there is a new configuration.
func (r *Running) until(ctx context.Context, m *made, hup <-chan os.Signal) (next *process.Config, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return next, err
		case <-hup:
			c, err := r.load()
			if err != nil {
				r.p.Logger.ErrorContext(ctx, "configuration is wrong, nothing is changed", "error", err)
				continue
			}
			r.p.Logger.InfoContext(ctx, "configuration is read again")
			next = &c
			cancel()
		}
	}
}

func closeAll(left []*discover.Generation) {
	var errs []error
	for _, g := range left {
		errs = append(errs, g.File.Close())
	}
	_ = errors.Join(errs...) // they were only read
}
