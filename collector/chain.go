package collector

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/tail"
)

// A log is looked at soon after it grew, and ever less often while it does not.
const (
	// slowPoll is how often a quiet file is looked at of which the kernel tells
	// nothing, and idlePoll where it promised to wake us.
	slowPoll = 250 * time.Millisecond
	idlePoll = 10 * time.Second
	// endPoll is how often a file is looked at that has ended.
	endPoll = time.Second
	// What is read at once; where many wait with what they have read, less.
	bufferBytes      = 128 << 10
	smallBufferBytes = 16 << 10
	largeBuffers     = 16
)

// chain is one log: its generations, which are read in order, oldest first. Its
// goroutine owns them.
type chain struct {
	c         *Collector
	container *discover.Container
	kick      chan struct{} // look now
	gens      []*generation
	hint      *openInvocations // of the instance; nil as long as no event named it
	hinted    time.Time        // when it was looked for
	places    sync.Mutex       // held while places of two generations change together, and while they are looked at

	// listening says that the kernel promised to tell when a file is written to,
	// heard that it did.
	listening bool
	heard     atomic.Bool

	fresh atomic.Bool // there is something in inbox
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
	wait := ch.c.cfg.PollInterval
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
		ch.retire(ctx)
		if ok {
			ch.looked.Store(asked)
		}
		if len(ch.gens) == 0 && ch.c.leave(ch) {
			ch.left = true
			return
		}
		wait = ch.next(ctx, wait, progress || fresh)
		timer.Reset(ch.until(wait))
	}
}

// next gives how long to wait after a look that found something or not, and
// before it a wait of last.
func (ch *chain) next(ctx context.Context, last time.Duration, progress bool) time.Duration {
	if ch.heard.Swap(false) {
		ch.listening = false
	}
	switch {
	case progress:
		ch.listening = false
		return ch.c.cfg.PollInterval
	case ch.listening:
		return idlePoll
	case last <= ch.c.cfg.PollInterval: // a log with some lines a second is not worth the kernel's hints
		return 2 * last
	}
	if ch.listening = ch.listen(); !ch.listening {
		return min(2*last, slowPoll)
	}
	if progress, _ := ch.pass(ctx); progress { // what came before we listened
		ch.listening = false
		return ch.c.cfg.PollInterval
	}
	return idlePoll
}

// hear is what the kernel calls.
func (ch *chain) hear() {
	ch.heard.Store(true)
	ch.poke()
}

// until gives the time until the next look: all chains look at the same
// moments, so that the process wakes up once for all of them.
func (ch *chain) until(wait time.Duration) time.Duration {
	grid := ch.c.cfg.PollInterval
	now := time.Now()
	return now.Add(wait - grid/2).Truncate(grid).Add(grid).Sub(now)
}

// listen asks the kernel to wake the chain when one of its files is written
// to; false if it has to look for itself.
func (ch *chain) listen() bool {
	for _, g := range ch.gens {
		switch {
		case !g.final && g.state.Deleted, g.waits(), g.joiner.Open(), g.carried != nil, g.failed != "":
			return false // time alone brings it on
		case g.final || g.found.Compressed || g.found.Saved != nil:
		case g.idleSince.IsZero():
			if !ch.c.notify.File(g.found.File, ch.hear) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// pass reads what is new in all generations, in order. ok is false if one
// could not be read.
func (ch *chain) pass(ctx context.Context) (progress, ok bool) {
	buf := ch.c.buffer()
	defer ch.c.release(buf)
	now := time.Now()
	if ch.hint == nil && now.Sub(ch.hinted) > time.Second {
		ch.hint, ch.hinted = ch.c.hints.of(ch.container.Ref.Instance), now
	}
	ok = true
	for i, g := range ch.gens {
		if g.final && now.Sub(g.looked) < endPoll {
			continue
		}
		ended := ch.endedBefore(i)
		p, err := g.read(ctx, buf, now, ended)
		if ctx.Err() != nil {
			return progress, false
		}
		progress = progress || p
		ok = ok && err == nil
		wait := ended && err == nil && ch.carry(i, now)
		if g.ctx.Err() == nil { // else it was given up meanwhile, which the next pass sees
			g.report(err)
		}
		if wait {
			break
		}
	}
	return progress, ok
}

// report counts a failure to read, and says it if it is a new one.
func (g *generation) report(err error) {
	if err == nil {
		g.failed = ""
		return
	}
	g.c.metrics.readErrors.Inc()
	if g.failed != err.Error() {
		g.failed = err.Error()
		g.c.log.Error("reading failed, trying again", slog.String("path", g.found.Path), slog.Any("error", err))
	}
}

// endedBefore reports whether nobody should write to generation i any more: it
// was rotated away, or a younger one is there.
func (ch *chain) endedBefore(i int) bool {
	return ch.gens[i].found.Rotated || ch.gens[i].found.Saved != nil ||
		slices.ContainsFunc(ch.gens[i+1:], func(g *generation) bool { return !g.found.Rotated })
}

// retire closes the generations that are done with, and tells the ledgers.
func (ch *chain) retire(ctx context.Context) {
	now := time.Now()
	kept := ch.gens[:0:0]
	for i, g := range ch.gens {
		g.tell(ctx, now)
		if g.found.Format == discover.Journal && i < len(ch.gens)-1 && g.consumed() && !g.state.Deleted {
			ch.c.removeSegment(g)
		}
		if g.found.Saved != nil && g.consumed() && !g.state.Deleted {
			ch.c.unspool(g.found.Path)
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
	if c.lent.Add(1) > largeBuffers {
		return tail.NewBuffer(smallBufferBytes)
	}
	if b, ok := c.buffers.Get().(*tail.Buffer); ok {
		return b
	}
	return tail.NewBuffer(bufferBytes)
}

func (c *Collector) release(b *tail.Buffer) {
	c.lent.Add(-1)
	if b.Len() == bufferBytes {
		c.buffers.Put(b)
	}
}
