// Package ship brings lines to one of several targets and knows what has
// arrived. A file's lines are encoded as they come and handed over in pieces;
// they travel in batches by tenant and target, several batches of each at
// once, and are sent again for ever. A file's offset moves only over what was
// acknowledged, in order. A bounded number of bytes is held; who sends more
// waits. What a target will never take goes to a dead-letter file, entry by entry.
//
// # Targets
//
// Lines and events are merged by instance, so everything about an instance
// goes to one target: the one that has the highest hash of its name and the
// instance's ID among all targets (rendezvous hashing). Who has the same
// targets chooses the same, and one target more or less moves only what comes
// to it or was there. While a target is down, its instances wait; with
// Options.Failover they go to the next in their order then, and come back later.
//
// # Pace
//
// A lane, which is a tenant at a target, sends what it has after a short
// moment if nothing of it is on its way, and later the more is, so that batches
// are as large as they have to be and no larger. Where a target asks for
// mercy (429, 503) or does not answer, the lane halves what it has on its way,
// then its rate, and comes back slowly.
package ship

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/faas"
)

// Sink stores lines. PushEncoded takes one Loki push request in protobuf and
// returns nil once all in it is stored. An error for which wire.Permanent holds
// will never go away; after any other one the same request comes again. raw is
// used again after it returns. It is called concurrently.
type Sink interface {
	PushEncoded(ctx context.Context, tenant string, raw []byte) error
}

// Target is a sink and its name, which decides what goes there: the name must
// be the same at all senders and after every restart, a URL without credentials for
// example.
type Target struct {
	Name string
	Sink Sink
}

// Options bound a Shipper. Zero values take the defaults.
type Options struct {
	BatchBytes  int64         // a batch is sent when it has this much; default 1 MiB
	BatchAge    time.Duration // or when it is this old and nothing is on its way; default 30 ms
	InFlight    int           // batches of one tenant at one target; default 8
	MaxBytes    int64         // unacknowledged, in memory; default 16 MiB; one tenant at one target gets half
	PushTimeout time.Duration // of one attempt; default 60 s
	MinBackoff  time.Duration // default 100 ms
	MaxBackoff  time.Duration // default 10 s
	// Failover is how long a target has to be down until what belongs there goes
	// to others. Default 0: never, what belongs there waits.
	Failover time.Duration
}

func (o Options) withDefaults() Options {
	set(&o.BatchBytes, 1<<20)
	set(&o.BatchAge, 30*time.Millisecond)
	set(&o.InFlight, 8)
	set(&o.MaxBytes, 16<<20)
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

// Shipper is safe for concurrent use.
type Shipper struct {
	opts    Options
	targets []*target
	dead    *DeadLetters
	log     *slog.Logger
	metrics *metrics
	buffers *buffers
	buried  atomic.Int64
	holding atomic.Int64  // writers with lines that are not handed over
	last    atomic.Int64  // when a batch was acknowledged, in Unix nanoseconds
	kick    chan struct{} // something is to do for Run
	timer   *time.Timer   // or will be: at next

	mu       sync.Mutex
	lanes    map[laneKey]*lane
	bytes    int64     // of all lanes
	next     time.Time // zero: never
	waiting  []*waiter // for memory, in the order in which they came
	draining int       // who waits in Drain
	drained  chan struct{}
}

// New makes a Shipper, which has at least one target. It sends while Run runs.
func New(opts Options, targets []Target, dead *DeadLetters, log *slog.Logger, reg prometheus.Registerer) (*Shipper, error) {
	if len(targets) == 0 {
		return nil, errors.New("new shipper: no target")
	}
	s := &Shipper{
		opts: opts.withDefaults(), dead: dead, log: log, buffers: newBuffers(),
		kick: make(chan struct{}, 1), timer: time.NewTimer(time.Hour),
		lanes: map[laneKey]*lane{}, drained: make(chan struct{}),
	}
	s.timer.Stop()
	for _, t := range targets {
		for _, other := range s.targets {
			if t.Name == other.name {
				return nil, errors.New("new shipper: two targets are called " + t.Name)
			}
		}
		s.targets = append(s.targets, &target{name: t.Name, sink: t.Sink})
	}
	s.metrics = newMetrics(reg, s)
	return s, nil
}

// Unacknowledged is the bytes in memory that have been handed over and that no
// target has acknowledged.
func (s *Shipper) Unacknowledged() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// LastAcknowledged is when a target last took a batch, zero if none has.
func (s *Shipper) LastAcknowledged() time.Time { return fromNano(s.last.Load()) }

// wake makes Run look.
func (s *Shipper) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// arm makes Run look at the given time, or before.
func (s *Shipper) arm(at time.Time) {
	if !s.next.IsZero() && !at.Before(s.next) {
		return
	}
	s.next = at
	if d := time.Until(at); d > 0 {
		s.timer.Reset(d)
		return
	}
	s.wake()
}

// Run sends until ctx ends. What is unacknowledged then stays so.
func (s *Shipper) Run(ctx context.Context) error {
	var pushes sync.WaitGroup
	defer pushes.Wait()
	defer s.timer.Stop()
	for {
		for _, b := range s.due(time.Now()) {
			pushes.Go(func() {
				if s.deliver(ctx, b) {
					s.finish(b)
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-s.timer.C:
		}
	}
}

// due takes the batches that are to be sent now, and sets the timer for the next one.
func (s *Shipper) due(now time.Time) []*batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*batch
	var next time.Time
	for key, ln := range s.lanes {
		at, ok := s.ready(ln)
		for ok && !at.After(now) {
			out = append(out, s.start(ln, now))
			at, ok = s.ready(ln)
		}
		if ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if ln.bytes == 0 && ln.forgettable(s.opts.InFlight, now) {
			delete(s.lanes, key)
		}
	}
	s.next = next
	if next.IsZero() {
		s.timer.Stop()
	} else {
		s.timer.Reset(next.Sub(now))
	}
	return out
}

// finish acknowledges b.
func (s *Shipper) finish(b *batch) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	b.done = true
	var moved int64
	for _, f := range b.files {
		moved += f.settle(now)
	}
	ln := b.lane
	ln.inFlight--
	ln.bytes -= b.bytes
	s.bytes -= b.bytes
	s.last.Store(now.UnixNano())
	s.metrics.acknowledged(b, moved, now)
	s.buffers.put(b.raw)
	ln.spans = b.spans[:0]
	b.raw, b.files, b.spans = nil, nil, nil
	s.grant()
	if at, ok := s.ready(ln); ok {
		s.arm(at)
	}
	if s.bytes == 0 && s.draining > 0 {
		close(s.drained)
		s.drained = make(chan struct{})
	}
}

// Drain returns when nothing is unacknowledged, or with ctx's error. Lines
// that a Writer has not handed over are not waited for.
func (s *Shipper) Drain(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining++ // from now on nothing waits for company
	defer func() { s.draining-- }()
	for s.bytes > 0 {
		drained := s.drained
		s.wake()
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-drained:
		}
		s.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// tenantOf is whose a ref's lines are.
func tenantOf(ref faas.Ref) string {
	if ref.Tenant == "" {
		return faas.DefaultTenant
	}
	return ref.Tenant
}

func fromNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
