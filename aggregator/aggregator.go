// Package aggregator takes lines and events in, gives lines their request,
// folds events into invocations and cold starts, and writes both to
// ClickHouse. A push is acknowledged when all of it is stored, never before:
// what a crash loses is still in the sender's file.
//
// One goroutine owns the correlator and settles; a second writes the batch
// before; two more keep the figures by the minute and delete what is old. All
// live in Run.
package aggregator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/expire"
	"github.com/coldscope/coldscope/aggregator/extract"
	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/aggregator/rollup"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/storage"
	"github.com/coldscope/coldscope/internal/wire"
)

// Config is the aggregator's section of the configuration.
type Config struct {
	// Correlate bounds what is remembered; its Hold is Config.Hold.
	Correlate correlate.Config `yaml:"-"`
	// Hold is how long a line waits for an event that explains it, if there is
	// none yet; then it is written with what is known, and again if that was
	// wrong. Who sent it waits as long. Default 500 ms.
	Hold time.Duration `yaml:"hold"`
	// BatchAge is the least time between two writes; what comes in between is
	// written together. While writes take more than an eighth of it, the time is
	// longer, up to 400 ms. Default 200 ms.
	BatchAge time.Duration `yaml:"batch_age"`
	// BatchRows makes a batch full, which is written at once; while another one
	// is being written, no more is taken in. Default 200000.
	BatchRows int `yaml:"batch_rows"`
	// BatchBytes of lines make it full as well. Default 64 MiB.
	BatchBytes int64 `yaml:"batch_bytes"`
	// Pending bounds the bytes that are taken in and not stored yet, and those of
	// requests that are being read; senders above either get 429. Default 64 MiB.
	Pending int64 `yaml:"pending_bytes"`
	// Recall is how far back lines are read from the store for corrections
	// when an instance is met again after a restart.
	Recall time.Duration `yaml:"-"`
	// Looks are the times after which an instance is looked at again in the
	// store, for what other aggregators have written of it; none if this is the
	// store's only one.
	Looks []time.Duration `yaml:"-"`
	// Patience is how long a request waits for room, before its sender is told
	// to come again.
	Patience time.Duration `yaml:"-"`
	// Drain is how long Run goes on writing what it has settled after its context ended.
	Drain time.Duration `yaml:"-"`
	// OTLPGRPC is HOST:PORT of OTLP over gRPC; empty for none. Default
	// 127.0.0.1:4317, unless another program has that port.
	OTLPGRPC string `yaml:"otlp_grpc"`
	// Ingest says what is made of what senders push, and what is refused.
	Ingest ingest.Config `yaml:"ingest"`
	// Lines says what is read out of a line's text.
	Lines extract.Config `yaml:"lines"`
	// Metrics bounds what the aggregator tells of itself.
	Metrics Metrics `yaml:"metrics"`
	// Rollup tunes the figures by the minute; its Cutoff follows from Retention.
	Rollup rollup.Config `yaml:"-"`
	// Retention says how long data is kept: a section of its own.
	Retention storage.Retention `yaml:"-"`
}

// DefaultOTLPGRPC is where OTLP senders on this machine look for it.
const DefaultOTLPGRPC = "127.0.0.1:4317"

// DefaultConfig fits a laptop and one machine of a cluster alike.
func DefaultConfig() Config {
	return Config{
		Correlate:  correlate.DefaultConfig(),
		Hold:       correlate.DefaultConfig().Hold,
		BatchAge:   200 * time.Millisecond,
		BatchRows:  200_000,
		BatchBytes: 64 << 20,
		Pending:    64 << 20,
		Recall:     10 * time.Minute,
		Patience:   5 * time.Second,
		Drain:      10 * time.Second,
		OTLPGRPC:   DefaultOTLPGRPC,
		Ingest:     ingest.DefaultConfig(),
		Lines:      extract.DefaultConfig(),
		Metrics:    Metrics{Functions: 1000},
		Rollup:     rollup.DefaultConfig(),
	}
}

// Validate tells all that is wrong with c, nil if nothing is. Each problem
// begins with the key that it is about.
func (c *Config) Validate() error {
	var errs []error
	bad := func(problem string) { errs = append(errs, errors.New("aggregator."+problem)) }
	if c.Hold < 0 || c.Hold > 30*time.Second {
		bad(fmt.Sprintf("hold: %s is not between 0 and 30s", c.Hold))
	}
	if c.BatchAge < time.Millisecond || c.BatchAge > 30*time.Second {
		bad(fmt.Sprintf("batch_age: %s is not between 1ms and 30s", c.BatchAge))
	}
	if c.BatchRows < 1 || c.BatchRows > 1_000_000 {
		bad(fmt.Sprintf("batch_rows: %d is not between 1 and 1000000", c.BatchRows))
	}
	if c.BatchBytes < 64<<10 {
		bad(fmt.Sprintf("batch_bytes: %d is less than 64 KiB", c.BatchBytes))
	}
	if c.Pending < 1<<20 {
		bad(fmt.Sprintf("pending_bytes: %d is less than 1 MiB", c.Pending))
	}
	if _, _, err := net.SplitHostPort(c.OTLPGRPC); c.OTLPGRPC != "" && err != nil {
		bad("otlp_grpc: " + err.Error())
	}
	for section, err := range map[string]error{"ingest.": c.Ingest.Validate(), "lines.": c.Lines.Validate(), "metrics.": c.Metrics.Validate()} {
		if err == nil {
			continue
		}
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			bad(section + problem)
		}
	}
	return errors.Join(errs...)
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
	decoder *ingest.Decoder
	lines   *extract.Extractor
	rates   *ingest.Rates
	bodies  sync.Pool // of *bytes.Buffer
	roller  *rollup.Roller
	janitor *expire.Janitor

	submissions chan *submission
	stopped     chan struct{}       // closed when Run takes nothing more
	pending     atomic.Int64        // bytes that are taken in
	reading     atomic.Int64        // bytes of requests that are being read
	calls       atomic.Int64        // over gRPC that are under way
	room        *semaphore.Weighted // of Config.Pending bytes, for what is made of them
	inside      atomic.Int64        // requests that have their room
	outside     atomic.Int64        // and those that wait for it
}

// New makes an aggregator of a valid configuration, that writes through conn,
// which stays the caller's.
func New(cfg Config, conn driver.Conn, logger *slog.Logger, reg prometheus.Registerer, tracing trace.TracerProvider) *Aggregator {
	lines, err := extract.New(cfg.Lines)
	if err != nil {
		panic("aggregator: the configuration was not validated: " + err.Error())
	}
	cfg.Correlate.Hold = cfg.Hold
	cfg.Rollup.Cutoff = func(tenant string) time.Time { return incomplete(&cfg.Retention, tenant, time.Now()) }
	a := &Aggregator{
		cfg: cfg, conn: conn, logger: logger,
		decoder:     ingest.NewDecoder(cfg.Ingest),
		lines:       lines,
		rates:       ingest.NewRates(cfg.Ingest),
		tracer:      tracing.Tracer("github.com/coldscope/coldscope/aggregator"),
		roller:      rollup.New(cfg.Rollup, conn, logger, reg),
		janitor:     expire.New(cfg.Retention, conn, logger),
		submissions: make(chan *submission),
		room:        semaphore.NewWeighted(cfg.Pending),
		stopped:     make(chan struct{}),
	}
	a.metrics = newMetrics(reg, &cfg, a.pending.Load)
	a.writer = insert.NewWriter(conn, logger, a.metrics.insertRetries.Inc)
	return a
}

// incomplete is the time before which a tenant's rows may be deleted already,
// or are about to be while their minute is computed.
func incomplete(r *storage.Retention, tenant string, now time.Time) time.Time {
	cutoff := storage.Cutoff(r.Class(tenant).Days, now)
	if cutoff.IsZero() {
		return cutoff
	}
	return cutoff.AddDate(0, 0, 1)
}

// submission is one push or one request of events on its way into the store.
type submission struct {
	ingest.Batch
	oldest time.Time // of its lines and events
	left   int       // lines not settled yet, plus one until the events are
	owed   int       // times that lines are to be read again, for what it told
	stored bool      // all of it is; what is owed is not yet
	stay   *stay
	free   func()     // gives back what it takes of Config.Pending, once
	done   chan error // size 1: the merger never waits for who submitted
	span   trace.Span // of its way; ends when done is heard, or nobody waits any more
}

func oldestOf(b *ingest.Batch) (oldest time.Time) {
	for i := range b.Lines {
		if t := b.Lines[i].Time; oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	for i := range b.Events {
		if t := b.Events[i].Time; oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	return oldest
}

var errStopping = errors.New("the aggregator is stopping")

// Push takes one Loki push of tenant and returns when it is stored. Its errors
// are those of a client's: a *wire.StatusError with 400 for what can never be
// stored (the rest is), with 429 or 503 for what may be later.
func (a *Aggregator) Push(ctx context.Context, tenant string, req *push.PushRequest) error {
	batch := a.decoder.Decode(tenant, req)
	return a.push(ctx, tenant, &batch)
}

func (a *Aggregator) push(ctx context.Context, tenant string, batch *ingest.Batch) error {
	if err := a.take(ctx, protocolLoki, tenant, batch, nil); err != nil {
		return err
	}
	if err := batch.Err(); err != nil {
		return &wire.StatusError{Code: 400, Message: err.Error()}
	}
	return nil
}

// PushEncoded is Push of a request in protobuf. It keeps nothing of raw.
func (a *Aggregator) PushEncoded(ctx context.Context, tenant string, raw []byte) error {
	return a.pushRaw(ctx, tenant, bytes.Clone(raw))
}

// pushRaw is PushEncoded that keeps raw.
func (a *Aggregator) pushRaw(ctx context.Context, tenant string, raw []byte) error {
	batch, err := a.decoder.DecodeRaw(tenant, raw)
	if err != nil {
		return &wire.StatusError{Code: 400, Message: err.Error()}
	}
	return a.push(ctx, tenant, &batch)
}

// Events takes events and returns when they are stored. Any error means: again, later.
func (a *Aggregator) Events(ctx context.Context, events []faas.Event) error {
	batch := ingest.Events(events)
	return a.submit(ctx, &batch, nil)
}

// take brings a batch of tenant into the store, and counts it. The batch leaves
// when nothing is kept of it. Its error is a *wire.StatusError with 429 or 503; what
// of the batch was refused is none.
func (a *Aggregator) take(ctx context.Context, protocol, tenant string, batch *ingest.Batch, stay *stay) error {
	if wait := a.rates.Take(tenant, batch.Bytes, time.Now()); wait > 0 {
		return &wire.StatusError{
			Code: 429, RetryAfter: wait,
			Message: fmt.Sprintf("tenant %q sends more bytes a second than it may: send again in %s", tenant, wait.Round(time.Millisecond)),
		}
	}
	ids := make([]string, 0, len(batch.Lines))
	for i := range batch.Lines {
		l := &batch.Lines[i]
		before := len(ids)
		ids = a.lines.Line(l, ids)
		l.Named = ids[before:len(ids):len(ids)]
	}
	if err := a.submit(ctx, batch, stay); err != nil {
		return unavailable(err)
	}
	a.metrics.took(protocol, batch)
	return nil
}

// submit returns when batch is stored, and all that follows from it. Its lines
// and events are gone then; it leaves once they are not kept for it any more.
func (a *Aggregator) submit(ctx context.Context, batch *ingest.Batch, stay *stay) (err error) {
	if len(batch.Lines)+len(batch.Events) == 0 {
		return nil
	}
	ctx, span := a.tracer.Start(ctx, "aggregator.submit")
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("lines", len(batch.Lines)), attribute.Int("events", len(batch.Events)), attribute.Int("bytes", batch.Bytes))
	}
	defer func() { endSpan(span, err) }()

	size := int64(batch.Bytes)
	free := sync.OnceFunc(func() { a.pending.Add(-size); stay.leave() })
	defer free()
	if all := a.pending.Add(size); all > a.cfg.Pending && all > size { // one that is larger is taken alone
		return fmt.Errorf("%w: %d bytes wait to be stored already", wire.ErrBusy, a.cfg.Pending)
	}
	s := &submission{Batch: *batch, oldest: oldestOf(batch), left: len(batch.Lines) + 1, stay: stay, free: free, done: make(chan error, 1), span: span}
	batch.Lines, batch.Events = nil, nil
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
