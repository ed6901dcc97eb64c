// Package query is the service that answers what people and programs ask of
// the store. It joins the parts: read (SQL), diagnose (critical path, advice),
// api (HTTP), scf (Tencent's SCF API), erase (deletion on request), logql (the language
// of Loki) and loki (its HTTP API).
package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/erase"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/loki"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/scf"
)

// Config bounds what the service does at once, and what one query may cost.
type Config struct {
	// MaxConcurrent is how many requests are answered at the same time. Default 16.
	MaxConcurrent int `yaml:"max_concurrent"`
	// MaxConcurrentPerTenant is how many of them may be one tenant's: others then
	// need not wait behind it. Default 12.
	MaxConcurrentPerTenant int `yaml:"max_concurrent_per_tenant"`
	// MaxTailsPerTenant is how many live tails of one tenant there may be. Default 64.
	MaxTailsPerTenant int `yaml:"max_tails_per_tenant"`
	// MaxWait is how long a request waits for its turn before it is sent away
	// with Retry-After and 503, or 429 if the tenant itself has all that it may
	// have. Default 5s.
	MaxWait time.Duration `yaml:"max_wait"`
	// Limits are those of one query. One that goes beyond them is ended by the
	// engine and answered with a problem that says what to do.
	Limits limit.Query `yaml:"limits"`
}

// DefaultConfig fits the embedded engine on a small host.
func DefaultConfig() Config {
	return Config{MaxConcurrent: 16, MaxConcurrentPerTenant: 12, MaxTailsPerTenant: 64, MaxWait: 5 * time.Second, Limits: limit.DefaultQuery()}
}

// Validate reports everything that is wrong in c.
func (c Config) Validate() error {
	var errs []error
	for key, n := range map[string]int{
		"max_concurrent": c.MaxConcurrent, "max_concurrent_per_tenant": c.MaxConcurrentPerTenant, "max_tails_per_tenant": c.MaxTailsPerTenant,
	} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("query.%s: %d: at least 1 is needed", key, n))
		}
	}
	if c.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("query.max_wait: %s: it cannot be negative", c.MaxWait))
	}
	if err := c.Limits.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			errs = append(errs, errors.New("query.limits."+line))
		}
	}
	return errors.Join(errs...)
}

// Query is the service. It runs nothing of its own: it works while its handler
// is called, and has nothing to stop but what EndTails ends.
type Query struct {
	api     *api.API
	scf     *scf.API // nil: it is not served
	eraser  *erase.Eraser
	loki    *loki.API
	turns   *limit.Turns
	handled *prometheus.HistogramVec
	running prometheus.Gauge
	refused prometheus.Counter
}

// New returns the service over conn, which must stay open while the handlers are
// used, and registers its metrics. keys are for the SCF API; without them it is
// not served.
func New(cfg Config, conn driver.Conn, keys *scf.Keys, logger *slog.Logger, registerer prometheus.Registerer) (*Query, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure query: %w", err)
	}
	reader := read.NewLimited(conn, cfg.Limits)
	q := &Query{
		api:    api.New(reader, logger, time.Now),
		eraser: erase.New(conn, logger),
		turns:  limit.NewTurns(cfg.MaxConcurrent, cfg.MaxConcurrentPerTenant, cfg.MaxWait),
		handled: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "coldscope_query_request_duration_seconds",
			Help:    "How long the API took to answer, by route and status code.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10},
		}, []string{"route", "code"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "coldscope_query_requests_running", Help: "API requests that are being answered.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coldscope_query_requests_refused_total", Help: "API requests sent away because too many were running.",
		}),
	}
	tails := limit.NewTurns(maxTails, cfg.MaxTailsPerTenant, 0)
	q.api.Bound(q.turns, tails)
	q.loki = loki.New(engine.New(conn, engine.WithLimits(cfg.Limits)), logger, time.Now)
	q.loki.Bound(q.turns, tails)
	for _, c := range []prometheus.Collector{q.handled, q.running, q.refused} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register query metrics: %w", err)
		}
	}
	if keys != nil {
		var err error
		if q.scf, err = scf.New(reader, keys, q.take, logger, time.Now, registerer); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// EndTails ends the answers that would go on for ever: the service is to stop.
func (q *Query) EndTails() {
	q.api.EndTails()
	q.loki.EndTails()
}

// maxTails is how many live tails there may be.
const maxTails = 1000

// Handler answers everything under api.Prefix ("/api/v1/") and loki.Prefix
// ("/loki/api/v1/").
func (q *Query) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q.observe(w, func(w http.ResponseWriter) { q.serve(w, r) }, func() string {
			if r.Pattern == "" || r.Pattern == "/" { // the mux inside has set it
				return "none" // not the path: anybody could make new series
			}
			return r.Pattern
		})
	})
}

// SCF answers the requests of the SCF API to "/", all others next does.
func (q *Query) SCF(next http.Handler) http.Handler {
	if q.scf == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method == http.MethodPost || r.Method == http.MethodGet && r.Header.Get(scf.HeaderAction) != ""
		if r.URL.Path != "/" || !asked {
			next.ServeHTTP(w, r)
			return
		}
		q.observe(w, func(w http.ResponseWriter) { q.scf.ServeHTTP(w, r) },
			func() string { return strings.TrimSpace(r.Method + " / " + scf.Action(r)) })
	})
}

// observe measures how long answering takes, also where the answer breaks off.
// The route is known when it has been answered.
func (q *Query) observe(w http.ResponseWriter, answer func(http.ResponseWriter), route func() string) {
	began := time.Now()
	out := &recorder{ResponseWriter: w, code: http.StatusOK}
	defer func() {
		if name := route(); name != "GET "+api.TailPath { // that lasts as long as somebody looks at it
			q.handled.WithLabelValues(name, strconv.Itoa(out.code)).Observe(time.Since(began).Seconds())
		}
	}()
	answer(out)
}

func (q *Query) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path { // what takes a turn each time that it looks
	case api.TailPath:
		q.api.ServeHTTP(w, r)
		return
	case loki.TailPath:
		q.loki.ServeHTTP(w, r)
		return
	}
	done, err := q.take(r.Context(), wire.TenantOf(r.Context(), r.Header.Get(wire.HeaderTenant)))
	if err != nil {
		refuse(w, r, err)
		return
	}
	defer done()
	if r.URL.Path == erase.Path {
		r.Pattern = erase.Path
		q.eraser.ServeHTTP(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, loki.Prefix+"/") {
		q.loki.ServeHTTP(w, r)
		return
	}
	q.api.ServeHTTP(w, r)
}

// take waits for a turn of the tenant's, and gives what ends it.
func (q *Query) take(ctx context.Context, tenant string) (done func(), err error) {
	end, err := q.turns.Take(ctx, tenant)
	if err != nil {
		if _, busy := errors.AsType[*limit.BusyError](err); busy {
			q.refused.Inc()
		}
		return nil, err
	}
	q.running.Inc()
	return func() {
		q.running.Dec()
		end()
	}, nil
}

// refuse answers with a problem (RFC 9457) that goes away by itself, or, where
// Loki's clients ask, with its text.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := limit.Problem{Status: http.StatusServiceUnavailable, Detail: "the client went away"}
	if busy, ok := (limit.Query{}).Problem(err); ok {
		p = busy
	}
	w.Header().Set("Retry-After", "1")
	if strings.HasPrefix(r.URL.Path, loki.Prefix+"/") {
		http.Error(w, p.Detail, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{ // a client that has gone need not be told
		Type: p.Type, Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Detail,
	})
}

// recorder remembers the status code.
type recorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader sends and remembers the code.
func (w *recorder) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
