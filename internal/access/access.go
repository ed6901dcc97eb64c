// Package access is the guard before a process's ports: who may do what, for
// whose data. Senders show a token or a client certificate; a file says what
// that is good for. Without a file everybody may do everything, for the tenant
// that they name.
package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is where the rules are.
type Config struct {
	// File lists tokens and client certificates and what each is good for. It is
	// read again when it changes and on SIGHUP; one that is wrong changes nothing.
	// Default none: everybody may do everything.
	File string `yaml:"file"`
	// ProtectMetrics asks at /metrics, too: for scope read and tenant *.
	ProtectMetrics bool `yaml:"protect_metrics"`
}

// Validate tells all that is wrong with c, nil if nothing is. It opens no file.
func (c Config) Validate() error {
	if c.ProtectMetrics && c.File == "" {
		return errors.New("protect_metrics: there is no access file that says from whom")
	}
	return nil
}

// How the file is read.
const (
	pollInterval = time.Second
	maxFileBytes = 4 << 20
)

// Guard decides on every request. It is safe for concurrent use.
type Guard struct {
	cfg     Config
	logger  *slog.Logger
	origin  *http.CrossOriginProtection
	policy  atomic.Pointer[policy] // nil: no file
	refused *prometheus.CounterVec
	bad     prometheus.Gauge
}

// New makes a guard and reads its file, which has to be right at the start.
func New(cfg Config, logger *slog.Logger, registerer prometheus.Registerer) (*Guard, error) {
	g := &Guard{
		cfg: cfg, logger: logger, origin: http.NewCrossOriginProtection(),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_access_refused_total", Help: "Requests that the guard turned away, by status code: 400 (no valid tenant), 401 (who is it?), 403 (may not).",
		}, []string{"code"}),
		bad: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "coldscope_access_file_refused", Help: "1 while the access file is wrong or cannot be read, and what it said before is in use.",
		}),
	}
	for _, c := range []prometheus.Collector{g.refused, g.bad} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of access: %w", err)
		}
	}
	if cfg.File == "" {
		return g, nil
	}
	raw, err := read(cfg.File)
	if err != nil {
		return nil, err
	}
	p, err := parse(cfg.File, raw)
	if err != nil {
		return nil, err
	}
	g.policy.Store(p)
	return g, nil
}

// Closed reports whether senders have to show who they are.
func (g *Guard) Closed() bool { return g.policy.Load() != nil }

// Run reads the file again when it changes and on SIGHUP, until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	if g.cfg.File == "" {
		<-ctx.Done()
		return nil
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	f := following{Guard: g, done: g.policy.Load().sum}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			f.look(ctx, true)
		case <-tick.C:
			f.look(ctx, false)
		}
	}
}

// following is the state of Run.
type following struct {
	*Guard
	done [sha256.Size]byte // the content that was taken or refused
	seen [sha256.Size]byte // the content at the last look
	said string            // why the file could not be read
}

// look takes the file over if it has changed and is the same as at the last
// look: one that is just being written may be valid, and say half of it. Who
// asks for it has written the file.
func (f *following) look(ctx context.Context, asked bool) {
	raw, err := read(f.cfg.File)
	if err != nil {
		f.seen = [sha256.Size]byte{}
		if asked || err.Error() != f.said {
			f.said = err.Error()
			f.refuse(ctx, err)
		}
		return
	}
	if f.said != "" { // it is there again: to be taken over, and said so, if it is the same
		f.said, f.done = "", [sha256.Size]byte{}
	}
	sum := sha256.Sum256(raw)
	stable := sum == f.seen
	f.seen = sum
	if !asked && (!stable || sum == f.done) {
		return
	}
	f.done = sum
	p, err := parse(f.cfg.File, raw)
	if err != nil {
		f.refuse(ctx, err)
		return
	}
	before := f.policy.Swap(p)
	f.bad.Set(0)
	added, removed, changed := before.differences(p)
	Audit(ctx, f.logger, "reload access file", nil, slog.String("file", f.cfg.File), slog.Int("tokens", len(p.tokens)), slog.Int("certificates", len(p.certificates)),
		slog.Any("added", added), slog.Any("removed", removed), slog.Any("changed", changed))
}

func (f *following) refuse(ctx context.Context, err error) {
	f.bad.Set(1)
	Audit(ctx, f.logger, "reload access file", fmt.Errorf("what it said before stays in use: %w", err), slog.String("file", f.cfg.File))
}

// read reads the file, unless others could have written it.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read access file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read access file: %w", err)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("read access file: everybody on this host can write %s and let themselves in: chmod o-w it", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read access file: %w", err)
	}
	if len(raw) > maxFileBytes {
		return nil, fmt.Errorf("read access file: %s has more than %d bytes", path, maxFileBytes)
	}
	return raw, nil
}
