package functionhost

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Errors that Invoke can wrap.
var (
	ErrUnknownFunction = errors.New("unknown function")
	ErrThrottled       = errors.New("all instances are busy and the queue is full")
	ErrClosed          = errors.New("the function host is shutting down")
	ErrStart           = errors.New("the instance could not be started")
)

// pool is a function with its instances and the requests that wait for one.
type pool struct {
	host *Host
	fn   Function

	mu sync.Mutex
	// guarded by mu:
	instances []*instance
	waiting   []*waiter // first come, first served
	retired   bool
	notBefore time.Time // no provisioned start before this, after one failed
	digest    string    // what the tag was when last resolved
}

// waiter is a request that waits for a place on any instance.
type waiter struct {
	requestID string
	turn      chan *instance // of size 1, so that giving never blocks
}

// state is an instance's, in this order. It is guarded by its pool's mu.
type state int

const (
	starting state = iota
	serving
	stopping // takes no more requests
)

func newPool(h *Host, f Function) *pool {
	p := &pool{host: h, fn: f}
	repo, tag := f.repoTag()
	if img, ok := h.registry.Lookup(repo, tag); ok {
		p.digest = img.Digest.String()
	}
	return p
}

// acquire reserves a place on an instance: on one that serves, else on one
// that is starting, else on a new one, which the request then has demanded.
// If there may be no more instances it waits its turn.
func (p *pool) acquire(ctx context.Context, requestID string) (*instance, error) {
	p.mu.Lock()
	if i := p.free(); i != nil {
		i.busy++
		p.mu.Unlock()
		return i, nil
	}
	if len(p.instances) < p.fn.MaxInstances {
		i := p.demand(faas.OnDemand, requestID)
		i.busy++
		p.mu.Unlock()
		p.host.launch(ctx, i)
		return i, nil
	}
	if len(p.waiting) >= p.fn.QueueLimit {
		p.mu.Unlock()
		return nil, ErrThrottled
	}
	w := &waiter{requestID: requestID, turn: make(chan *instance, 1)}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()
	select {
	case i := <-w.turn:
		return i, nil
	case <-ctx.Done():
	case <-p.host.closing:
	}
	p.mu.Lock()
	n := slices.Index(p.waiting, w)
	if n >= 0 {
		p.waiting = slices.Delete(p.waiting, n, n+1)
	}
	p.mu.Unlock()
	if n < 0 { // it was this request's turn just now
		p.release(<-w.turn)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, ErrClosed
}

// free picks the instance that served last, so that the others become idle.
func (p *pool) free() *instance {
	var best *instance
	for _, i := range p.instances {
		if i.state == serving && i.hasExited() {
			i.state = stopping // live has not noticed yet
		}
		if i.state == stopping || i.busy >= p.fn.Concurrency {
			continue
		}
		if best == nil || i.state > best.state || i.state == best.state && i.lastEnd.After(best.lastEnd) {
			best = i
		}
	}
	return best
}

// demand makes an instance that still has to be launched.
func (p *pool) demand(init faas.Initialization, requestID string) *instance {
	i := newInstance(p, init, requestID)
	p.instances = append(p.instances, i)
	i.reportDemand(p.digest)
	return i
}

// release gives a place back, to who waits for it.
func (p *pool) release(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.busy--
	i.lastEnd = p.host.clock.now()
	if p.retired && i.busy == 0 {
		i.recycle(reasonReplaced)
	}
	p.fill(i)
	i.noteVacancy()
}

// fill gives the instance's free places to who waits.
func (p *pool) fill(i *instance) {
	for i.state != stopping && i.busy < p.fn.Concurrency && len(p.waiting) > 0 {
		i.busy++
		p.waiting[0].turn <- i
		p.waiting = p.waiting[1:]
	}
}

// served tells that the instance has started.
func (p *pool) served(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.lastEnd = p.host.clock.now()
	if i.state == starting {
		i.state = serving
	}
	p.fill(i)
}

// recycle has an instance stopped; it gets no more requests.
func (p *pool) recycle(i *instance, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.recycle(reason)
}

// leave takes an instance out. If requests wait, they demand another.
func (p *pool) leave(ctx context.Context, i *instance, failed bool) {
	p.mu.Lock()
	i.state = stopping
	i.noteVacancy()
	if n := slices.Index(p.instances, i); n >= 0 {
		p.instances = slices.Delete(p.instances, n, n+1)
	}
	if failed && i.init == faas.Provisioned {
		p.notBefore = p.host.clock.now().Add(provisionBackoff)
	}
	var next *instance
	if len(p.waiting) > 0 && len(p.instances) < p.fn.MaxInstances && !p.host.isClosing() {
		next = p.demand(faas.OnDemand, p.waiting[0].requestID)
		p.fill(next)
	}
	p.mu.Unlock()
	if next != nil {
		p.host.launch(ctx, next)
	}
}

// provisionBackoff keeps a function that cannot start from starting all the time.
const provisionBackoff = 2 * time.Second

// provision makes the provisioned instances that are missing; they have to be launched.
func (p *pool) provision(now time.Time) (made []*instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired || now.Before(p.notBefore) {
		return nil
	}
	have := 0
	for _, i := range p.instances {
		if i.init == faas.Provisioned && i.state != stopping {
			have++
		}
	}
	for ; have < p.fn.Provisioned && len(p.instances) < p.fn.MaxInstances; have++ {
		made = append(made, p.demand(faas.Provisioned, ""))
	}
	return made
}

// stopIdle stops on-demand instances that have had nothing to do for the given
// time, and all idle ones of a function that was replaced.
func (p *pool) stopIdle(now time.Time, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.instances {
		switch {
		case i.state != serving || i.busy > 0:
		case p.retired:
			i.recycle(reasonReplaced)
		case i.init == faas.OnDemand && now.Sub(i.lastEnd) >= after:
			i.recycle(reasonIdle)
		}
	}
}

func (p *pool) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
}

func (p *pool) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.instances) == 0
}

// resolved notes what the tag is now; true if it is news.
func (p *pool) resolved(digest string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := p.digest != digest
	p.digest = digest
	return news
}

// lastEnd is when the instance last finished a request.
func (p *pool) lastEnd(i *instance) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return i.lastEnd
}
