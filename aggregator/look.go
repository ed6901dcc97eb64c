package aggregator

import (
	"context"
	"time"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/recall"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// Where several aggregators write to one store, one may have an instance's
// lines and another one its events. What each has written meets in the store
// only. So an aggregator looks there again at each instance of which it took
// something in, after the times of Config.Looks: whoever is last to
// write finds what the others wrote.
//
// All looks but the last read facts, which are few, and teach them to the
// correlator. The last one takes nothing for granted: it reads the lines, too,
// and has a correlator of its own say what is wrong with them. So it also
// corrects what an aggregator wrote that has died since.

// Bounds of looking again.
const (
	maxLooks   = 200_000 // instances to be looked at again; those above it are not
	looksFacts = 2000    // instances at once
	looksLines = 50
	lookTick   = 500 * time.Millisecond
	// recent is how far before the lines the first look, which instances in
	// use get all the time, reads invocations; later ones go back by Config.Recall.
	recent = 2 * time.Minute
	// longest is how long an invocation may run for the last look to be sure of
	// whose the lines are.
	longest = 24 * time.Hour
)

// look is an instance to be looked at again.
type look struct {
	ref    faas.Ref
	oldest time.Time // that was taken in since its lines were read
	fresh  time.Time // the oldest that was taken in since it was looked at
	step   int       // index in Config.Looks
	due    time.Time
}

// looks are those to come. The merger's goroutine owns them.
type looks struct {
	all     map[correlate.Key]*look
	last    faas.Ref // touched last: lines come by instance
	lastAt  *look
	next    time.Time // of the next tick
	running bool
	orders  chan lookOrder
	results chan lookResult
}

type lookOrder struct {
	looks []look // of the same step
	lines bool   // it is the last one
}

type lookResult struct {
	lookOrder
	found map[faas.Ref]*recall.Memory
	err   error
}

func newLooks() looks {
	return looks{all: map[correlate.Key]*look{}, orders: make(chan lookOrder, 1), results: make(chan lookResult)}
}

// touch notes that something of the instance and of the time at was taken in.
func (m *merger) touch(ref faas.Ref, at, now time.Time) {
	if len(m.cfg.Looks) == 0 {
		return
	}
	l := m.looks.lastAt
	if l == nil || ref != m.looks.last {
		k := correlate.KeyOf(ref)
		if l = m.looks.all[k]; l == nil {
			if len(m.looks.all) >= maxLooks {
				m.metrics.looksSkipped.Inc()
				return
			}
			l = &look{ref: ref, oldest: at, step: -1}
			l.ref.Version = ""
			m.looks.all[k] = l
		}
		m.looks.last, m.looks.lastAt = ref, l
	}
	if l.step != 0 {
		l.step, l.due, l.fresh = 0, now.Add(m.cfg.Looks[0]), at
	}
	l.oldest, l.fresh = earlier(l.oldest, at), earlier(l.fresh, at)
}

// orderLook has those that are due looked at, if nothing is being looked at:
// those of the same step as the one that is overdue most.
func (m *merger) orderLook(now time.Time) {
	s := &m.looks
	if s.running || now.Before(s.next) {
		return
	}
	s.next = now.Add(lookTick)
	var first *look
	for _, l := range s.all {
		if !now.Before(l.due) && (first == nil || l.due.Before(first.due)) {
			first = l
		}
	}
	if first == nil {
		return
	}
	step, limit := first.step, looksFacts
	order := lookOrder{lines: step == len(m.cfg.Looks)-1}
	if order.lines {
		limit = looksLines
	}
	for k, l := range s.all {
		if l.step != step || now.Before(l.due) || len(order.looks) == limit {
			continue
		}
		order.looks = append(order.looks, *l)
		if order.lines {
			delete(s.all, k)
			continue
		}
		l.step++ // until it is touched, which has it begin anew
		l.due = now.Add(m.cfg.Looks[l.step])
	}
	s.lastAt = nil
	s.running = true
	s.orders <- order
}

// look reads what orders say until ctx ends.
func (m *merger) look(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case order := <-m.looks.orders:
			r := lookResult{lookOrder: order}
			r.found, r.err = m.readLooks(ctx, order)
			select {
			case m.looks.results <- r:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (m *merger) readLooks(ctx context.Context, order lookOrder) (map[faas.Ref]*recall.Memory, error) {
	since := time.Now()
	// What is older was taken in, and looked at, long ago; unless it is fresh.
	seen := since.Add(-m.cfg.Recall - m.cfg.Looks[len(m.cfg.Looks)-1])
	refs := make([]faas.Ref, len(order.looks))
	for n := range order.looks {
		l := &order.looks[n]
		refs[n] = l.ref
		since = earlier(since, l.fresh)
		if order.lines && l.oldest.After(seen) {
			since = earlier(since, l.oldest)
		} else if order.lines {
			since = earlier(since, seen)
		}
	}
	limits := recall.Limits{Invocations: correlate.MaxInvocations, Started: since.Add(-m.cfg.Recall)}
	switch {
	case order.lines:
		limits.Since, limits.Lines = since.Add(-m.cfg.Recall), m.cfg.Correlate.InstanceLines
		limits.Started = since.Add(-longest)
	case order.looks[0].step == 0:
		limits.Started = since.Add(-recent)
	}
	return m.read(ctx, refs, limits)
}

// looked takes in what a look has found.
func (m *merger) looked(r lookResult, now time.Time) {
	m.looks.running = false
	if r.err != nil { // the next look of these instances finds it, if there is one
		m.logger.Warn("could not look again at instances", "instances", len(r.looks), "error", r.err)
		return
	}
	if r.lines {
		m.metrics.looks.WithLabelValues("lines").Add(float64(len(r.looks)))
		m.review(r.found, now)
		return
	}
	m.metrics.looks.WithLabelValues("facts").Add(float64(len(r.looks)))
	for ref, memory := range r.found {
		if m.correlator.Known(correlate.KeyOf(ref), now) { // else it will be recalled when it is met again
			m.learn(ref, memory, now)
		}
	}
	m.owed.add(m.gather(), nil)
}

func (m *merger) learn(ref faas.Ref, memory *recall.Memory, now time.Time) {
	tell := func(at *time.Time, d faas.Data) {
		if at != nil {
			m.correlator.Learn(&faas.Event{Time: *at, Ref: ref, Data: d}, now)
		}
	}
	for n := range memory.Starts {
		s := &memory.Starts[n]
		tell(s.DemandedAt, faas.Demanded{RequestID: value(s.RequestID), Initialization: faas.Initialization(value(s.Initialization))})
		tell(s.ReadyAt, faas.Ready{})
		stopped := faas.Stopped{Reason: value(s.StopReason), OOM: value(s.OOM)}
		if s.ExitCode != nil {
			stopped.ExitCode = new(int(*s.ExitCode))
		}
		tell(s.StoppedAt, stopped)
	}
	for n := range memory.Invocations {
		v := &memory.Invocations[n]
		tell(&v.StartedAt, faas.InvocationStarted{RequestID: v.RequestID, QueuedAt: value(v.QueuedAt)})
		tell(v.EndedAt, faas.InvocationEnded{RequestID: v.RequestID, StartedAt: v.StartedAt})
	}
}

// review corrects lines by nothing but what the store has.
func (m *merger) review(found map[faas.Ref]*recall.Memory, now time.Time) {
	c := correlate.New(m.cfg.Correlate)
	for ref, memory := range found {
		k := correlate.KeyOf(ref)
		c.Restore(k, stored(memory), now)
		c.Recheck(k, told(memory))
		out := c.Take()
		m.gathering.Logs = append(m.gathering.Logs, out.Logs...)
		m.metrics.observe(&out)
	}
}

// told is the lines of memory that its invocations say all about.
func told(memory *recall.Memory) []schema.LogRow {
	if len(memory.Invocations) < correlate.MaxInvocations {
		return memory.Lines
	}
	for n := range memory.Lines {
		if !memory.Lines[n].Time.Before(memory.Invocations[0].StartedAt) {
			return memory.Lines[n:]
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}
