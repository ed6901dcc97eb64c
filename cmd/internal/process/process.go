// Package process is what every long-running command is made of: its common
// flags, its telemetry, one HTTP port, and components that start in order and
// stop in the reverse one.
package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/lifecycle"
	"github.com/coldscope/coldscope/internal/telemetry"
	"github.com/coldscope/coldscope/internal/wire"
)

// DefaultListen is where the one HTTP port is by default: on this machine only.
const DefaultListen = "127.0.0.1:9480"

// stopDeadline is what each component gets to stop in.
const stopDeadline = 15 * time.Second

// Flags are common to all long-running commands.
type Flags struct {
	Config  string
	Verbose bool
}

// Add declares the flags.
func (f *Flags) Add(set *pflag.FlagSet) {
	set.StringVar(&f.Config, "config", "", "YAML configuration `FILE`; flags win over it")
	set.String("data-dir", defaultDataDir(), "`DIR` for everything that has to survive a restart")
	set.String("listen", DefaultListen, "`HOST:PORT` of the HTTP port; port 0 picks a free one")
	set.String("access", "", "access `FILE`: the tokens and certificates that the HTTP port takes, and what each is good for")
	set.BoolVarP(&f.Verbose, "verbose", "v", false, "log debug messages")
}

func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/coldscope"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "coldscope")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "coldscope-data"
	}
	return filepath.Join(home, ".local", "state", "coldscope")
}

// Process is one running command.
type Process struct {
	*telemetry.Telemetry
	*lifecycle.Group
	Mux *http.ServeMux
	// Guard stands before the HTTP port, and has to stand before any other.
	Guard *access.Guard
	// TLS is what the HTTP port speaks, and any other port has to; nil for none.
	TLS *tls.Config
	// URL is the HTTP port's, once Serve has returned.
	URL string

	stdout io.Writer
	ready  atomic.Bool
	leave  []func()
}

// OnLeave has leave called when the HTTP port is to be closed: it ends the
// answers that would go on for ever.
func (p *Process) OnLeave(leave func()) { p.leave = append(p.leave, leave) }

// Setup is what a command's process is made from.
type Setup struct {
	Service, Version string
	DataDir          string // made if missing
	Verbose          bool
	Access           access.Config
	TLS              wire.ServerTLS
	Stdout, Stderr   io.Writer // for the ready line, and for logs
}

// Main runs a command: build starts the components in their order, then the
// process works until SIGINT, SIGTERM or a component's failure, and stops. A
// second signal kills it at once.
func Main(ctx context.Context, s Setup, build func(context.Context, *Process) error) error {
	return run(ctx, s, func(ctx context.Context, p *Process) error {
		if err := build(ctx, p); err != nil {
			return err
		}
		return p.Wait(ctx)
	})
}

// Once runs a command that ends by itself: when work returns, what it started stops.
func Once(ctx context.Context, s Setup, work func(context.Context, *Process) error) error {
	s.Stdout = io.Discard
	return run(ctx, s, work)
}

func run(ctx context.Context, s Setup, work func(context.Context, *Process) error) error {
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	if err := os.MkdirAll(s.DataDir, 0o750); err != nil {
		return fmt.Errorf("make the data directory: %w (choose another one with --data-dir)", err)
	}
	tel, err := telemetry.New(ctx, s.Service, s.Version, s.Stderr, s.Verbose)
	if err != nil {
		return err
	}
	p := &Process{Telemetry: tel, Group: lifecycle.New(tel.Logger, stopDeadline), Mux: http.NewServeMux(), stdout: s.Stdout}
	p.OnStop("telemetry", tel.Close)
	if err := p.guard(ctx, &s); err != nil {
		return errors.Join(err, p.Stop(ctx))
	}
	own := tel.Handler()
	p.Mux.Handle("GET /metrics", own)
	p.Mux.Handle("GET /-/healthy", own)
	p.Mux.HandleFunc("GET /ready", p.serveReady)

	err = work(ctx, p)
	if ctx.Err() != nil {
		err = nil // asked to stop, also while still starting
	}
	restore() // from here on a signal kills
	p.ready.Store(false)
	return errors.Join(err, p.Stop(ctx))
}

// guard makes what stands before the ports.
func (p *Process) guard(ctx context.Context, s *Setup) (err error) {
	if p.Guard, err = access.New(s.Access, p.Logger, p.Registry); err != nil {
		return err
	}
	if p.Guard.Closed() {
		p.Run(ctx, "access file's watch", p.Guard.Run)
	}
	p.TLS, err = s.TLS.Config(func(err error) {
		p.Logger.ErrorContext(ctx, "new certificates cannot be used, the old ones stay in use", "error", err)
	})
	return err
}

// Profile serves Go's profiles at /debug/pprof/.
func (p *Process) Profile() {
	p.Mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	p.Mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	p.Mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	p.Mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	p.Mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// Metrics are those of a component that may end before the process does.
type Metrics struct {
	prometheus.Registerer
	mu   sync.Mutex
	mine []prometheus.Collector
}

// Metrics makes a place to register a component's metrics.
func (p *Process) Metrics() *Metrics { return &Metrics{Registerer: p.Registry} }

// Register is prometheus.Registerer's.
func (m *Metrics) Register(c prometheus.Collector) error {
	if err := m.Registerer.Register(c); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mine = append(m.mine, c)
	return nil
}

// MustRegister is prometheus.Registerer's.
func (m *Metrics) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := m.Register(c); err != nil {
			panic(err) // two metrics of one name: a broken invariant
		}
	}
}

// Release takes all of the component's metrics back.
func (m *Metrics) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.mine {
		m.Unregister(c)
	}
	m.mine = nil
}

// Serve opens the HTTP port with all that Mux has.
func (p *Process) Serve(ctx context.Context, listen string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("open the HTTP port: %w (choose another one with --listen)", err)
	}
	server := &http.Server{
		Handler:           p.Guard.Wrap(p.Mux),
		TLSConfig:         p.TLS,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(p.Logger.Handler(), slog.LevelWarn), // handshakes that failed, and panics
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	scheme, serve := "http", server.Serve
	if p.TLS != nil {
		scheme, serve = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	} else if p.Guard.Closed() && !listener.Addr().(*net.TCPAddr).IP.IsLoopback() { // a TCP listener's
		p.Logger.WarnContext(ctx, "tokens come over the network in plain text: set tls, or let a proxy on this machine speak it")
	}
	go func() { served <- serve(listener) }()
	p.OnStop("http", func(ctx context.Context) error {
		for _, leave := range p.leave {
			leave()
		}
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	})
	p.URL = scheme + "://" + listener.Addr().String()
	return nil
}

// Ready makes /ready say so, and prints the line that scripts wait for.
func (p *Process) Ready() {
	p.ready.Store(true)
	fmt.Fprintln(p.stdout, "ready", p.URL)
}

func (p *Process) serveReady(w http.ResponseWriter, _ *http.Request) {
	if !p.ready.Load() {
		http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}
