// Package query is the service that answers what people and programs ask of
// the store. It joins the parts: read (SQL), diagnose (critical path, advice),
// api (HTTP), erase (deletion on request), logql (the language of Loki) and
// loki (its HTTP API).
package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/erase"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/loki"
	"github.com/coldscope/coldscope/query/read"
)

// Config bounds what the service does at once.
type Config struct {
	// MaxConcurrent is how many requests are answered at the same time.
	MaxConcurrent int
	// MaxWait is how long a request waits for its turn before it is sent away
	// with 503 and Retry-After.
	MaxWait time.Duration
}

// DefaultConfig fits the embedded engine on a small host.
func DefaultConfig() Config { return Config{MaxConcurrent: 16, MaxWait: 5 * time.Second} }

// Validate reports everything that is wrong in c.
func (c Config) Validate() error {
	var errs []error
	if c.MaxConcurrent < 1 {
		errs = append(errs, fmt.Errorf("max_concurrent is %d: at least 1 is needed", c.MaxConcurrent))
	}
	if c.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("max_wait is %s: it cannot be negative", c.MaxWait))
	}
	return errors.Join(errs...)
}

// Query is the service. It runs nothing of its own: it works while its handler
// is called. Close ends what would not end by itself.
type Query struct {
	cfg     Config
	api     *api.API
	eraser  *erase.Eraser
	loki    *loki.API
	turns   chan struct{} // as many tokens as requests may run
	handled *prometheus.HistogramVec
	running prometheus.Gauge
	refused prometheus.Counter
}

// New returns the service over conn, which must stay open while the handler is
// used, and registers its metrics.
func New(cfg Config, conn driver.Conn, logger *slog.Logger, registerer prometheus.Registerer) (*Query, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure query: %w", err)
	}
	q := &Query{
		cfg:    cfg,
		api:    api.New(read.New(conn), logger, time.Now),
		eraser: erase.New(conn, logger),
		loki:   loki.New(engine.New(conn, engine.DefaultLimits()), logger, time.Now),
		turns:  make(chan struct{}, cfg.MaxConcurrent),
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
	for _, c := range []prometheus.Collector{q.handled, q.running, q.refused} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register query metrics: %w", err)
		}
	}
	return q, nil
}

// Close ends the requests of clients that follow lines for as long as they
// like. All others end by themselves.
func (q *Query) Close() { q.loki.Close() }

// Handler answers everything under api.Prefix ("/api/v1/") and loki.Prefix
// ("/loki/api/v1/").
func (q *Query) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out := &recorder{ResponseWriter: w, code: http.StatusOK}
		q.serve(out, r)
		route := r.Pattern // the mux inside has set it
		if route == "" || route == "/" {
			route = "none" // not the path: anybody could make new series
		}
		q.handled.WithLabelValues(route, strconv.Itoa(out.code)).Observe(time.Since(began).Seconds())
	})
}

func (q *Query) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == loki.TailPath { // lasts, and has a bound of its own
		q.loki.ServeHTTP(w, r)
		return
	}
	turn := time.NewTimer(q.cfg.MaxWait)
	defer turn.Stop()
	select {
	case q.turns <- struct{}{}:
	case <-r.Context().Done():
		refuse(w, "the client went away")
		return
	case <-turn.C:
		q.refused.Inc()
		refuse(w, fmt.Sprintf("%d requests are being answered already: try again", q.cfg.MaxConcurrent))
		return
	}
	defer func() { <-q.turns }()
	q.running.Inc()
	defer q.running.Dec()
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

// refuse answers with a problem (RFC 9457) that goes away by itself.
func refuse(w http.ResponseWriter, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that has gone need not be told
		"title": http.StatusText(http.StatusServiceUnavailable), "status": http.StatusServiceUnavailable, "detail": detail,
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
