package correlate

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// change says that lines from a time on may belong elsewhere now. If it is only
// since an invocation was heard of after the last Take, that is the invocation.
type change struct {
	from time.Time
	made bool
	by   *invocation
}

// apply folds e into what is known of i and gives out e's rows.
func (c *Correlator) apply(i *instance, e *faas.Event) change {
	switch d := e.Data.(type) {
	case faas.Demanded:
		_, ch := c.life(i, e, demandedRow(e, d))
		c.toldAll(i)
		return ch
	case faas.PhaseDone:
		c.phase(i, e, d)
	case faas.LayerPulled:
		c.out.Layers = append(c.out.Layers, layerRow(e, d, c.revision))
	case faas.Ready:
		row := startRow(e)
		row.ReadyAt = &e.Time
		l, ch := c.life(i, e, row)
		if !l.counted && !l.demanded.IsZero() {
			l.counted = true
			c.begun = append(c.begun, begun{Start{Ref: e.Ref, Initialization: l.initialization, Duration: l.ready.Sub(l.demanded)}, i, l.demanded})
		}
		c.toldAll(i)
		return ch
	case faas.Stopped:
		l, ch := c.life(i, e, stoppedRow(e, d))
		c.close(i, l)
		return ch
	case faas.InvocationStarted:
		v, isNew := c.invocation(i, d.RequestID, e.Time)
		v.cold = v.cold || d.ColdStart
		if !d.QueuedAt.IsZero() {
			v.queued = d.QueuedAt
		}
		c.out.Invocations = append(c.out.Invocations, startedRow(e, d))
		c.told(i, v)
		return change{i.linesFrom(v), isNew, v.news()}
	case faas.InvocationEnded:
		v, isNew := c.invocation(i, d.RequestID, d.StartedAt)
		var ch change
		row := endedRow(e, d)
		if e.Time.Before(v.end) { // somebody has told a later end: that stays
			row = schema.InvocationRow{
				Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, StartedAt: d.StartedAt, RequestID: d.RequestID, Instance: e.Instance,
				MemoryPeak: row.MemoryPeak, CPUTimeNS: row.CPUTimeNS,
			}
		} else if !v.end.Equal(e.Time) {
			// Of one that was open, only what comes behind its end is news.
			if ch.from = v.start; !isNew && e.Time.After(ch.from) {
				ch.from = earlier(e.Time, i.endOf(v))
			}
			v.end, ch.made = e.Time, true
			i.index(i.before(v.start.Add(-1)) + 1)
		}
		c.out.Invocations = append(c.out.Invocations, row)
		c.told(i, v)
		if isNew {
			return change{i.linesFrom(v), true, v.news()}
		}
		return change{i.lineTime(ch.from), ch.made, v.news()}
	}
	return change{}
}

// earlier is the earlier one of two times of which the second may not be known.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// later is the later one of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// linesFrom is from when on lines may belong elsewhere if v is news: from its
// start, on the lines' clock; of the first of a life, what that has before it is init.
func (i *instance) linesFrom(v *invocation) time.Time {
	var l *life
	if len(i.lives) > 0 {
		l, _ = i.lifeAt(v.start)
	}
	first := i.firstOf(l)
	if first < len(i.invocations) && !v.start.After(i.invocations[first].start) && !i.forgottenOf(l) {
		if l == nil {
			return time.Time{}
		}
		return i.lineTime(l.from)
	}
	return i.lineTime(v.start)
}

// linesTo is up to when they may, of those that are forgotten: as long as it was
// open or had just ended, and until the next one started, since they may have
// been held to be init. From that start on they are none of its own if it was
// the only one till then. What names it may be later.
func (i *instance) linesTo(v *invocation, grace time.Duration) time.Time {
	end := i.endOf(v)
	n := i.before(v.start) + 1
	if end.IsZero() || n == len(i.invocations) {
		return i.dropped
	}
	to := i.invocations[n].start
	if i.slack > 0 || to.Before(end) || i.endOf(i.invocations[n-1].latest).After(end) {
		to = later(to, end.Add(grace))
	}
	return earlier(later(to.Add(i.slack-i.offset), i.naming), i.dropped)
}

func (c *Correlator) phase(i *instance, e *faas.Event, d faas.PhaseDone) {
	c.out.Phases = append(c.out.Phases, schema.PhaseRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance, Version: e.Version,
		Phase: string(d.Name), Start: d.Start, End: d.End, Error: d.Error, Attributes: d.Attributes, Revision: c.revision,
	})
	k := phaseKey{d.Name, d.Start.UnixNano()}
	if i.phases[k] || len(i.phases) == maxPhases {
		return
	}
	if i.phases == nil {
		i.phases = map[phaseKey]bool{}
	}
	i.phases[k] = true
	initialization := faas.Initialization("")
	if len(i.lives) > 0 {
		l, _ := i.lifeAt(d.Start)
		initialization = l.initialization
	}
	c.begun = append(c.begun, begun{Start{Ref: e.Ref, Initialization: initialization, Phase: d.Name, Duration: d.End.Sub(d.Start)}, i, d.Start})
}

// told gives out what is known of an invocation by its instance's life: whether
// it was cold, once that can be said, since its own start and that of its
// instance are known, and again if a fact that came late, such as when it was
// queued, says otherwise; and how it ended, if only its instance's end is known.
func (c *Correlator) told(i *instance, v *invocation) {
	if l, closed := i.closing(v); closed {
		c.closeOne(i, l, v)
	}
	if len(i.lives) == 0 {
		return
	}
	l, _ := i.lifeAt(v.start)
	failed := l.ready.IsZero() && (!v.end.IsZero() || !l.stopped.IsZero()) && l.demandedBy == v.requestID
	wait := waited(l, v)
	if v.told && v.wait == wait || l.demanded.IsZero() || l.ready.IsZero() && !failed {
		return
	}
	v.told, v.wait = true, wait
	cold, ns := wait > 0 || v.cold, wait.Nanoseconds()
	c.out.Invocations = append(c.out.Invocations, schema.InvocationRow{
		Tenant: i.key.Tenant, Namespace: i.key.Namespace, Function: i.key.Function,
		StartedAt: v.start, RequestID: v.requestID, Instance: i.key.Instance, Cold: &cold, ColdWaitNS: &ns,
	})
}

func (c *Correlator) toldAll(i *instance) {
	for _, v := range i.invocations {
		c.told(i, v)
	}
}

func startRow(e *faas.Event) schema.ColdStartRow {
	return schema.ColdStartRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance,
		Version: known(e.Version), Host: known(e.Source),
	}
}

func demandedRow(e *faas.Event, d faas.Demanded) schema.ColdStartRow {
	row := startRow(e)
	row.DemandedAt = &e.Time
	row.RequestID, row.Initialization = known(d.RequestID), known(string(d.Initialization))
	row.Image, row.Digest, row.Registry, row.Region = known(d.Image), known(d.Digest), known(d.Registry), known(d.Region)
	row.ImageBytes, row.MemoryLimit = known(d.ImageBytes), known(d.MemoryLimit)
	return row
}

func stoppedRow(e *faas.Event, d faas.Stopped) schema.ColdStartRow {
	row := startRow(e)
	row.StoppedAt, row.StopReason, row.MemoryPeak = &e.Time, known(d.Reason), known(d.MemoryPeak)
	row.OOM, row.CPUTimeNS = known(d.OOM), known(nanoseconds(d.CPUTime))
	if d.ExitCode != nil {
		code := int32(*d.ExitCode)
		row.ExitCode = &code
	}
	return row
}

func layerRow(e *faas.Event, d faas.LayerPulled, revision uint64) schema.LayerRow {
	return schema.LayerRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance,
		Digest: d.Digest, Bytes: d.Bytes, Cache: d.Cache,
		DownloadStart: known(d.DownloadStart), DownloadEnd: known(d.DownloadEnd),
		UnpackStart: known(d.UnpackStart), UnpackEnd: known(d.UnpackEnd), Revision: revision,
	}
}

func startedRow(e *faas.Event, d faas.InvocationStarted) schema.InvocationRow {
	return schema.InvocationRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function,
		StartedAt: e.Time, RequestID: d.RequestID, Instance: e.Instance,
		Version: known(e.Version), Trigger: known(string(d.Trigger)), QueuedAt: known(d.QueuedAt), Cold: known(d.ColdStart),
	}
}

func endedRow(e *faas.Event, d faas.InvocationEnded) schema.InvocationRow {
	duration := e.Time.Sub(d.StartedAt)
	if d.Duration > 0 {
		duration = time.Duration(d.Duration * float64(time.Second))
	}
	ns := max(0, duration.Nanoseconds())
	status := string(d.Status)
	code := uint16(max(0, min(d.HTTPStatus, 999)))
	return schema.InvocationRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function,
		StartedAt: d.StartedAt, RequestID: d.RequestID, Instance: e.Instance,
		// Status code and error are told even if there are none: another end may have been told before.
		Version: known(e.Version), EndedAt: &e.Time, Status: &status, HTTPStatus: &code, Error: &d.Error,
		DurationNS: &ns, MemoryPeak: known(d.MemoryPeak), CPUTimeNS: known(nanoseconds(d.CPUTime)),
		BytesIn: &d.BytesIn, BytesOut: &d.BytesOut,
	}
}

// known gives nil, the store's "not known", for a zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
