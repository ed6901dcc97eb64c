package collector

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/lambda"
	"github.com/coldscope/coldscope/internal/wire"
)

// PathStatus is where Handler serves Status.
const PathStatus = "/api/v1/collector/status"

// FileStatus is how far one file is.
type FileStatus struct {
	Path   string `json:"path"` // under which it was found
	FileID string `json:"file_id,omitempty"`
	faas.Ref
	Size         int64   `json:"size"`
	Read         int64   `json:"read"`
	Acknowledged int64   `json:"acknowledged"`
	Lag          int64   `json:"lag"`         // bytes that are not acknowledged
	LagSeconds   float64 `json:"lag_seconds"` // since when it has had a lag without an acknowledgement
	Deleted      bool    `json:"deleted,omitempty"`
}

// Status is what a collector is doing.
type Status struct {
	Host             string       `json:"host"`
	Unacknowledged   int64        `json:"unacknowledged_bytes"` // in memory
	JournalBytes     int64        `json:"journal_bytes"`        // on disk
	LastAcknowledged *time.Time   `json:"last_acknowledged,omitempty"`
	Files            []FileStatus `json:"files"`
}

// Status tells how far every file is, the greatest lag first.
func (c *Collector) Status() Status {
	s := Status{
		Host: c.cfg.Host, Unacknowledged: c.ship.Unacknowledged(),
		JournalBytes: c.journal.Size(), Files: []FileStatus{},
	}
	if last := c.ship.LastAcknowledged(); !last.IsZero() {
		s.LastAcknowledged = &last
	}
	now := time.Now()
	for _, ch := range c.allChains() {
		for _, g := range ch.generations() {
			v := g.view.Load()
			f := FileStatus{
				Path: g.found.Path, Ref: ch.container.Ref, Size: v.state.Size, Read: v.read, Deleted: v.state.Deleted,
			}
			if v.window != nil {
				f.FileID, f.Acknowledged = wire.FormatFileID(v.id), v.window.Committed()
			}
			f.Lag = max(0, f.Size-f.Acknowledged)
			f.LagSeconds = g.behind(v, now).Seconds()
			s.Files = append(s.Files, f)
		}
	}
	slices.SortFunc(s.Files, func(a, b FileStatus) int {
		if a.Lag != b.Lag {
			return int(b.Lag - a.Lag)
		}
		return strings.Compare(a.Path, b.Path)
	})
	return s
}

// Handler serves events, health and status, and metrics if the collector has
// a Gatherer: POST /v1/events, POST /v1/lambda/telemetry, GET /api/v1/collector/status, /ready,
// /-/healthy, /metrics.
func (c *Collector) Handler() http.Handler { return c.handler }

func (c *Collector) newHandler(gatherer prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+wire.PathEvents, wire.EventsHandler(c.accept))
	mux.Handle("POST "+lambda.Path, lambda.Handler(lambda.Sink{
		Events: c.accept, Lines: c.storeLines,
		Ignored: func(reason string, n int) { c.metrics.ignored.WithLabelValues(reason).Add(float64(n)) },
	}))
	mux.HandleFunc("GET "+PathStatus, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c.Status()) // the client went away
	})
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !c.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	if gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	}
	return mux
}

func (c *Collector) newServer() *http.Server {
	return &http.Server{
		Handler:           c.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
}

// Settled returns when everything that can be read now is acknowledged, or
// with ctx's error. A line whose end has not been written is not waited for.
// Run must be running.
func (c *Collector) Settled(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case c.rescan <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, ch := range c.allChains() {
		if err := ch.settled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// errStopped says that Run ended before all was acknowledged.
var errStopped = errors.New("collector stopped")

// settled returns when everything that the chain can read now is acknowledged.
func (ch *chain) settled(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	until := func(done func() bool) error {
		for !done() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ch.ended:
				if ch.left {
					return nil
				}
				return errStopped
			case <-ticker.C:
			}
		}
		return nil
	}
	ask := ch.asked.Add(1)
	ch.poke()
	if err := until(func() bool { return ch.looked.Load() >= ask }); err != nil {
		return err
	}
	for _, g := range ch.generations() {
		v := g.view.Load()
		window, target := v.window, v.handed
		if window == nil {
			continue
		}
		err := until(func() bool {
			// A file that was truncated since has another window.
			return window.Committed() >= target || g.view.Load().window != window
		})
		if err != nil {
			return err
		}
	}
	return nil
}
