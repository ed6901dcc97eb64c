package probe

import (
	"context"
	"sync"

	"github.com/coldscope/coldscope/internal/faas"
)

// maxWaiting bounds the events that wait while nothing can be made durable;
// those above it are dropped and counted. One of two starts' events, or an invocation's
// usage, is some 500 bytes.
const maxWaiting = 16 << 10

const batch = 256

// outbox is events on their way out, so that who finds something does not wait for a disk.
type outbox struct {
	metrics *metrics
	wake    chan struct{} // size 1: there are events

	mu     sync.Mutex
	events []faas.Event
}

func newOutbox(m *metrics) *outbox { return &outbox{metrics: m, wake: make(chan struct{}, 1)} }

// add never waits. Usage makes room for starts: it gets half of the space only.
func (o *outbox) add(e faas.Event) {
	limit := maxWaiting
	if e.Type() == faas.TypeInvocationUsage {
		limit /= 2
	}
	o.mu.Lock()
	full := len(o.events) >= limit
	if !full {
		o.events = append(o.events, e)
	}
	o.mu.Unlock()
	if full {
		o.metrics.dropped.WithLabelValues(string(e.Type())).Inc()
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run emits until ctx ends.
func (o *outbox) run(ctx context.Context, emit func(context.Context, ...faas.Event) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		for {
			events := o.take()
			if len(events) == 0 {
				break
			}
			if err := emit(ctx, events...); err != nil {
				return // ctx has ended
			}
		}
	}
}

func (o *outbox) take() []faas.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.events), batch)
	events := append([]faas.Event(nil), o.events[:n]...)
	o.events = append(o.events[:0], o.events[n:]...)
	if len(o.events) == 0 && cap(o.events) > batch {
		o.events = nil // give back what a jam needed
	}
	clear(o.events[len(o.events):cap(o.events)])
	return events
}
