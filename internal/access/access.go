// Package access is the guard before a process's ports: who may do what, for
// whose data. Senders show a token or a client certificate; a file says what
// that is good for. Without a file everybody may do everything, for the tenant
// that they name.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

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

// Guard decides on every request. It is safe for concurrent use.
type Guard struct {
	cfg     Config
	logger  *slog.Logger
	origin  *http.CrossOriginProtection
	file    *File[policy] // nil: there is none
	refused *prometheus.CounterVec
}

// New makes a guard and reads its file, which has to be right at the start.
func New(cfg Config, logger *slog.Logger, registerer prometheus.Registerer) (*Guard, error) {
	g := &Guard{
		cfg: cfg, logger: logger, origin: http.NewCrossOriginProtection(),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_access_refused_total", Help: "Requests that the guard turned away, by status code: 400 (no valid tenant), 401 (who is it?), 403 (may not).",
		}, []string{"code"}),
	}
	bad := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "coldscope_access_file_refused", Help: "1 while the access file is wrong or cannot be read, and what it said before is in use.",
	})
	for _, c := range []prometheus.Collector{g.refused, bad} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of access: %w", err)
		}
	}
	if cfg.File == "" {
		return g, nil
	}
	var err error
	g.file, err = Open(Source[policy]{
		Path: cfg.File, What: "access file", Forbidden: othersWrite, Parse: parse, Changes: (*policy).changes, Refused: bad, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Closed reports whether senders have to show who they are.
func (g *Guard) Closed() bool { return g.file != nil }

// Run follows the file until ctx ends, as File.Run does.
func (g *Guard) Run(ctx context.Context) error {
	if g.file == nil {
		<-ctx.Done()
		return nil
	}
	return g.file.Run(ctx)
}
