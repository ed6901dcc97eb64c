package docker

import (
	"sync"
	"time"
)

// position follows how far the daemon's events have been dealt with, though
// they are dealt with in parallel: it stands at the last event that has no
// unfinished one before it.
type position struct {
	mu sync.Mutex
	// guarded by mu:
	at   time.Time
	open []*taken
}

// taken is one event that was taken from the daemon.
type taken struct {
	at   time.Time
	done bool
}

func newPosition(at time.Time) *position { return &position{at: at} }

func (p *position) get() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *position) take(at time.Time) *taken {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &taken{at: at}
	p.open = append(p.open, t)
	return t
}

func (p *position) done(t *taken) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.done = true
	n := 0
	for n < len(p.open) && p.open[n].done {
		p.at = p.open[n].at
		n++
	}
	if n > 0 {
		clear(p.open[:n])
		p.open = p.open[n:]
	}
}
