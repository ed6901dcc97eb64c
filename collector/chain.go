package collector

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/tail"
)

// A file is looked at soon after it grew, and ever less often while it does not.
const (
	minPoll = 10 * time.Millisecond
	maxPoll = 250 * time.Millisecond
	// bufferBytes is what is read at once; larger buffers are not kept.
	bufferBytes = 128 << 10
)

// chain is a container's log: its generations, which are read in order, oldest
// first. Its goroutine owns them.
type chain struct {
	c         *Collector
	container *discover.Container
	kick      chan struct{} // look now
	gens      []*generation

	// Guarded by the Collector's mutex:
	inbox []*generation // new ones
	all   []*generation // gens and inbox, for others

	// asked and looked tell Settled that everything was read that was there
	// when it asked: looked follows asked at the end of a pass.
	asked, looked atomic.Uint64
	ended         chan struct{} // closed when run ends
	left          bool          // all files are gone; set before ended is closed
}

// poke makes the chain look now.
func (ch *chain) poke() {
	select {
	case ch.kick <- struct{}{}:
	default:
	}
}

// run reads until ctx ends or all files are gone.
func (ch *chain) run(ctx context.Context) {
	defer close(ch.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := minPoll
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch.kick:
		case <-timer.C:
		}
		asked := ch.asked.Load()
		fresh := ch.c.adopt(ch)
		progress, ok := ch.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		ch.retire()
		wait = min(2*wait, maxPoll)
		if progress || fresh {
			wait = minPoll
		}
		if ok {
			ch.looked.Store(asked)
		}
		if len(ch.gens) == 0 && ch.c.leave(ch) {
			ch.left = true
			return
		}
		timer.Reset(wait)
	}
}

// pass reads what is new in all generations, in order. ok is false if one
// could not be read.
func (ch *chain) pass(ctx context.Context) (progress, ok bool) {
	buf := ch.c.buffer()
	defer ch.c.release(buf)
	now := time.Now()
	ok = true
	for i, g := range ch.gens {
		p, err := g.read(ctx, buf, now, i == len(ch.gens)-1)
		if ctx.Err() != nil {
			return progress, false
		}
		progress = progress || p
		if err != nil {
			ok = false
			ch.c.metrics.readErrors.Inc()
			ch.c.log.Error("reading failed, trying again",
				slog.String("path", g.found.Path), slog.Any("error", err))
		}
	}
	return progress, ok
}

// retire closes the generations that are done with.
func (ch *chain) retire() {
	now := time.Now()
	kept := ch.gens[:0:0]
	for i, g := range ch.gens {
		if g.found.Container.Kind == discover.Journal && i < len(ch.gens)-1 && g.consumed() && !g.state.Deleted {
			ch.c.removeSegment(g)
		}
		if g.gone(now) {
			ch.c.forget(ch, g)
			continue
		}
		kept = append(kept, g)
	}
	ch.gens = kept
}

// generations gives the chain's generations to others, who look at their views.
func (ch *chain) generations() []*generation {
	ch.c.mu.Lock()
	defer ch.c.mu.Unlock()
	return slices.Clone(ch.all)
}

// buffer lends memory for one pass.
func (c *Collector) buffer() *tail.Buffer {
	if b, ok := c.buffers.Get().(*tail.Buffer); ok {
		return b
	}
	return tail.NewBuffer(bufferBytes)
}

func (c *Collector) release(b *tail.Buffer) {
	if b.Len() <= bufferBytes {
		c.buffers.Put(b)
	}
}
