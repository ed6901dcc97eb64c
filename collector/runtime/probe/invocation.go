package probe

import (
	"fmt"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Bounds of what is remembered of invocations whose end never comes.
const (
	maxOpenInstance = 256
	maxOpenTotal    = 32 << 10
	maxOpenAge      = time.Hour
)

// invocations are the open ones of one instance.
type invocations struct {
	mu     sync.Mutex
	open   map[attempt]*invocation
	ended  bool // the instance's process has
	spared bool // the platform tells usage by itself
}

// attempt names an invocation: a platform may send one request twice.
type attempt struct {
	requestID string
	startedAt int64 // nanoseconds since 1970
}

type invocation struct {
	startedAt time.Time
	readAt    time.Time
	cpu       time.Duration // of the instance, at readAt
	peak      int64         // since readAt
	peakKnown bool
	shared    bool
}

// Invocation takes what the platform says of an invocation; other events are
// ignored. At its start and its end the instance's control groups are read,
// and an InvocationUsage is emitted if the end does not tell memory and CPU
// time itself. It should be called as soon as an event arrives, before it is
// made durable, since what is read is of now and not of the event's time; see the package comment.
func (p *Prober) Invocation(e *faas.Event) {
	switch d := e.Data.(type) {
	case faas.InvocationStarted:
		if i := p.byEvent(e); i != nil {
			p.invocationStarted(i, e, d)
		}
	case faas.InvocationEnded:
		if i := p.byEvent(e); i != nil {
			p.invocationEnded(i, e, d)
		}
	}
}

func (p *Prober) byEvent(e *faas.Event) *instance {
	p.mu.Lock()
	i := p.byRef[refKey(e.Ref)]
	p.mu.Unlock()
	if i == nil {
		p.metrics.invocations.WithLabelValues(resultUnmatched).Inc()
		return nil
	}
	if i.group == nil {
		return nil
	}
	return i
}

func (p *Prober) invocationStarted(i *instance, e *faas.Event, d faas.InvocationStarted) {
	key := attempt{d.RequestID, e.Time.UnixNano()}
	all := &i.invocations
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.ended || all.spared || all.open[key] != nil {
		return
	}
	now := time.Now()
	p.expire(all, now)
	for _, other := range all.open {
		other.shared = true
	}
	if len(all.open) >= maxOpenInstance || p.openCount.Load() >= maxOpenTotal {
		p.metrics.invocations.WithLabelValues(resultDropped).Inc()
		return
	}
	usage, ok, err := i.window()
	if err != nil {
		p.metrics.invocations.WithLabelValues(resultFailed).Inc()
		return
	}
	if all.open == nil {
		all.open = map[attempt]*invocation{}
	}
	all.open[key] = &invocation{startedAt: e.Time, readAt: now, cpu: usage, peakKnown: ok, shared: len(all.open) > 0}
	p.opened(1)
}

func (p *Prober) invocationEnded(i *instance, e *faas.Event, d faas.InvocationEnded) {
	key := attempt{d.RequestID, d.StartedAt.UnixNano()}
	told := d.MemoryPeak > 0 && d.CPUTime > 0
	all := &i.invocations
	all.mu.Lock()
	defer all.mu.Unlock()
	all.spared = told
	v := all.open[key]
	if v == nil {
		if !told {
			p.metrics.invocations.WithLabelValues(resultUnmatched).Inc()
		}
		return
	}
	now := time.Now()
	cpu, ok, err := i.window() // counts for v, too
	delete(all.open, key)
	p.opened(-1)
	switch {
	case told:
	case err != nil:
		p.metrics.invocations.WithLabelValues(resultFailed).Inc()
	case p.late(v, e.Time, now):
		p.metrics.invocations.WithLabelValues(resultLate).Inc()
	default:
		p.metrics.invocations.WithLabelValues(resultMeasured).Inc()
		usage := faas.InvocationUsage{RequestID: d.RequestID, StartedAt: d.StartedAt, Shared: v.shared}
		if ok && v.peakKnown && d.MemoryPeak == 0 {
			usage.MemoryPeak = v.peak
		}
		if d.CPUTime == 0 {
			usage.CPUTime = max(0, cpu-v.cpu).Seconds()
		}
		p.out.add(faas.Event{
			ID:     fmt.Sprintf("%s/%s/%d/usage", i.process.ContainerID, d.RequestID, key.startedAt),
			Source: p.opts.Source, Time: e.Time, Ref: e.Ref, Data: usage,
		})
	}
}

// late reports whether an invocation's readings are too far from its events to
// say anything: over MaxEventLag, or begun when a quarter of it was over.
func (p *Prober) late(v *invocation, end, readEnd time.Time) bool {
	startLag, endLag := v.readAt.Sub(v.startedAt), readEnd.Sub(end)
	return max(startLag.Abs(), endLag.Abs()) > p.opts.MaxEventLag || 4*startLag > end.Sub(v.startedAt)
}

// window reads the instance's CPU time, and closes a window of memory: its peak counts
// for every invocation that is open, and a new one begins.
func (i *instance) window() (cpu time.Duration, ok bool, err error) {
	usage, peak, ok, err := i.group.Window()
	if err != nil {
		return 0, false, err
	}
	for _, v := range i.invocations.open {
		v.peak = max(v.peak, peak)
		v.peakKnown = v.peakKnown && ok
	}
	return usage.CPUTime, ok, nil
}

// expire forgets invocations that are open for so long that their end was lost.
func (p *Prober) expire(all *invocations, now time.Time) {
	for key, v := range all.open {
		if now.Sub(v.readAt) > maxOpenAge {
			delete(all.open, key)
			p.opened(-1)
			p.metrics.invocations.WithLabelValues(resultUnmatched).Inc()
		}
	}
}

// forgetInvocations is called when the instance's process has ended.
func (p *Prober) forgetInvocations(all *invocations) {
	all.mu.Lock()
	defer all.mu.Unlock()
	p.opened(-len(all.open))
	all.open, all.ended = nil, true
}

func (p *Prober) opened(n int) {
	p.openCount.Add(int64(n))
	p.metrics.open.Add(float64(n))
}
