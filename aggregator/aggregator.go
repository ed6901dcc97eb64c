// Package aggregator takes lines and events in, gives lines their request,
// folds events into invocations and cold starts, and writes both to
// ClickHouse. A push is acknowledged when all of it is stored, never before:
// what a crash loses is still in the sender's file.
//
// One goroutine owns the correlator and settles; a second writes the batch
// before. Both live in Run.
package aggregator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// Config tunes an Aggregator.
type Config struct {
	Correlate correlate.Config
	// Commit is the least time between two writes; rows that settle in
	// between are written together.
	Commit time.Duration
	// BatchRows makes a batch full: no more is taken in until it can be written.
	BatchRows int
	// Pending bounds the bytes taken in and not yet stored; senders above it get 429.
	Pending int64
	// Recall is how far back lines are read from the store for corrections
	// when an instance is met again after a restart.
	Recall time.Duration
	// Looks are the times after which an instance is looked at again in the
	// store, for what other aggregators have written of it; none if this is the
	// store's only one.
	Looks []time.Duration
	// Drain is how long Run goes on writing what it has settled after its context ended.
	Drain time.Duration
}

// DefaultConfig fits a laptop and one machine of a cluster alike.
func DefaultConfig() Config {
	return Config{
		Correlate: correlate.DefaultConfig(),
		Commit:    200 * time.Millisecond,
		BatchRows: 50_000,
		Pending:   128 << 20,
		Recall:    10 * time.Minute,
		Drain:     10 * time.Second,
	}
}

// Shared is the configuration of one of several aggregators that write to one store.
func Shared() Config {
	c := DefaultConfig()
	c.Looks = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute}
	return c
}

// Aggregator is one merging service. Push, Events and Handler may be used as
// soon as it exists; they answer once Run works.
type Aggregator struct {
	cfg     Config
	conn    driver.Conn
	writer  *insert.Writer
	logger  *slog.Logger
	metrics *metrics
	tracer  trace.Tracer

	submissions chan *submission
	stopped     chan struct{} // closed when Run takes nothing more
	pending     atomic.Int64  // bytes
}

// New makes an aggregator that writes through conn, which stays the caller's.
func New(cfg Config, conn driver.Conn, logger *slog.Logger, reg prometheus.Registerer, tracing trace.TracerProvider) *Aggregator {
	m := newMetrics(reg)
	return &Aggregator{
		cfg: cfg, conn: conn, logger: logger, metrics: m,
		writer:      insert.NewWriter(conn, logger, m.insertRetries.Inc),
		tracer:      tracing.Tracer("github.com/coldscope/coldscope/aggregator"),
		submissions: make(chan *submission),
		stopped:     make(chan struct{}),
	}
}

// submission is one push or one request of events on its way into the store.
type submission struct {
	ingest.Batch
	left int        // lines not settled yet, plus one until the events are
	done chan error // size 1: the merger never waits for who submitted
}

var errStopping = errors.New("the aggregator is stopping")

// Push takes one Loki push of tenant and returns when it is stored. Its errors
// are those of a client's: a *wire.StatusError with 400 for what can never be
// stored (the rest is), with 429 or 503 for what may be later.
func (a *Aggregator) Push(ctx context.Context, tenant string, req *push.PushRequest) error {
	batch := ingest.Decode(tenant, req)
	if err := a.submit(ctx, &batch); err != nil {
		return unavailable(err)
	}
	if err := batch.Err(); err != nil {
		a.metrics.rejected.Add(float64(batch.Rejected))
		return &wire.StatusError{Code: 400, Message: err.Error()}
	}
	return nil
}

// PushEncoded is Push of a request in protobuf. It keeps nothing of raw.
func (a *Aggregator) PushEncoded(ctx context.Context, tenant string, raw []byte) error {
	req, err := wire.DecodeRaw(raw)
	if err != nil {
		return &wire.StatusError{Code: 400, Message: err.Error()}
	}
	return a.Push(ctx, tenant, req)
}

// Events takes events and returns when they are stored. Any error means: again, later.
func (a *Aggregator) Events(ctx context.Context, events []faas.Event) error {
	return a.submit(ctx, &ingest.Batch{Events: events, Bytes: 512 * len(events)})
}

func (a *Aggregator) submit(ctx context.Context, batch *ingest.Batch) (err error) {
	if len(batch.Lines)+len(batch.Events) == 0 {
		return nil
	}
	ctx, span := a.tracer.Start(ctx, "aggregator.submit", trace.WithAttributes(
		attribute.Int("lines", len(batch.Lines)), attribute.Int("events", len(batch.Events)), attribute.Int("bytes", batch.Bytes)))
	defer func() {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}()

	size := int64(batch.Bytes)
	defer a.pending.Add(-size)
	if a.pending.Add(size) > a.cfg.Pending {
		return fmt.Errorf("%w: %d bytes wait to be stored already", wire.ErrBusy, a.cfg.Pending)
	}
	s := &submission{Batch: *batch, left: len(batch.Lines) + 1, done: make(chan error, 1)}
	select {
	case a.submissions <- s:
	case <-ctx.Done():
		return fmt.Errorf("waiting to be merged: %w", ctx.Err())
	case <-a.stopped:
		return errStopping
	}
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting to be stored: %w", ctx.Err())
	}
}

// unavailable is the answer that makes a sender come back.
func unavailable(err error) error {
	code := 503
	if errors.Is(err, wire.ErrBusy) {
		code = 429
	}
	return &wire.StatusError{Code: code, Message: err.Error(), RetryAfter: time.Second}
}
