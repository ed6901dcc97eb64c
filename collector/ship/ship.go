// Package ship brings lines to a sink and knows what has arrived. It batches
// them by tenant, keeps several batches in flight, tries again for ever, and
// moves a file's offset only over what the sink has acknowledged, in order. It
// holds a bounded number of bytes; who sends more waits. What the sink will
// never take goes to a dead-letter file, entry by entry.
package ship

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/wire"
)

// Sink stores lines. Push returns nil once they are stored. An error for which
// wire.Permanent holds will never go away; after any other one the same
// request comes again. The request is not changed after Push and may be kept.
// Push is called concurrently.
type Sink interface {
	Push(ctx context.Context, tenant string, req *push.PushRequest) error
}

// Options bound a Shipper. Zero values take the defaults.
type Options struct {
	BatchBytes  int64         // a batch is sent when it has this much; default 1 MiB
	BatchAge    time.Duration // or when it is this old; default 200 ms
	InFlight    int           // batches of one tenant; default 4
	MaxBytes    int64         // unacknowledged, in memory; default 32 MiB; one tenant gets half
	PushTimeout time.Duration // of one attempt; default 60 s
	MinBackoff  time.Duration // default 100 ms
	MaxBackoff  time.Duration // default 10 s
}

func (o Options) withDefaults() Options {
	set(&o.BatchBytes, 1<<20)
	set(&o.BatchAge, 200*time.Millisecond)
	set(&o.InFlight, 4)
	set(&o.MaxBytes, 32<<20)
	set(&o.PushTimeout, time.Minute)
	set(&o.MinBackoff, 100*time.Millisecond)
	set(&o.MaxBackoff, 10*time.Second)
	return o
}

func set[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Line is one line or event to send. Body is copied.
type Line struct {
	Time      time.Time
	Body      []byte
	Offset    int64
	Truncated int64
	Safe      int64 // how far the file is done with once this line and all before it are
}

// Shipper is safe for concurrent use, as long as each File has one sender.
type Shipper struct {
	opts    Options
	sink    Sink
	dead    *DeadLetters
	log     *slog.Logger
	metrics *metrics
	kick    chan struct{} // something is to do for Run
	buried  atomic.Int64

	mu    sync.Mutex
	lanes map[string]*lane
	bytes int64         // of all lanes
	freed chan struct{} // closed and replaced when bytes shrink
}

// lane is one tenant's way. Tenants do not wait for each other.
type lane struct {
	open     *batch   // is being filled
	queue    []*batch // sealed, not in flight yet
	inFlight int
	bytes    int64 // unacknowledged
}

// New makes a Shipper. It sends while Run runs.
func New(opts Options, sink Sink, dead *DeadLetters, log *slog.Logger, reg prometheus.Registerer) *Shipper {
	return &Shipper{
		opts: opts.withDefaults(), sink: sink, dead: dead, log: log, metrics: newMetrics(reg),
		kick: make(chan struct{}, 1), lanes: map[string]*lane{}, freed: make(chan struct{}),
	}
}

// Send takes a line of f over. It waits while too much is unacknowledged; an
// error is ctx's, and the line was not taken then.
func (s *Shipper) Send(ctx context.Context, f *File, to *Stream, l *Line) error {
	n := size(l)
	s.mu.Lock()
	for {
		ln := s.lane(to.tenant)
		// A tenant may take as much as is left for all others: one alone half of
		// the memory, and a tenant whose lines nobody takes never all of it. Some
		// line always fits.
		if ln.bytes == 0 || ln.bytes+n <= s.opts.MaxBytes-s.bytes {
			s.put(ln, f, to, l, n)
			s.mu.Unlock()
			return nil
		}
		freed := s.freed
		s.mu.Unlock()
		s.wake()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-freed:
		}
		s.mu.Lock()
	}
}

func (s *Shipper) lane(tenant string) *lane {
	ln := s.lanes[tenant]
	if ln == nil {
		ln = new(lane)
		s.lanes[tenant] = ln
	}
	return ln
}

func (s *Shipper) put(ln *lane, f *File, to *Stream, l *Line, n int64) {
	wake := ln.open == nil
	if wake {
		ln.open = newBatch(to.tenant, time.Now())
	}
	ln.open.add(f, to, l)
	f.sent(ln.open, l.Safe)
	ln.bytes += n
	s.bytes += n
	if ln.open.bytes >= s.opts.BatchBytes {
		s.seal(ln)
		wake = true
	}
	if wake {
		s.wake()
	}
}

// seal queues the lane's open batch.
func (s *Shipper) seal(ln *lane) {
	ln.open.seal()
	ln.queue = append(ln.queue, ln.open)
	ln.open = nil
}

// Advance says that there is nothing to send of f up to safe.
func (s *Shipper) Advance(f *File, safe int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := f.Committed()
	f.advance(safe)
	s.metrics.ackedBytes.Add(float64(f.Committed() - was))
}

// Unacknowledged is the bytes in memory that the sink has not acknowledged.
func (s *Shipper) Unacknowledged() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *Shipper) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends. What is unacknowledged then stays so.
func (s *Shipper) Run(ctx context.Context) error {
	var pushes sync.WaitGroup
	defer pushes.Wait()
	timer := time.NewTimer(s.opts.BatchAge)
	defer timer.Stop()
	for {
		for _, b := range s.due(time.Now(), timer) {
			pushes.Go(func() {
				if s.deliver(ctx, b.tenant, b.req) {
					s.finish(b)
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-timer.C:
		}
	}
}

// due takes the batches that are to be sent now, and sets timer for the next one.
func (s *Shipper) due(now time.Time, timer *time.Timer) []*batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*batch
	next := time.Hour
	for tenant, ln := range s.lanes {
		if ln.open != nil {
			age := now.Sub(ln.open.born)
			// Somebody who waits for memory may be waiting for this very batch.
			if age >= s.opts.BatchAge || ln.bytes >= s.opts.MaxBytes-s.bytes {
				s.seal(ln)
			} else {
				next = min(next, s.opts.BatchAge-age)
			}
		}
		for len(ln.queue) > 0 && ln.inFlight < s.opts.InFlight {
			out = append(out, ln.queue[0])
			ln.queue[0] = nil
			ln.queue = ln.queue[1:]
			ln.inFlight++
		}
		if ln.bytes == 0 {
			delete(s.lanes, tenant)
		}
	}
	timer.Reset(next)
	return out
}

// finish acknowledges b.
func (s *Shipper) finish(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.done = true
	for _, f := range b.files {
		s.metrics.ackedBytes.Add(float64(f.settle()))
	}
	for i := range b.req.Streams {
		s.metrics.ackedLines[b.kinds[i]].Add(float64(len(b.req.Streams[i].Entries)))
	}
	ln := s.lanes[b.tenant]
	ln.inFlight--
	ln.bytes -= b.bytes
	s.bytes -= b.bytes
	b.req, b.files = nil, nil
	close(s.freed)
	s.freed = make(chan struct{})
	s.wake()
}

// deliver brings req to the sink, or what the sink refuses to the dead-letter
// file. It returns false if ctx ended before.
func (s *Shipper) deliver(ctx context.Context, tenant string, req *push.PushRequest) bool {
	for attempt := 0; ; attempt++ {
		err := s.push(ctx, tenant, req)
		if err == nil {
			return true
		}
		if wire.Permanent(err) {
			if entries(req) > 1 {
				a, b := halves(req)
				return s.deliver(ctx, tenant, a) && s.deliver(ctx, tenant, b)
			}
			if err = s.bury(tenant, req, err); err == nil {
				return true
			}
		}
		pause := s.pause(attempt, err)
		if ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "push failed, trying again",
				slog.String("tenant", tenant), slog.Int("attempt", attempt+1),
				slog.Duration("pause", pause), slog.Any("error", err))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// push makes one attempt.
func (s *Shipper) push(ctx context.Context, tenant string, req *push.PushRequest) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.PushTimeout)
	defer cancel()
	err := s.sink.Push(ctx, tenant, req)
	code := "2xx"
	var status *wire.StatusError
	switch {
	case errors.As(err, &status):
		code = strconv.Itoa(status.Code)
	case err != nil:
		code = "error"
	}
	s.metrics.pushes.WithLabelValues(code).Inc()
	return err
}

// pause grows exponentially, with jitter, and is at least what the peer asked for.
func (s *Shipper) pause(attempt int, err error) time.Duration {
	d := s.opts.MaxBackoff
	if attempt < 16 {
		d = min(d, s.opts.MinBackoff<<attempt)
	}
	d = d/2 + rand.N(d/2+1)
	if status, ok := errors.AsType[*wire.StatusError](err); ok && status.RetryAfter > d {
		d = status.RetryAfter + rand.N(s.opts.MinBackoff)
	}
	return d
}

// bury gives up the one entry of req, which the sink refuses for ever.
func (s *Shipper) bury(tenant string, req *push.PushRequest, cause error) error {
	if entries(req) == 0 {
		return nil
	}
	reason := ReasonRefused
	if status, ok := errors.AsType[*wire.StatusError](cause); ok {
		reason = "http_" + strconv.Itoa(status.Code)
	}
	for _, stream := range req.Streams {
		for _, e := range stream.Entries {
			letter := Letter{
				Reason: reason, Error: cause.Error(), Tenant: tenant,
				Labels: stream.Labels, Time: e.Timestamp, Line: e.Line,
			}
			for _, m := range e.StructuredMetadata {
				switch m.Name {
				case wire.MetaFileID:
					letter.FileID = m.Value
				case wire.MetaOffset:
					letter.Offset = m.Value
				}
			}
			if err := s.Bury(letter); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bury writes a dead letter and counts it. If it cannot be written, who has
// the entry keeps it and comes again.
func (s *Shipper) Bury(l Letter) error {
	if err := s.dead.write(l); err != nil {
		return err
	}
	s.metrics.dead.WithLabelValues(l.Reason).Inc()
	if n := s.buried.Add(1); n&(n-1) == 0 { // there may be many: the 1st, 2nd, 4th, 8th, … are logged
		s.log.Warn("entry given up, see the dead-letter file", slog.String("reason", l.Reason),
			slog.String("error", l.Error), slog.String("labels", l.Labels), slog.Int64("given_up", n))
	}
	return nil
}

// Drain returns when nothing is unacknowledged, or with ctx's error.
func (s *Shipper) Drain(ctx context.Context) error {
	s.mu.Lock()
	for s.bytes > 0 {
		for _, ln := range s.lanes {
			if ln.open != nil {
				s.seal(ln)
			}
		}
		freed := s.freed
		s.mu.Unlock()
		s.wake()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-freed:
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}
