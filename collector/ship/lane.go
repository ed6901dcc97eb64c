package ship

import (
	"net/http"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

type laneKey struct {
	tenant string
	target *target
}

// lane is one tenant's way to one target. Lanes do not wait for each other.
type lane struct {
	laneKey
	open     *batch   // is being filled
	queue    []*batch // sealed, not on their way yet
	inFlight int
	bytes    int64  // unacknowledged
	size     int    // of the last batch
	spans    []span // memory for the next one's

	// How fast it goes.
	limit     float64       // of inFlight, 1 to Options.InFlight
	gap       time.Duration // between two starts
	started   time.Time     // the last batch
	cut       time.Time     // when it last became slower
	notBefore time.Time     // the target asked for a pause
}

// lane gives the way of a stream's lines.
func (s *Shipper) lane(to *Stream) *lane {
	key := laneKey{to.tenant, s.route(to, true)}
	ln := s.lanes[key]
	if ln == nil {
		ln = &lane{laneKey: key, limit: float64(s.opts.InFlight)}
		s.lanes[key] = ln
	}
	return ln
}

// fits reports whether there is room for p in ln. A lane may take as much as is left
// for all others: one alone half of the memory, and one whose lines nobody
// takes never all of it. Something always fits.
func (s *Shipper) fits(ln *lane, p *part) bool {
	return ln.bytes == 0 || ln.bytes+p.size() <= s.opts.MaxBytes-s.bytes
}

// put gives p to ln.
func (s *Shipper) put(ln *lane, f *File, p *part, safe int64, last bool) {
	if !last {
		safe = f.handed()
	}
	n := p.size()
	was := ln.open
	if was != nil && was.bytes+n > s.opts.BatchBytes {
		s.enqueue(ln)
	}
	if ln.open == nil {
		ln.open = &batch{lane: ln, born: time.Now(), kinds: map[faas.Stream]sum{}, spans: ln.spans}
		ln.spans = nil
		if p.to.kind != faas.Platform {
			ln.open.rest = s.buffers.get(max(int(n), ln.size))
		}
	}
	s.add(ln.open, f, p)
	f.sent(ln.open, safe)
	ln.bytes += n
	s.bytes += n
	if ln.open.bytes >= s.opts.BatchBytes {
		s.enqueue(ln)
	}
	if ln.open != was || ln.open == nil {
		if at, ok := s.ready(ln); ok {
			s.arm(at)
		}
	}
}

// enqueue closes the lane's open batch.
func (s *Shipper) enqueue(ln *lane) {
	s.seal(ln.open)
	ln.size = len(ln.open.raw)
	ln.queue = append(ln.queue, ln.open)
	ln.open = nil
}

// hurry sends the lane's open batch soon: somebody waits for its memory.
func (s *Shipper) hurry(ln *lane) {
	if ln.open == nil || ln.open.hurry {
		return
	}
	ln.open.hurry = true
	if at, ok := s.ready(ln); ok {
		s.arm(at)
	}
}

// grant lets those go on who waited for memory, if there is some for them.
func (s *Shipper) grant() {
	kept := s.waiting[:0]
	for _, w := range s.waiting {
		ln := s.lane(w.part.to)
		if !s.fits(ln, w.part) {
			s.hurry(ln)
			kept = append(kept, w)
			continue
		}
		s.put(ln, w.file, w.part, w.safe, w.last)
		close(w.taken)
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
}

// age is how long a batch waits for company. Every lane costs pushes of its
// own, so where they are many each of them waits longer.
func (s *Shipper) age() time.Duration {
	const each, most = 2500 * time.Microsecond, 500 * time.Millisecond
	return max(s.opts.BatchAge, min(time.Duration(len(s.lanes))*each, most))
}

// ready tells when the lane's next batch may start; false if it has none, or
// only after another one has arrived.
func (s *Shipper) ready(ln *lane) (time.Time, bool) {
	if ln.inFlight >= int(ln.limit) || len(ln.queue) == 0 && ln.open == nil {
		return time.Time{}, false
	}
	at := ln.notBefore
	if paced := ln.started.Add(ln.gap); paced.After(at) {
		at = paced
	}
	if len(ln.queue) > 0 || s.draining > 0 || ln.open.hurry {
		return at, true
	}
	age := s.age()
	age += age * time.Duration(ln.inFlight) / 8
	if full := ln.open.born.Add(age); full.After(at) {
		at = full
	}
	return at, true
}

// start takes the lane's next batch, which is ready.
func (s *Shipper) start(ln *lane, now time.Time) *batch {
	if len(ln.queue) == 0 {
		s.enqueue(ln)
	}
	b := ln.queue[0]
	ln.queue[0] = nil
	ln.queue = ln.queue[1:]
	ln.inFlight++
	ln.started = now
	return b
}

// throttled reports whether the lane goes slower than it might.
func (ln *lane) throttled(inFlight int, now time.Time) bool {
	return int(ln.limit) < inFlight || ln.gap > 0 || ln.notBefore.After(now)
}

// forgettable reports whether the lane, which is empty, may go. What it knows
// of its target's mood is worth keeping for a while.
func (ln *lane) forgettable(inFlight int, now time.Time) bool {
	return !ln.throttled(inFlight, now) || now.Sub(ln.started) > time.Minute
}

// slower halves what the lane has on its way, then its rate, because of a push
// that began at the given time. All that were on their way together count as one.
func (s *Shipper) slower(ln *lane, began time.Time, code int, pause time.Duration) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	mercy := code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
	if until := now.Add(pause); mercy && until.After(ln.notBefore) {
		ln.notBefore = until
	}
	if began.Before(ln.cut) {
		return
	}
	ln.cut = now
	switch {
	case ln.limit > 1:
		ln.limit = max(1, ln.limit/2)
	case mercy:
		ln.gap = min(max(2*ln.gap, s.opts.MinBackoff), s.opts.MaxBackoff)
	}
}

// faster lets the lane recover, by one batch on its way each time that as many
// as there are have arrived.
func (s *Shipper) faster(ln *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln.limit = min(float64(s.opts.InFlight), ln.limit+1/ln.limit)
	if ln.gap = ln.gap * 3 / 4; ln.gap < s.opts.MinBackoff/8 {
		ln.gap = 0
	}
}
