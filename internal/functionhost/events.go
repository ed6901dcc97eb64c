package functionhost

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

const (
	maxQueued    = 200_000 // events, some 100 MB; about an hour without a collector at 10 requests/s
	maxBatch     = 500     // events, far below wire.MaxEventsBytes
	firstRetry   = 50 * time.Millisecond
	lastRetry    = 2 * time.Second
	sendTimeout  = 30 * time.Second
	flushTimeout = 5 * time.Second // at the end
)

// sender brings events to the sink in their order. Adding one never waits:
// the sink makes events durable, and an invocation must not wait for a disk.
type sender struct {
	sink   Sink
	source string
	run0   string // tells this run's IDs from those of others
	log    *slog.Logger
	more   chan struct{} // of size 1: the queue was not empty

	mu sync.Mutex
	// guarded by mu:
	queue   []faas.Event
	n       uint64
	dropped uint64
}

func newSender(sink Sink, source string, log *slog.Logger) *sender {
	return &sender{sink: sink, source: source, run0: rand.Text()[:10], log: log, more: make(chan struct{}, 1)}
}

// add names the event and queues it.
func (s *sender) add(e faas.Event) {
	s.mu.Lock()
	s.n++
	e.ID, e.Source = s.run0+"-"+strconv.FormatUint(s.n, 10), s.source
	full := len(s.queue) >= maxQueued
	if full {
		s.dropped++
		full = s.dropped%1000 == 1
	} else {
		s.queue = append(s.queue, e)
	}
	dropped := s.dropped
	s.mu.Unlock()
	if full {
		s.log.Error("events are lost: the collector has not taken any for too long and the queue is full",
			"queued", maxQueued, "lost", dropped)
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// run sends until ctx ends, and then what is left, within flushTimeout.
func (s *sender) run(ctx context.Context) {
	for {
		select {
		case <-s.more:
			s.sendAll(ctx)
			continue
		case <-ctx.Done():
		}
		break
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	s.sendAll(flush)
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := len(s.queue); left > 0 {
		s.log.Error("events are lost: the collector did not take them before the end", "lost", left)
	}
}

// sendAll empties the queue, unless ctx ends first. An event leaves the queue
// when the sink has it.
func (s *sender) sendAll(ctx context.Context) {
	for {
		s.mu.Lock()
		batch := s.queue[:min(len(s.queue), maxBatch)]
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if !s.send(ctx, batch) {
			return
		}
		s.mu.Lock()
		s.queue = s.queue[len(batch):]
		if len(s.queue) == 0 {
			s.queue = nil // lets the memory go
		}
		s.mu.Unlock()
	}
}

// send tries until the sink has taken or refused the batch; false if ctx
// ended before.
func (s *sender) send(ctx context.Context, batch []faas.Event) bool {
	pause := firstRetry
	for attempt := 1; ; attempt++ {
		err := s.try(ctx, batch)
		switch {
		case err == nil:
			if attempt > 1 {
				s.log.Info("events are taken again", "attempts", attempt)
			}
			return true
		case wire.Permanent(err) && len(batch) > 1:
			// One of them is bad; the others need not suffer.
			for n := range batch {
				if !s.send(ctx, batch[n:n+1]) {
					return false
				}
			}
			return true
		case wire.Permanent(err):
			s.log.Error("event is lost: the collector refused it", "event", batch[0].ID, "type", string(batch[0].Type()), "error", err)
			return true
		}
		if attempt == 1 {
			s.log.Warn("events are not taken, trying again until they are", "error", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
		pause = min(2*pause, lastRetry)
	}
}

func (s *sender) try(ctx context.Context, batch []faas.Event) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.sink.SendEvents(ctx, batch)
}
