package collector

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/coldscope/coldscope/internal/faas"
)

// openInvocations is how many invocations of an instance its platform has
// started and not ended, as far as the events say that passed here.
type openInvocations struct{ n atomic.Int64 }

// hints counts open invocations by instance. It only feeds metrics that tell
// how well lines can be attributed: the aggregator decides.
type hints struct {
	mu        sync.Mutex
	instances map[string]*openInvocations
}

// maxHints bounds what is remembered.
const maxHints = 100_000

func newHints() *hints { return &hints{instances: map[string]*openInvocations{}} }

// of gives an instance's count; nil if no event named it.
func (h *hints) of(instance string) *openInvocations {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.instances[instance]
}

// observe takes the platform's events in.
func (h *hints) observe(events []faas.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range events {
		e := &events[i]
		switch e.Data.(type) {
		case faas.InvocationStarted, faas.InvocationEnded:
		case faas.Stopped:
			delete(h.instances, e.Instance)
			continue
		default:
			continue
		}
		o := h.instances[e.Instance]
		if o == nil {
			if len(h.instances) >= maxHints {
				clear(h.instances)
			}
			o = new(openInvocations)
			h.instances[e.Instance] = o
		}
		if _, started := e.Data.(faas.InvocationStarted); started {
			o.n.Add(1)
		} else if o.n.Load() > 0 {
			o.n.Add(-1)
		}
	}
}

// accept makes a platform's events durable, and lets all see them who need to.
func (c *Collector) accept(ctx context.Context, events []faas.Event) error {
	c.hub.Platform(events) // now, since it reads control groups
	if err := c.journal.Append(ctx, events); err != nil {
		return err
	}
	c.hints.observe(events)
	return nil
}
